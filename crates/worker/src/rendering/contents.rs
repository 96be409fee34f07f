//! Files and large bodies of mails, cached for a while, and the memory that large mails may take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postroom_core::{Content, ContentHash, Error, Mail, QueueName, Result, Store};
use postroom_mail::Message;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

/// Maximum size of the cache in bytes; the latest content is always kept.
const MAX_BYTES: usize = 32 << 20;
/// Maximum number of cached contents.
const MAX_CONTENTS: usize = 500;
/// Memory for large mails that are made and sent at the same time, in KiB.
const LARGE_MAIL_KIB: u32 = 64 << 10;
/// Size from which a mail needs a share of that memory. A smaller mail is made quickly.
pub(crate) const LARGE_FROM: usize = 256 << 10;

/// Cache of the contents used last.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Ordered by use, the latest last.
    latest: Mutex<Vec<(ContentHash, ContentCell)>>,
    room: Arc<Semaphore>,
}

/// A cached content; ten mails that need it read it once.
type ContentCell = Arc<OnceCell<Content>>;

/// Reason for a missing content.
enum Missing {
    Gone,
    Unread(Error),
}

impl Default for Contents {
    fn default() -> Self {
        Self { latest: Mutex::default(), room: Arc::new(Semaphore::new(LARGE_MAIL_KIB as usize)) }
    }
}

impl Contents {
    /// Reads the contents that are stored apart from a mail into it. Returns the name of the first
    /// one that is gone.
    pub(crate) async fn fill(&self, store: &Store, queue: &QueueName, mail: &mut Mail) -> Result<Option<String>> {
        mail.fill(|hash| self.of(store, queue, hash)).await
    }

    async fn of(&self, store: &Store, queue: &QueueName, hash: ContentHash) -> Result<Option<Content>> {
        let cell = self.cell_of(hash);
        let read = || async { store.content(queue, hash).await.map_err(Missing::Unread)?.ok_or(Missing::Gone) };
        let found = cell.get_or_try_init(read).await.cloned();
        forget_the_oldest(&mut self.lock());
        match found {
            Ok(content) => Ok(Some(content)),
            Err(Missing::Gone) => Ok(None),
            Err(Missing::Unread(error)) => Err(error),
        }
    }

    fn cell_of(&self, hash: ContentHash) -> ContentCell {
        let mut latest = self.lock();
        let cached = latest.iter().position(|(cached, _)| *cached == hash).map(|at| latest.remove(at).1);
        let cell = cached.unwrap_or_default();
        latest.push((hash, Arc::clone(&cell)));
        cell
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(ContentHash, ContentCell)>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for memory for a mail with this much content. The memory of a worker is limited,
    /// however many mails it sends at a time.
    pub(crate) async fn room_for(&self, mail: &Mail) -> Option<OwnedSemaphorePermit> {
        self.room(mail.content_bytes()).await
    }

    /// Like [`Self::room_for`], for a large message made of little content.
    pub(crate) async fn room_of(&self, message: &Message) -> Option<OwnedSemaphorePermit> {
        let mut room = self.room(message.bytes.len()).await;
        release_copies(&mut room);
        room
    }

    async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if bytes < LARGE_FROM {
            return None;
        }
        // Making a message holds about three copies of it, and base64 adds a third.
        let kib = u32::try_from(bytes / 1024 * 4).unwrap_or(LARGE_MAIL_KIB).min(LARGE_MAIL_KIB);
        // The semaphore is never closed.
        Arc::clone(&self.room).acquire_many_owned(kib).await.ok()
    }
}

/// Releases two thirds of the memory: the message is made and its copies are gone.
pub(crate) fn release_copies(room: &mut Option<OwnedSemaphorePermit>) {
    if let Some(room) = room {
        drop(room.split(room.num_permits() / 3 * 2));
    }
}

fn forget_the_oldest(latest: &mut Vec<(ContentHash, ContentCell)>) {
    let size = |cell: &ContentCell| cell.get().map_or(0, Content::size);
    let mut bytes: usize = latest.iter().map(|(_, cell)| size(cell)).sum();
    while (bytes > MAX_BYTES || latest.len() > MAX_CONTENTS) && latest.len() > 1 {
        bytes -= size(&latest.remove(0).1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(bytes: Vec<u8>) -> (ContentHash, ContentCell) {
        let content = Content::from(bytes);
        (content.hash(), Arc::new(OnceCell::new_with(Some(content))))
    }

    #[test]
    fn the_oldest_contents_are_dropped_beyond_the_limits() {
        let mut latest: Vec<_> = (0..4).map(|byte| cached(vec![byte; MAX_BYTES / 3])).collect();
        let last = latest[3].0;
        forget_the_oldest(&mut latest);
        assert_eq!((latest.len(), latest[2].0), (3, last));
        let huge = cached(vec![0; MAX_BYTES + 1]);
        latest.push(huge.clone());
        forget_the_oldest(&mut latest);
        assert_eq!(latest, [huge]);
        latest.extend((0..MAX_CONTENTS + 5).map(|n| cached(n.to_be_bytes().to_vec())));
        forget_the_oldest(&mut latest);
        assert_eq!(latest.len(), MAX_CONTENTS);
    }
}
