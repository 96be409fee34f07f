//! When mails are made ready: rendering and composing, the longest that a worker computes in one piece.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use postroom_mail::run_blocking;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::yield_now,
};

/// So many are made before all else has its turn.
const IN_A_ROW: usize = 4;

/// A claim brings many mails at once. Made in one go, they would hold up those that have a connection already, and server,
/// Redis and worker would wait for each other by turns.
#[derive(Debug)]
pub(crate) struct Making {
    /// As many at the same time as there are threads.
    turns: Semaphore,
    made: AtomicUsize,
    /// One at a time of those that take long, since each may take much memory.
    long: Arc<Semaphore>,
}

/// The leave to make one that takes long; while it is held, no other is made.
pub(crate) type Leave = Arc<Option<OwnedSemaphorePermit>>;

impl Making {
    /// For the runtime that this is called on.
    pub(crate) fn new() -> Self {
        let turns = Semaphore::new(Handle::current().metrics().num_workers());
        Self { turns, made: AtomicUsize::new(0), long: Arc::new(Semaphore::new(1)) }
    }

    /// Makes one when its turn has come; an urgent one at once.
    pub(crate) async fn make<T>(&self, urgent: bool, make: impl FnOnce() -> T) -> T {
        if urgent {
            return make();
        }
        // Never closed.
        let _turn = self.turns.acquire().await;
        if self.made.fetch_add(1, Relaxed).is_multiple_of(IN_A_ROW) {
            yield_now().await;
        }
        make()
    }
}

impl Making {
    /// Makes one that may take long on a thread of its own, when its turn has come. The turn ends when neither the caller nor the
    /// thread has its leave any more: what was given up is still computed for a moment.
    pub(crate) async fn make_long<T: Send + 'static>(&self, make: impl FnOnce() -> T + Send + 'static) -> (T, Leave) {
        // Never closed.
        let leave = Arc::new(Arc::clone(&self.long).acquire_owned().await.ok());
        let own = Arc::clone(&leave);
        let made = run_blocking(move || {
            let _own = own;
            make()
        });
        (made.await, leave)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was done, in its order: mails made, urgent ones, and steps of a task that is under way beside them.
    async fn done(mails: usize) -> String {
        let (making, done) = (Arc::new(Making::new()), Arc::new(Mutex::new(String::new())));
        let note = |what: char| {
            let done = Arc::clone(&done);
            move || done.lock().expect("no panic").push(what)
        };
        let mut tasks: Vec<_> = (0..mails)
            .map(|_| {
                let (making, made) = (Arc::clone(&making), note('m'));
                tokio::spawn(async move { making.make(false, made).await })
            })
            .collect();
        let (urgent_making, urgent) = (Arc::clone(&making), note('u'));
        tasks.push(tokio::spawn(async move { urgent_making.make(true, urgent).await }));
        let step = note('.');
        tasks.push(tokio::spawn(async move {
            for _ in 0..mails {
                step();
                yield_now().await;
            }
        }));
        for task in tasks {
            task.await.expect("it ends");
        }
        let done = done.lock().expect("no panic");
        done.clone()
    }

    #[tokio::test]
    async fn what_is_under_way_goes_on_between_and_urgent_mail_goes_first() {
        let done = done(40).await;
        assert_eq!(done.matches('m').count(), 40, "{done}");
        assert!(!done.contains(&"m".repeat(2 * IN_A_ROW)), "{done}");
        assert!(done.starts_with('u'), "{done}");
    }
}
