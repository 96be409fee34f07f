//! Places for connections: how many there may be, and how many stand.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;

/// All places of a pool.
#[derive(Debug)]
pub(crate) struct Places {
    allowed: AtomicUsize,
    /// Whether somebody tells how many there may be, as time goes by.
    steered: AtomicBool,
    /// Taken: by a connection that is dialled, stands, or says goodbye.
    taken: AtomicUsize,
    standing: AtomicUsize,
    /// Wakes those who wait for a place or a session.
    pub(crate) freed: Notify,
    /// Rung when another number stands.
    pub(crate) changes: Arc<Notify>,
}

/// One of them, until it is dropped.
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

    /// A place, if one is free.
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
    /// The connection stands.
    pub(crate) fn stands(mut self) -> Self {
        self.stands = true;
        self.places.stand(true);
        self
    }

    /// The connection did not come about while others stand: before who steers has said more, nobody tries in its place. The
    /// server may let no more in.
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
