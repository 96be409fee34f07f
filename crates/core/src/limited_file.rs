//! Reading of whole files up to a size limit, because a device or a pipe may never end.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Maximum size in bytes of a file of settings, secrets, certificates or templates.
pub const SETTINGS_FILE: u64 = 4 << 20;

/// Reads a file or a pipe of at most `limit` bytes.
///
/// # Errors
///
/// Returns errors of the file, and [`io::ErrorKind::FileTooLarge`] after reading one byte beyond
/// the limit.
pub fn read_file(path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
    read_at_most(File::open(path)?, limit)
}

/// Reads the whole input if it has at most `limit` bytes.
///
/// # Errors
///
/// Returns errors of the input, and [`io::ErrorKind::FileTooLarge`] after reading one byte beyond
/// the limit.
pub fn read_at_most(input: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 <= limit {
        return Ok(bytes);
    }
    let problem = format!("it has more than {limit} bytes, which is the maximum");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_the_limit_is_read() {
        assert_eq!(read_at_most(&b"abc"[..], 3).expect("three"), b"abc");
        let error = read_at_most(&b"abcd"[..], 3).expect_err("four");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("more than 3 bytes"), "{error}");
        read_file("/dev/zero", 1 << 20).expect_err("it never ends");
        assert_eq!(read_file("/dev/null", 0).expect("nothing"), b"");
    }
}
