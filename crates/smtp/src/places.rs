//! Permits for the connections of a pool: maximum number, and number of open connections.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;

/// All permits of a pool.
#[derive(Debug)]
pub(crate) struct Places {
    allowed: AtomicUsize,
    /// Whether the maximum is adjusted at run time.
    steered: AtomicBool,
    /// Permits in use, by connections that are being opened, open, or being closed.
    taken: AtomicUsize,
    standing: AtomicUsize,
    /// Wakes tasks that wait for a permit or a session.
    pub(crate) freed: Notify,
    /// Notified when the number of open connections changes.
    pub(crate) changes: Arc<Notify>,
}

/// Permit for one connection, released on drop.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    stands: bool,
}

impl Places {
    pub(crate) fn new(allowed: Option<usize>) -> Self {
        Self {
            allowed: AtomicUsize::new(allowed.map_or(usize::MAX, |allowed| allowed.max(1))),
            steered: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
            standing: AtomicUsize::new(0),
            freed: Notify::new(),
            changes: Arc::default(),
        }
    }

    pub(crate) fn allow(&self, number: usize) {
        self.steered.store(true, SeqCst);
        if self.allowed.swap(number, SeqCst) < number {
            self.freed.notify_waiters();
        }
    }

    pub(crate) fn standing(&self) -> usize {
        self.standing.load(SeqCst)
    }

    pub(crate) fn are_exceeded(&self) -> bool {
        self.taken.load(SeqCst) > self.allowed.load(SeqCst)
    }

    /// Acquires a permit if one is free.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        let allowed = self.allowed.load(SeqCst);
        let entered = self.taken.fetch_update(SeqCst, SeqCst, |taken| (taken < allowed).then_some(taken + 1));
        entered.ok().map(|_| Place { places: Arc::clone(self), stands: false })
    }

    fn stand(&self, more: bool) {
        let change = if more { AtomicUsize::fetch_add } else { AtomicUsize::fetch_sub };
        change(&self.standing, 1, SeqCst);
        self.changes.notify_one();
    }
}

impl Place {
    /// Counts the connection as open.
    pub(crate) fn stands(mut self) -> Self {
        self.stands = true;
        self.places.stand(true);
        self
    }

    /// Releases the permit after a connection could not be opened. If the maximum is adjusted at
    /// run time and others are open, the maximum falls to the number of other permits in use: the
    /// server may not accept more connections.
    pub(crate) fn failed(self) {
        let places = &self.places;
        if places.steered.load(SeqCst) && places.standing() > 0 {
            places.allowed.fetch_min(places.taken.load(SeqCst) - 1, SeqCst);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.stands {
            self.places.stand(false);
        }
        self.places.taken.fetch_sub(1, SeqCst);
        self.places.freed.notify_waiters();
    }
}
