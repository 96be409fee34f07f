//! The transports that mail leaves by: outlets with their circuit breakers, routes of the queues,
//! and the limits on them.

mod breaker;
mod likeness;
mod masked;
mod outlet;
mod rate_window;
mod refusals;
mod route;
mod starvation;
mod weighing;

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context;
use postroom_core::{
    QueueName, Store,
    settings::Settings,
    store::{LimitName, Measure},
};
use postroom_mail::Transport;
use tracing::debug;

pub(crate) use self::{
    outlet::{Admission, Outlet},
    route::{Availability, Route},
};
use crate::{
    alerts::Alerts, in_flight::InFlight, permits::Limits, redis_access::RedisAccess, settler::Settler, signals::Signals,
};

/// Outlets, routes and limits of one worker.
#[derive(Debug)]
pub(crate) struct Transports {
    outlets: Vec<Arc<Outlet>>,
    routes: HashMap<QueueName, Arc<Route>>,
    pub(crate) limits: Limits,
}

impl Transports {
    /// Builds the outlets of the served queues and starts their settlers.
    ///
    /// # Errors
    ///
    /// Returns an error if the settings of a transport are wrong.
    pub(crate) fn new(
        settings: &Settings,
        redis: &RedisAccess,
        in_flight: &Arc<InFlight>,
        alerts: &Arc<Alerts>,
        signals: &Signals,
    ) -> anyhow::Result<Self> {
        let outlets: Vec<Arc<Outlet>> = served_transports(&redis.store, settings)?
            .into_iter()
            .map(|transport| {
                let cap = settings.connections.get(transport.name()).copied();
                Arc::new(Outlet::new(transport, cap, redis, alerts, signals))
            })
            .collect();
        let mut routes = HashMap::new();
        for (queue, _) in &settings.serve {
            let named = |name: &str| outlets.iter().find(|outlet| outlet.transport.name() == name).cloned();
            let own = settings.transports_of(queue)?.into_iter().filter_map(|(name, _)| named(name)).collect();
            let settler = Settler::start(redis, queue, in_flight);
            routes.insert(queue.clone(), Arc::new(Route::new(own, settler)));
        }
        Ok(Self { outlets, routes, limits: Limits::new(settings) })
    }

    /// Returns the route of a queue that this worker serves.
    pub(crate) fn route(&self, queue: &QueueName) -> &Arc<Route> {
        &self.routes[queue]
    }

    /// Returns each outlet in use once.
    pub(crate) fn outlets(&self) -> &[Arc<Outlet>] {
        &self.outlets
    }

    /// Returns the limits in force for mail of this queue through this outlet.
    pub(crate) fn limits_on(&self, queue: &QueueName, outlet: &Outlet) -> Vec<(LimitName, Measure)> {
        self.limits.among(&[LimitName::Queue(queue.clone()), outlet.limit.clone()])
    }

    /// Records that a limit grants nothing for `wait`. A limit of a transport puts its outlet on
    /// hold.
    pub(crate) fn hold(&self, limit: &LimitName, wait: Duration, why: &str) {
        let reason = self.limits.describe(limit, why);
        match self.outlets.iter().find(|outlet| outlet.limit == *limit) {
            Some(outlet) => outlet.hold_for(wait, &reason, self.limits.over(limit)),
            None => debug!("limit {limit} grants nothing for {} s: {reason}", wait.as_secs()),
        }
    }
}

/// Builds the transports of the served queues only, so that a missing password of another queue's
/// transport does not stop this worker.
fn served_transports(store: &Store, settings: &Settings) -> anyhow::Result<Vec<Transport>> {
    let mut all: Vec<Transport> = Vec::new();
    for (queue, _) in &settings.serve {
        for (name, transport) in settings.transports_of(queue)? {
            if all.iter().any(|built| built.name() == name) {
                continue;
            }
            let sink = Arc::new(store.clone());
            let transport = Transport::from_settings(name, transport, sink)
                .with_context(|| format!("setting up the transport {name}"))?;
            all.push(transport.with_envelope_from(settings.envelope_senders.get(name).cloned()));
        }
    }
    Ok(all)
}
