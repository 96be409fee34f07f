//! What every delivery of this worker shares.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use postroom_core::{
    InvalidInput, Outage, QueueName, Store,
    settings::{Settings, variables},
    store::{LimitName, Measure, Outcome, WorkerId},
};
use postroom_mail::{LoadError, Templates, Transport};
use tracing::{debug, info};

use crate::{
    alerts::{About, Alerts},
    contents::Contents,
    counter::Counter,
    in_flight::InFlight,
    limits::Limits,
    making::Making,
    outlet::{Bells, Outlet},
    pulse::Pulse,
    settler::Settler,
    shared_content::SharedContent,
    webhooks::Webhooks,
};

/// The worker's means and memory.
#[derive(Debug)]
pub(crate) struct Office {
    /// For all that does not touch a job's state.
    pub(crate) store: Store,
    /// For what does: closed to every new run of the server until that knows what this worker knows.
    pub(crate) jobs: Store,
    pub(crate) settings: Settings,
    pub(crate) id: WorkerId,
    pub(crate) templates: Templates,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) shared: SharedContent,
    pub(crate) contents: Contents,
    pub(crate) making: Making,
    pub(crate) webhooks: Webhooks,
    pub(crate) outage: Outage,
    /// `ready` is also rung when a sweep finds jobs: the ring in Redis may have been lost.
    pub(crate) bells: Bells,
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) limits: Limits,
    pub(crate) pulse: Pulse,
    pub(crate) sent: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Since when this worker knows that it lacks a template.
    missing: Mutex<HashMap<String, Instant>>,
    outlets: Vec<Arc<Outlet>>,
    counters: HashMap<QueueName, Counter>,
}

/// What is met again at least every 20 s, and was not for that long, is over.
const SILENCE: Duration = Duration::from_secs(45);

impl Office {
    /// Opens for the queues of the settings.
    pub(crate) fn open(store: Store, settings: Settings, outage: Outage) -> anyhow::Result<Self> {
        let id = WorkerId::generate();
        let bells = Bells::default();
        let alerts = Arc::new(Alerts::new(Arc::clone(&bells.news)));
        let outlets: Vec<Arc<Outlet>> = transports(&store, &settings)?
            .into_iter()
            .map(|transport| {
                let cap = settings.connections.get(transport.name()).copied();
                Arc::new(Outlet::new(transport, cap, Arc::clone(&alerts), bells.clone()))
            })
            .collect();
        let (jobs, in_flight) = (store.synced_only(), Arc::new(InFlight::default()));
        let mut counters = HashMap::new();
        for (queue, _) in &settings.serve {
            let named = |name: &str| outlets.iter().find(|outlet| outlet.transport.name() == name).cloned();
            let own = settings.transports_of(queue)?.into_iter().filter_map(|(name, _)| named(name)).collect();
            let settler = Settler::start(&jobs, queue, &id, &outage, &in_flight);
            counters.insert(queue.clone(), Counter::new(own, settler));
        }
        let limits = Limits::new(&settings);
        let webhooks = postroom_mail::Webhooks::from_settings(&settings.notify)
            .map_err(|problem| InvalidInput::new(variables::NOTIFY_WEBHOOK_CA_FILE.name, problem))?;
        let templates = Templates::load(&settings.templates_dir).context("reading the templates")?;
        Ok(Self {
            store,
            jobs,
            settings,
            id,
            templates,
            in_flight,
            shared: SharedContent::default(),
            contents: Contents::default(),
            making: Making::new(),
            webhooks: Webhooks::new(webhooks),
            outage,
            bells,
            limits,
            pulse: Pulse::default(),
            alerts,
            outlets,
            missing: Mutex::default(),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            counters,
        })
    }

    /// The counter of a queue that this worker serves.
    pub(crate) fn counter(&self, queue: &QueueName) -> &Counter {
        &self.counters[queue]
    }

    /// The queues that this worker serves.
    pub(crate) fn queues(&self) -> Vec<QueueName> {
        self.settings.serve.iter().map(|(queue, _)| queue.clone()).collect()
    }

    /// Every transport in use, once.
    pub(crate) fn outlets(&self) -> &[Arc<Outlet>] {
        &self.outlets
    }

    /// The limits in force on a queue's mail that leaves by this transport.
    pub(crate) fn limits_on(&self, queue: &QueueName, outlet: &Outlet) -> Vec<(LimitName, Measure)> {
        self.limits.among(&[LimitName::Queue(queue.clone()), outlet.limit.clone()])
    }

    /// A limit gives no leave for longer.
    pub(crate) fn shut(&self, limit: &LimitName, wait: Duration, why: &str) {
        let told = self.limits.told(limit, why);
        match self.outlets.iter().find(|outlet| outlet.limit == *limit) {
            Some(outlet) => outlet.shut_for(wait, &told, self.limits.over(limit)),
            None => debug!("{limit} waits for {} s: {told}", wait.as_secs()),
        }
    }

    /// One more was sent, or has failed.
    pub(crate) fn tally(&self, outcome: Outcome) {
        match outcome {
            Outcome::Sent => drop(self.sent.fetch_add(1, Ordering::Relaxed)),
            Outcome::Failed => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
            Outcome::Unknown => {}
        }
    }

    /// For how long this worker has lacked a template, from the first mail that asked for it.
    pub(crate) fn lacks_template(&self, name: &str) -> Duration {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.entry(name.to_owned()).or_insert_with(Instant::now).elapsed()
    }

    /// Takes in templates that have changed on disk.
    pub(crate) fn reload_templates(&self) {
        match self.templates.reload_if_changed() {
            Ok(true) => {
                self.missing.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.alerts.clear(&About::Templates, "the changed templates can be used");
                info!("templates have changed and are loaded anew");
            }
            Ok(false) => {}
            Err(problem) => self.alerts.raise(About::Templates, told(&problem)),
        }
        self.alerts.clear_settled(SILENCE, &self.templates.names());
    }
}

fn told(problem: &LoadError) -> String {
    format!("changed templates can't be used, the old ones stay: {problem}")
}

/// Only what the served queues use, so that one queue's missing password does not stop another's worker.
fn transports(store: &Store, settings: &Settings) -> anyhow::Result<Vec<Transport>> {
    let mut all: Vec<Transport> = Vec::new();
    for (queue, _) in &settings.serve {
        for (name, transport) in settings.transports_of(queue)? {
            if all.iter().any(|known| known.name() == name) {
                continue;
            }
            let sink = Arc::new(store.clone());
            let transport = Transport::from_settings(name, transport, sink)
                .with_context(|| format!("setting up the transport {name}"))?;
            all.push(transport);
        }
    }
    Ok(all)
}
