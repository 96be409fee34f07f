//! Files and large bodies of mails, read once and kept for a while, and room for the mails that are made of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postroom_core::{Content, ContentHash, Error, Mail, QueueName, Result, Store};
use postroom_mail::Message;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

/// So much of them is kept at hand, but always the last one.
const MOST_BYTES: usize = 32 << 20;
/// And so many of them.
const MOST: usize = 500;
/// What large mails take at a time, in KiB, while they are made and sent.
const ROOM: u32 = 64 << 10;
/// A smaller mail needs no room, and is made in no time.
pub(crate) const SMALL: usize = 256 << 10;

/// Those that were used last.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The latest last.
    latest: Mutex<Vec<(ContentHash, Place)>>,
    room: Arc<Semaphore>,
}

/// Where a content comes, so that ten mails that need it read it once.
type Place = Arc<OnceCell<Content>>;

/// Why there is none.
enum Missing {
    Gone,
    Unread(Error),
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
        let place = self.place_of(hash);
        let read = || async { store.content(queue, hash).await.map_err(Missing::Unread)?.ok_or(Missing::Gone) };
        let found = place.get_or_try_init(read).await.cloned();
        forget_the_oldest(&mut self.lock());
        match found {
            Ok(content) => Ok(Some(content)),
            Err(Missing::Gone) => Ok(None),
            Err(Missing::Unread(problem)) => Err(problem),
        }
    }

    fn place_of(&self, hash: ContentHash) -> Place {
        let mut latest = self.lock();
        let known = latest.iter().position(|(known, _)| *known == hash).map(|at| latest.remove(at).1);
        let place = known.unwrap_or_default();
        latest.push((hash, Arc::clone(&place)));
        place
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(ContentHash, Place)>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for a mail with such content. However many mails are sent at a time, a
    /// worker takes no more memory than it has room.
    pub(crate) async fn room_for(&self, mail: &Mail) -> Option<OwnedSemaphorePermit> {
        self.room(mail.content_bytes()).await
    }

    /// The same for a message that was made of few bytes and has many.
    pub(crate) async fn room_of(&self, message: &Message) -> Option<OwnedSemaphorePermit> {
        let mut room = self.room(message.bytes.len()).await;
        made(&mut room);
        room
    }

    async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
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

fn forget_the_oldest(latest: &mut Vec<(ContentHash, Place)>) {
    let size = |place: &Place| place.get().map_or(0, Content::size);
    let mut bytes: usize = latest.iter().map(|(_, place)| size(place)).sum();
    while (bytes > MOST_BYTES || latest.len() > MOST) && latest.len() > 1 {
        bytes -= size(&latest.remove(0).1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(bytes: Vec<u8>) -> (ContentHash, Place) {
        let content = Content::from(bytes);
        (content.hash(), Arc::new(OnceCell::new_with(Some(content))))
    }

    #[test]
    fn the_oldest_go_when_it_is_too_much() {
        let mut latest: Vec<_> = (0..4).map(|byte| known(vec![byte; MOST_BYTES / 3])).collect();
        let last = latest[3].0;
        forget_the_oldest(&mut latest);
        assert_eq!((latest.len(), latest[2].0), (3, last));
        let huge = known(vec![0; MOST_BYTES + 1]);
        latest.push(huge.clone());
        forget_the_oldest(&mut latest);
        assert_eq!(latest, [huge]);
        latest.extend((0..MOST + 5).map(|n| known(n.to_be_bytes().to_vec())));
        forget_the_oldest(&mut latest);
        assert_eq!(latest.len(), MOST);
    }
}
