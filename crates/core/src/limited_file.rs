//! Files that are read whole, up to a limit: a device or a pipe may never end.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Bytes of a file of settings, secrets, certificates or templates.
pub const SETTINGS_FILE: u64 = 4 << 20;

/// Reads a file of at most so many bytes, be it a pipe.
///
/// # Errors
///
/// Those of the file, and [`io::ErrorKind::FileTooLarge`], when no more than one byte beyond the limit was read.
pub fn read_file(path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
    read_at_most(File::open(path)?, limit)
}

/// Reads all there is, if that is at most so many bytes.
///
/// # Errors
///
/// Those of the input, and [`io::ErrorKind::FileTooLarge`], when no more than one byte beyond the limit was read.
pub fn read_at_most(input: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 <= limit {
        return Ok(bytes);
    }
    let problem = format!("it has more than {limit} bytes, which is the most that is read");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_the_limit() {
        assert_eq!(read_at_most(&b"abc"[..], 3).expect("three"), b"abc");
        let error = read_at_most(&b"abcd"[..], 3).expect_err("four");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("more than 3 bytes"), "{error}");
        read_file("/dev/zero", 1 << 20).expect_err("it never ends");
        assert_eq!(read_file("/dev/null", 0).expect("nothing"), b"");
    }
}
