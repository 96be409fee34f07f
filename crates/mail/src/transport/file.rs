//! Mail as `.eml` files in a folder.

mod part;

use std::{io, path::PathBuf};

use postroom_core::EmailAddress;
use postroom_smtp::Commit;
use tokio::task::spawn_blocking;

use self::part::Part;
use super::aborted;
use crate::{Attempt, Message, verdict::NotAccepted};

/// Writes each message into a folder, named by its Message-ID and readable by its owner alone; a message sent again replaces
/// itself.
#[derive(Debug)]
pub struct FileTransport {
    folder: PathBuf,
}

impl FileTransport {
    /// Into this folder, which is made when it is first needed.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Written and synced before `commit`, so that a full disk is nobody's doubt.
    pub(super) async fn send(
        &self,
        message: &Message,
        to: &[EmailAddress],
        commit: impl Future<Output = Commit>,
    ) -> Attempt {
        let name = file_name(&message.message_id);
        let part = match self.write(&name, message.bytes.clone()).await {
            Ok(part) => part,
            Err(error) => return self.failed(to, &error),
        };
        if commit.await == Commit::Abort {
            return aborted(to);
        }
        let placed = name.clone();
        match blocking(move || part.put_in_place(&placed)).await {
            Ok(()) => Attempt::accepted(to, "written to a file", Some(&name)),
            // Sent again, it replaces itself.
            Err(error) => self.failed(to, &error),
        }
    }

    /// Whether files can be written there; says where.
    pub(super) async fn check(&self) -> io::Result<PathBuf> {
        drop(self.write("check", b"Can a file be written?\r\n".to_vec()).await?);
        Ok(self.folder.clone())
    }

    async fn write(&self, name: &str, bytes: Vec<u8>) -> io::Result<Part> {
        let (folder, name) = (self.folder.clone(), name.to_owned());
        blocking(move || Part::write(&folder, &name, &bytes)).await
    }

    fn failed(&self, to: &[EmailAddress], error: &io::Error) -> Attempt {
        let problem = format!("can't write to the folder {}: {error}", self.folder.display());
        Attempt::not_accepted(to, NotAccepted::NothingSent, &problem)
    }
}

/// By the standard library on a thread that may wait: there a write returns its own error. Of tokio's files a write returns
/// before it is done, and its error comes with the next call.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// A Message-ID as a file's name: no folder, not hidden, whatever it holds.
fn file_name(message_id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+' | '=');
    let safe: String = message_id.chars().take(200).map(|c| if fits(c) { c } else { '_' }).collect();
    format!("{}.eml", safe.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn no_message_id_leaves_the_folder() {
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
