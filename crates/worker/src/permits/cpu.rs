//! Share of the CPU that rendering and composing may take, the longest computations of a worker.

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

/// Number of mails made before other tasks run.
const IN_A_ROW: usize = 4;

/// Limits rendering. A claim brings many mails at once. Made in one go, they would delay mails that
/// already have a connection, and server, Redis and worker would wait for each other.
#[derive(Debug)]
pub(crate) struct CpuLimiter {
    /// One permit per runtime thread.
    permits: Semaphore,
    made: AtomicUsize,
    /// One permit for messages that take long, since each may take much memory.
    long: Arc<Semaphore>,
}

/// Permit to make a message that takes long; while it is held, no other is made.
pub(crate) type CpuPermit = Arc<Option<OwnedSemaphorePermit>>;

impl CpuLimiter {
    /// Creates the limiter for the current runtime.
    pub(crate) fn new() -> Self {
        let permits = Semaphore::new(Handle::current().metrics().num_workers());
        Self { permits, made: AtomicUsize::new(0), long: Arc::new(Semaphore::new(1)) }
    }

    /// Runs `make` under a permit; for an urgent mail at once.
    pub(crate) async fn make<T>(&self, urgent: bool, make: impl FnOnce() -> T) -> T {
        if urgent {
            return make();
        }
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        if self.made.fetch_add(1, Relaxed).is_multiple_of(IN_A_ROW) {
            yield_now().await;
        }
        make()
    }

    /// Runs a long `make` under a permit, on a thread for blocking work. The permit is released
    /// when both the caller and the thread have dropped it: an abandoned computation still runs for
    /// a moment.
    pub(crate) async fn make_long<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> (T, CpuPermit) {
        // The semaphore is never closed.
        let permit = Arc::new(Arc::clone(&self.long).acquire_owned().await.ok());
        let own = Arc::clone(&permit);
        let made = run_blocking(move || {
            let _own = own;
            make()
        });
        (made.await, permit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Returns the order of events: mails made (`m`), urgent mails (`u`) and steps of a concurrent
    /// task (`.`).
    async fn done(mails: usize) -> String {
        let (limiter, done) = (Arc::new(CpuLimiter::new()), Arc::new(Mutex::new(String::new())));
        let note = |what: char| {
            let done = Arc::clone(&done);
            move || done.lock().expect("no panic").push(what)
        };
        let mut tasks: Vec<_> = (0..mails)
            .map(|_| {
                let (limiter, made) = (Arc::clone(&limiter), note('m'));
                tokio::spawn(async move { limiter.make(false, made).await })
            })
            .collect();
        let (urgent_limiter, urgent) = (Arc::clone(&limiter), note('u'));
        tasks.push(tokio::spawn(async move { urgent_limiter.make(true, urgent).await }));
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
    async fn other_tasks_run_between_mails_and_urgent_mail_comes_first() {
        let done = done(40).await;
        assert_eq!(done.matches('m').count(), 40, "{done}");
        assert!(!done.contains(&"m".repeat(2 * IN_A_ROW)), "{done}");
        assert!(done.starts_with('u'), "{done}");
    }
}
