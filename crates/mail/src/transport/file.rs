//! Transport that writes mail as `.eml` files into a folder.

mod temporary;

use std::{io, path::PathBuf};

use postroom_core::EmailAddress;
use postroom_smtp::Commit;
use tokio::task::spawn_blocking;

use self::temporary::TemporaryFile;
use super::aborted;
use crate::{Attempt, Message, verdict::NotAccepted};

/// Writes each message into a folder. Files are named by Message-ID and readable by their owner
/// only. A message that is sent again overwrites its file.
#[derive(Debug)]
pub struct FileTransport {
    folder: PathBuf,
}

impl FileTransport {
    /// Creates a transport for a folder, which is created when first needed.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Writes and syncs the file before `commit`, so that a full disk is never an unknown result.
    pub(super) async fn send(
        &self,
        message: &Message,
        to: &[EmailAddress],
        commit: impl Future<Output = Commit>,
    ) -> Attempt {
        let name = file_name(&message.message_id);
        let file = match self.write(&name, message.bytes.clone()).await {
            Ok(file) => file,
            Err(error) => return self.failed(to, &error),
        };
        if commit.await == Commit::Abort {
            return aborted(to);
        }
        let placed = name.clone();
        match blocking(move || file.rename_to(&placed)).await {
            Ok(()) => Attempt::accepted(to, "written to a file", Some(&name)),
            // The next attempt replaces the file.
            Err(error) => self.failed(to, &error),
        }
    }

    /// Writes and removes a test file. Returns the folder if that succeeds.
    pub(super) async fn check(&self) -> io::Result<PathBuf> {
        drop(self.write("check", b"Can a file be written?\r\n".to_vec()).await?);
        Ok(self.folder.clone())
    }

    async fn write(&self, name: &str, bytes: Vec<u8>) -> io::Result<TemporaryFile> {
        let (folder, name) = (self.folder.clone(), name.to_owned());
        blocking(move || TemporaryFile::write(&folder, &name, &bytes)).await
    }

    fn failed(&self, to: &[EmailAddress], error: &io::Error) -> Attempt {
        let problem = format!("can't write to the folder {}: {error}", self.folder.display());
        Attempt::not_accepted(to, NotAccepted::NothingSent, &problem)
    }
}

/// Runs blocking file I/O on a blocking thread. `std` is used since a write returns its own error
/// there; a write to a tokio file returns early and reports its error at the next call.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Maps a Message-ID to a safe file name: no path separator, no leading dot.
fn file_name(message_id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+' | '=');
    let safe: String = message_id.chars().take(200).map(|c| if fits(c) { c } else { '_' }).collect();
    format!("{}.eml", safe.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn a_message_id_never_escapes_the_folder() {
        for (id, name) in [
            ("1.a@example.org", "1.a@example.org.eml"),
            ("../../etc/passwd@x", "_.._etc_passwd@x.eml"),
            (".hidden", "hidden.eml"),
            ("a\0b/ż", "a_b__.eml"),
        ] {
            assert_eq!(file_name(id), name);
        }
    }
}
