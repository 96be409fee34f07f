//! Files and large bodies of mails, read once and kept for a while, and room for the mails that are made of them.

use std::sync::Arc;

use postroom_core::{Content, ContentHash, Mail, QueueName, Result, Store};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

/// So much of them is kept at hand, but always the last one.
const MOST_BYTES: usize = 32 << 20;
/// What large mails take at a time, in KiB, while they are made and sent.
const ROOM: u32 = 64 << 10;
/// A smaller mail needs no room.
const SMALL: usize = 256 << 10;

/// Those that were used last.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The latest last. Held while one is read, so that ten mails with the same file read it once.
    latest: Mutex<Vec<(ContentHash, Content)>>,
    room: Arc<Semaphore>,
}

impl Default for Contents {
    fn default() -> Self {
        Self { latest: Mutex::default(), room: Arc::new(Semaphore::new(ROOM as usize)) }
    }
}

impl Contents {
    /// Puts into a mail what is kept apart from it; what is gone, if something is.
    pub(crate) async fn fill(&self, store: &Store, queue: &QueueName, mail: &mut Mail) -> Result<Option<String>> {
        mail.fill(|hash| self.of(store, queue, hash)).await
    }

    async fn of(&self, store: &Store, queue: &QueueName, hash: ContentHash) -> Result<Option<Content>> {
        let mut latest = self.latest.lock().await;
        let known = latest.iter().position(|(known, _)| *known == hash).map(|place| latest.remove(place).1);
        let found = match known {
            Some(content) => Some(content),
            None => store.content(queue, hash).await?,
        };
        let Some(content) = found else { return Ok(None) };
        latest.push((hash, content.clone()));
        forget_the_oldest(&mut latest);
        Ok(Some(content))
    }

    /// Waits until there is room for a mail with such content. However many mails are sent at a time, a
    /// worker takes no more memory than it has room.
    pub(crate) async fn room_for(&self, mail: &Mail) -> Option<OwnedSemaphorePermit> {
        let bytes = mail.content_bytes();
        if bytes < SMALL {
            return None;
        }
        // While it is made there are about three copies of it, and base64 takes a third more.
        let wanted = u32::try_from(bytes / 1024 * 4).unwrap_or(ROOM).min(ROOM);
        // The semaphore is never closed.
        Arc::clone(&self.room).acquire_many_owned(wanted).await.ok()
    }
}

/// The message is made: its copies are gone, and what it takes now is a third of it.
pub(crate) fn made(room: &mut Option<OwnedSemaphorePermit>) {
    if let Some(room) = room {
        drop(room.split(room.num_permits() / 3 * 2));
    }
}

fn forget_the_oldest(latest: &mut Vec<(ContentHash, Content)>) {
    let mut bytes: usize = latest.iter().map(|(_, content)| content.size()).sum();
    while bytes > MOST_BYTES && latest.len() > 1 {
        bytes -= latest.remove(0).1.size();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_it_is_too_much() {
        let content = |byte: u8| Content::from(vec![byte; MOST_BYTES / 3]);
        let mut latest: Vec<_> = (0..4).map(|byte| (content(byte).hash(), content(byte))).collect();
        let last = latest[3].0;
        forget_the_oldest(&mut latest);
        assert_eq!((latest.len(), latest[2].0), (3, last));
        let huge = Content::from(vec![0; MOST_BYTES + 1]);
        latest.push((huge.hash(), huge.clone()));
        forget_the_oldest(&mut latest);
        assert_eq!(latest, [(huge.hash(), huge)]);
    }
}
