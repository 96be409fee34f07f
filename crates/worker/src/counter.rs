//! Where a queue's mail leaves and is settled.

use std::{sync::Arc, time::Duration};

use crate::{
    breaker::Way,
    lease_clock,
    outlet::{Admission, Outlet},
    settler::Settler,
};

/// A queue's ways out, in their order, and its settler.
#[derive(Debug)]
pub(crate) struct Counter {
    outlets: Vec<Arc<Outlet>>,
    pub(crate) settler: Settler,
}

/// Whether there is any use in claiming from a queue.
#[derive(Debug)]
pub(crate) enum Room {
    /// As much as there are slots for, by this way.
    Enough(Arc<Outlet>),
    /// One mail, to try a transport that was down.
    ForOne(Admission),
    /// Nothing before that long; unknown while a mail tries.
    None(Option<Duration>),
}

impl Counter {
    pub(crate) fn new(outlets: Vec<Arc<Outlet>>, settler: Settler) -> Self {
        Self { outlets, settler }
    }

    /// The first way out that is open to a mail and was not `tried` by it.
    pub(crate) fn admit(&self, tried: &[String]) -> Option<Admission> {
        let untried = |outlet: &&Arc<Outlet>| tried.iter().all(|name| name != outlet.transport.name());
        self.ways().filter(untried).find_map(Outlet::admit)
    }

    /// Whether mail of this queue can leave now. What could not would only be claimed to be put back.
    pub(crate) fn room(&self) -> Room {
        if let Some(outlet) = self.ways().find(|outlet| outlet.way() == Way::Clear) {
            return Room::Enough(Arc::clone(outlet));
        }
        if let Some(admission) = self.ways().find_map(Outlet::reserve) {
            return Room::ForOne(admission);
        }
        let waited_for = self.outlets.iter().find(|outlet| outlet.is_waited_for());
        let soonest = self.ways().chain(waited_for).filter_map(|outlet| match outlet.way() {
            Way::Shut(until) => until,
            // It has opened this moment.
            Way::Clear | Way::ForOne => Some(Duration::ZERO),
        });
        Room::None(soonest.min().map(|until| until.saturating_sub(lease_clock::now()).max(Duration::from_millis(1))))
    }

    /// The ways out in their order, up to one that mail waits for.
    fn ways(&self) -> impl Iterator<Item = &Arc<Outlet>> {
        self.outlets.iter().take_while(|outlet| !outlet.is_waited_for())
    }
}
