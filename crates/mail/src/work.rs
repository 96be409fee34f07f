//! Work that may compute for long: on a thread where nothing waits for it, and no longer than somebody waits for it.

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
    /// Set once nobody waits for the work of this thread any more.
    static ABANDONED: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Runs rendering and the like on a thread for blocking work. A panic goes on here. When the future is dropped, rendering stops
/// soon and what it would have returned is lost.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let abandoned = Arc::new(AtomicBool::new(false));
    let _guard = Guard(Arc::clone(&abandoned));
    let done = spawn_blocking(move || {
        ABANDONED.set(Some(abandoned));
        let _unset = Unset;
        work()
    });
    match done.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // Only a runtime that ends takes back what has not begun, and it polls nothing after that.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Whether nobody waits for what this thread does.
pub(crate) fn is_abandoned() -> bool {
    ABANDONED.with_borrow(|abandoned| abandoned.as_ref().is_some_and(|abandoned| abandoned.load(Relaxed)))
}

struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The thread is another work's next.
struct Unset;

impl Drop for Unset {
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
    async fn work_knows_that_it_is_abandoned() {
        let (ended, end) = mpsc::channel();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let work = tokio::spawn(apart(move || {
            let _ = begun.send(());
            let start = Instant::now();
            while !is_abandoned() && start.elapsed() < Duration::from_secs(60) {
                std::thread::yield_now();
            }
            let _ = ended.send(is_abandoned());
        }));
        begins.await.expect("it begins");
        work.abort();
        let end = spawn_blocking(move || end.recv_timeout(Duration::from_secs(70)));
        assert_eq!(end.await.expect("no panic"), Ok(true));
        assert!(!apart(is_abandoned).await, "what comes after it is not");
    }

    #[tokio::test]
    async fn a_panic_is_the_callers() {
        let work = tokio::spawn(apart(|| panic!("boom")));
        assert!(work.await.expect_err("a panic").is_panic());
    }
}
