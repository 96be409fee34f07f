//! Permits for the connections of a pool: maximum number, and number of open connections.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;

/// All permits of a pool.
#[derive(Debug)]
pub(crate) struct PoolPermits {
    max: AtomicUsize,
    /// Whether the maximum is adjusted at run time.
    is_adjusted: AtomicBool,
    /// Permits in use, by connections that are being opened, open, or being closed.
    in_use: AtomicUsize,
    open: AtomicUsize,
    /// Wakes tasks that wait for a permit or a session.
    pub(crate) released: Notify,
    /// Notified when the number of open connections changes.
    pub(crate) open_changes: Arc<Notify>,
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
            is_adjusted: AtomicBool::new(false),
            in_use: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            released: Notify::new(),
            open_changes: Arc::default(),
        }
    }

    pub(crate) fn set_max(&self, max: usize) {
        self.is_adjusted.store(true, SeqCst);
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

    /// Acquires a permit if one is free.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<PoolPermit> {
        let max = self.max.load(SeqCst);
        let acquired = self.in_use.fetch_update(SeqCst, SeqCst, |in_use| (in_use < max).then_some(in_use + 1));
        acquired.ok().map(|_| PoolPermit { permits: Arc::clone(self), is_open: false })
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

    /// Releases the permit after a connection could not be opened. If the maximum is adjusted at
    /// run time and other connections are open, the server may not accept more. The maximum then
    /// falls to the number of other permits in use.
    pub(crate) fn release_failed(self) {
        let permits = &self.permits;
        if permits.is_adjusted.load(SeqCst) && permits.open() > 0 {
            permits.max.fetch_min(permits.in_use.load(SeqCst) - 1, SeqCst);
        }
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
