//! A queue's outlets and its settler.

use std::{sync::Arc, time::Duration};

use super::{
    breaker::BreakerState,
    outlet::{Admission, Outlet},
};
use crate::{lease_clock, settler::Settler};

/// The outlets of a queue, in order of preference, and its settler.
#[derive(Debug)]
pub(crate) struct Route {
    outlets: Vec<Arc<Outlet>>,
    pub(crate) settler: Settler,
}

/// Whether mail of a queue can leave now.
#[derive(Debug)]
pub(crate) enum Availability {
    /// As many mails as there are slots, by this outlet.
    Open(Arc<Outlet>),
    /// One mail, to probe a transport that was down.
    Probe(Admission),
    /// None before this time has passed; `None` while a probe is under way.
    Closed(Option<Duration>),
}

impl Route {
    pub(crate) fn new(outlets: Vec<Arc<Outlet>>, settler: Settler) -> Self {
        Self { outlets, settler }
    }

    /// Admits a mail to the first open outlet that is not in `tried`.
    pub(crate) fn admit(&self, tried: &[String]) -> Option<Admission> {
        let untried = |outlet: &&Arc<Outlet>| tried.iter().all(|name| name != outlet.transport.name());
        self.usable().filter(untried).find_map(Outlet::admit)
    }

    /// Returns whether mail of this queue can leave now. Mail that cannot leave would only be
    /// claimed to be put back.
    pub(crate) fn availability(&self) -> Availability {
        if let Some(outlet) = self.usable().find(|outlet| outlet.state() == BreakerState::Closed) {
            return Availability::Open(Arc::clone(outlet));
        }
        if let Some(admission) = self.usable().find_map(Outlet::reserve) {
            return Availability::Probe(admission);
        }
        let waited_for = self.outlets.iter().find(|outlet| outlet.is_waited_for());
        let soonest = self.usable().chain(waited_for).filter_map(|outlet| match outlet.state() {
            BreakerState::Open(until) => until,
            // Opened since the check above.
            BreakerState::Closed | BreakerState::HalfOpen => Some(Duration::ZERO),
        });
        Availability::Closed(
            soonest.min().map(|until| until.saturating_sub(lease_clock::now()).max(Duration::from_millis(1))),
        )
    }

    /// Returns the outlets in order, up to one that mail waits for.
    fn usable(&self) -> impl Iterator<Item = &Arc<Outlet>> {
        self.outlets.iter().take_while(|outlet| !outlet.is_waited_for())
    }
}
