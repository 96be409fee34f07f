//! Permits for the connections of a pool: maximum number, number of open connections, and refusals
//! of further ones.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// First pause before a further connection is tried after a refused one, while others are open.
/// Each refusal in a row doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Time after a refused connection for which the open ones are not given up without need.
const SCARCE_FOR: Duration = Duration::from_secs(600);

/// All permits of a pool.
#[derive(Debug)]
pub(crate) struct PoolPermits {
    max: AtomicUsize,
    /// Permits in use, by connections that are being opened, open, or being closed.
    in_use: AtomicUsize,
    open: AtomicUsize,
    refusal: Mutex<Option<ConnectionRefusal>>,
    /// Wakes tasks that wait for a permit or a session.
    pub(crate) released: Notify,
    /// Notified when the number of open connections changes.
    pub(crate) open_changes: Arc<Notify>,
}

/// Last refusal of a further connection while others were open.
#[derive(Clone, Copy, Debug)]
struct ConnectionRefusal {
    at: Instant,
    /// Time for which no further connection is tried.
    pause: Duration,
    /// Whether the server stated that there are too many connections, and nobody has asked yet.
    is_news: bool,
}

/// Permit for one connection, released on drop.
#[derive(Debug)]
pub(crate) struct PoolPermit {
    permits: Arc<PoolPermits>,
    is_open: bool,
}

impl PoolPermits {
    pub(crate) fn new(max: Option<usize>) -> Self {
        Self {
            max: AtomicUsize::new(max.map_or(usize::MAX, |max| max.max(1))),
            in_use: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            refusal: Mutex::default(),
            released: Notify::new(),
            open_changes: Arc::default(),
        }
    }

    pub(crate) fn set_max(&self, max: usize) {
        if self.max.swap(max, SeqCst) < max {
            self.released.notify_waiters();
        }
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Whether more permits are in use than the maximum.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.in_use.load(SeqCst) > self.max.load(SeqCst)
    }

    /// Acquires a permit if one is free. While connections are open, none is free for a while after
    /// the server refused a further one.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<PoolPermit> {
        if self.open() > 0 && self.lock().is_some_and(|refusal| refusal.at.elapsed() < refusal.pause) {
            return None;
        }
        let max = self.max.load(SeqCst);
        let acquired = self.in_use.fetch_update(SeqCst, SeqCst, |in_use| (in_use < max).then_some(in_use + 1));
        acquired.ok().map(|_| PoolPermit { permits: Arc::clone(self), is_open: false })
    }

    /// Whether connections are worth keeping: the server refused another recently.
    pub(crate) fn is_scarce(&self) -> bool {
        self.lock().is_some_and(|refusal| refusal.at.elapsed() < SCARCE_FOR)
    }

    /// Returns once whether the server stated that there are too many connections.
    pub(crate) fn take_refusal(&self) -> bool {
        self.lock().as_mut().is_some_and(|refusal| std::mem::take(&mut refusal.is_news))
    }

    /// Handles the refusal of a further connection: the open ones are used meanwhile. `is_stated`
    /// is whether the server named the number of connections. Returns false if none is open.
    pub(crate) fn refused(&self, is_stated: bool) -> bool {
        if self.open() == 0 {
            return false;
        }
        let mut last = self.lock();
        let pause = match *last {
            Some(last) if last.at.elapsed() < last.pause * 3 => (last.pause * 2).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        *last = Some(ConnectionRefusal { at: Instant::now(), pause, is_news: is_stated });
        drop(last);
        if is_stated {
            self.open_changes.notify_one();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Option<ConnectionRefusal>> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_open(&self, more: bool) {
        let change = if more { AtomicUsize::fetch_add } else { AtomicUsize::fetch_sub };
        change(&self.open, 1, SeqCst);
        self.open_changes.notify_one();
    }
}

impl PoolPermit {
    /// Counts the connection as open.
    pub(crate) fn into_open(mut self) -> Self {
        self.is_open = true;
        self.permits.count_open(true);
        self
    }
}

impl Drop for PoolPermit {
    fn drop(&mut self) {
        if self.is_open {
            self.permits.count_open(false);
        }
        self.permits.in_use.fetch_sub(1, SeqCst);
        self.permits.released.notify_waiters();
    }
}
