//! Mail as `.eml` files in a folder.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use postroom_core::EmailAddress;
use postroom_smtp::Commit;
use tokio::{fs, io::AsyncWriteExt};

use super::aborted;
use crate::{Attempt, Message, Verdict};

/// Writes each message into a folder, named by its Message-ID; a message sent again replaces itself.
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

    /// Whole under another name first: nobody sees half a file.
    pub(super) async fn send(
        &self,
        message: &Message,
        to: &[EmailAddress],
        commit: impl Future<Output = Commit>,
    ) -> Attempt {
        let name = file_name(&message.message_id);
        let part = match self.write_part(&name, &message.bytes).await {
            Ok(part) => part,
            Err(error) => return self.failed(to, &error),
        };
        let decision = commit.await;
        let renamed = match decision {
            Commit::Proceed => fs::rename(&part, self.folder.join(&name)).await,
            Commit::Abort => Ok(()),
        };
        if decision == Commit::Abort || renamed.is_err() {
            let _ = fs::remove_file(&part).await;
        }
        match (decision, renamed) {
            (Commit::Abort, _) => aborted(to),
            (Commit::Proceed, Err(error)) => self.failed(to, &error),
            (Commit::Proceed, Ok(())) => {
                Attempt { receipt: Some(name), ..Attempt::alike(to, Verdict::Accepted, "written to a file") }
            }
        }
    }

    /// Whether files can be written there; says where.
    pub(super) async fn check(&self) -> io::Result<PathBuf> {
        let part = self.write_part("check", b"").await?;
        fs::remove_file(part).await?;
        Ok(self.folder.clone())
    }

    async fn write_part(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder).await?;
        let part = self.folder.join(part_name(name));
        let written = write_synced(&part, bytes).await;
        if written.is_err() {
            let _ = fs::remove_file(&part).await;
        }
        written.map(|()| part)
    }

    fn failed(&self, to: &[EmailAddress], error: &io::Error) -> Attempt {
        let problem = format!("can't write to the folder {}: {error}", self.folder.display());
        Attempt::alike(to, Verdict::NothingSent, &problem)
    }
}

async fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create_new(path).await?;
    file.write_all(bytes).await?;
    file.sync_all().await
}

/// A Message-ID as a file's name: no folder, not hidden, whatever it holds.
fn file_name(message_id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+' | '=');
    let safe: String = message_id.chars().take(200).map(|c| if fits(c) { c } else { '_' }).collect();
    format!("{}.eml", safe.trim_start_matches('.'))
}

/// Hidden, and another one for each call in any process.
fn part_name(name: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!(".{name}.{}-{}.part", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
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
