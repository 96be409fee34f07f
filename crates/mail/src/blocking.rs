//! CPU-heavy work on a blocking thread, cancelled when its future is dropped.

use std::{
    cell::RefCell,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::task::spawn_blocking;

thread_local! {
    /// Cancellation flag of the work that runs on this thread.
    static ABANDONED: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Runs rendering and similar work on a thread for blocking work.
///
/// Panics of the work are propagated. Dropping the future sets the cancellation flag: rendering
/// stops soon and its result is discarded.
pub async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let abandoned = Arc::new(AtomicBool::new(false));
    let _guard = AbandonOnDrop(Arc::clone(&abandoned));
    let done = spawn_blocking(move || {
        ABANDONED.set(Some(abandoned));
        let _clear = ClearOnDrop;
        work()
    });
    match done.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime cancels queued work only when it shuts down; this future is not polled
            // after that.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Returns true if the future of the work on this thread was dropped.
pub(crate) fn is_abandoned() -> bool {
    ABANDONED.with_borrow(|abandoned| abandoned.as_ref().is_some_and(|abandoned| abandoned.load(Relaxed)))
}

struct AbandonOnDrop(Arc<AtomicBool>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Clears the flag, because the thread is reused for other work.
struct ClearOnDrop;

impl Drop for ClearOnDrop {
    fn drop(&mut self) {
        ABANDONED.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        time::{Duration, Instant},
    };

    use super::*;

    #[tokio::test]
    async fn work_is_marked_as_abandoned_when_its_future_is_dropped() {
        let (ended, result) = mpsc::channel();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let work = tokio::spawn(run_blocking(move || {
            let _ = begun.send(());
            let start = Instant::now();
            while !is_abandoned() && start.elapsed() < Duration::from_secs(60) {
                std::thread::yield_now();
            }
            let _ = ended.send(is_abandoned());
        }));
        begins.await.expect("the work starts");
        work.abort();
        let end = spawn_blocking(move || result.recv_timeout(Duration::from_secs(70)));
        assert_eq!(end.await.expect("no panic"), Ok(true));
        assert!(!run_blocking(is_abandoned).await, "the next work is not abandoned");
    }

    #[tokio::test]
    async fn a_panic_is_propagated_to_the_caller() {
        let work = tokio::spawn(run_blocking(|| panic!("boom")));
        assert!(work.await.expect_err("a panic").is_panic());
    }
}
