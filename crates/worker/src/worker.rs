//! The state that all tasks of one worker share.

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
    alerts::{AlertSubject, Alerts},
    batch_content::BatchContents,
    capture::StoreSink,
    contents::Contents,
    in_flight::InFlight,
    outlet::{Outlet, Signals},
    permits::cpu::CpuLimiter,
    permits::limits::Limits,
    route::Route,
    send_stats::SendStats,
    settler::Settler,
    webhooks::Webhooks,
};

/// BatchContent state of the worker.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Store handle for calls that do not change the state of a job.
    pub(crate) store: Store,
    /// Store handle for calls that change the state of a job. Refuses all calls to a new run of the
    /// server until that run is resynchronised.
    pub(crate) jobs: Store,
    pub(crate) settings: Settings,
    pub(crate) id: WorkerId,
    pub(crate) templates: Templates,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) batches: BatchContents,
    pub(crate) contents: Contents,
    pub(crate) cpu: CpuLimiter,
    pub(crate) webhooks: Webhooks,
    pub(crate) outage: Outage,
    /// `claim` is also notified when a sweep finds jobs: the wake token in Redis may have been
    /// lost.
    pub(crate) signals: Signals,
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) limits: Limits,
    pub(crate) stats: SendStats,
    pub(crate) sent: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Templates that this worker lacks, with the time of the first mail that needed them.
    missing: Mutex<HashMap<String, Instant>>,
    outlets: Vec<Arc<Outlet>>,
    routes: HashMap<QueueName, Route>,
}

/// An alert is cleared when its condition was not seen for this long (it is rechecked every 20 s).
const ALERT_SILENCE: Duration = Duration::from_secs(45);

impl Worker {
    /// Builds the state for the queues of the settings.
    ///
    /// # Errors
    ///
    /// Returns an error if a transport, the webhook CA file or the templates cannot be read.
    pub(crate) fn open(store: Store, settings: Settings, outage: Outage) -> anyhow::Result<Self> {
        let id = WorkerId::generate();
        let signals = Signals::default();
        let alerts = Arc::new(Alerts::new(Arc::clone(&signals.report)));
        let outlets: Vec<Arc<Outlet>> = transports(&store, &settings)?
            .into_iter()
            .map(|transport| {
                let cap = settings.connections.get(transport.name()).copied();
                Arc::new(Outlet::new(transport, cap, Arc::clone(&alerts), signals.clone()))
            })
            .collect();
        let (jobs, in_flight) = (store.gated(), Arc::new(InFlight::default()));
        let mut routes = HashMap::new();
        for (queue, _) in &settings.serve {
            let named = |name: &str| outlets.iter().find(|outlet| outlet.transport.name() == name).cloned();
            let own = settings.transports_of(queue)?.into_iter().filter_map(|(name, _)| named(name)).collect();
            let settler = Settler::start(&jobs, queue, &id, &outage, &in_flight);
            routes.insert(queue.clone(), Route::new(own, settler));
        }
        let limits = Limits::new(&settings);
        let webhooks = postroom_mail::Webhooks::from_settings(&settings.notify)
            .map_err(|error| InvalidInput::new(variables::NOTIFY_WEBHOOK_CA_FILE.name, error))?;
        let templates = Templates::load(&settings.templates_dir).context("reading the templates")?;
        Ok(Self {
            store,
            jobs,
            settings,
            id,
            templates,
            in_flight,
            batches: BatchContents::default(),
            contents: Contents::default(),
            cpu: CpuLimiter::new(),
            webhooks: Webhooks::new(webhooks),
            outage,
            signals,
            limits,
            stats: SendStats::default(),
            alerts,
            outlets,
            missing: Mutex::default(),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            routes,
        })
    }

    /// Returns the route of a queue that this worker serves.
    pub(crate) fn route(&self, queue: &QueueName) -> &Route {
        &self.routes[queue]
    }

    /// Returns the queues that this worker serves.
    pub(crate) fn queues(&self) -> Vec<QueueName> {
        self.settings.serve.iter().map(|(queue, _)| queue.clone()).collect()
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

    /// Counts a job that was sent or has failed.
    pub(crate) fn tally(&self, outcome: Outcome) {
        match outcome {
            Outcome::Sent => drop(self.sent.fetch_add(1, Ordering::Relaxed)),
            Outcome::Failed => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
            Outcome::Unknown => {}
        }
    }

    /// Returns how long this worker has lacked a template, counted from the first mail that needed
    /// it.
    pub(crate) fn lacks_template(&self, name: &str) -> Duration {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.entry(name.to_owned()).or_insert_with(Instant::now).elapsed()
    }

    /// Reloads the templates if they have changed on disk, and clears alerts that no longer apply.
    pub(crate) fn reload_templates(&self) {
        match self.templates.reload_if_changed() {
            Ok(true) => {
                self.missing.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.alerts.clear(&AlertSubject::Templates, "the changed templates are valid");
                info!("reloaded the changed templates");
            }
            Ok(false) => {}
            Err(error) => self.alerts.raise(AlertSubject::Templates, reload_failed(&error)),
        }
        self.alerts.clear_ended(ALERT_SILENCE, &self.templates.names());
    }
}

fn reload_failed(error: &LoadError) -> String {
    format!("cannot load the changed templates, the old ones stay in use: {error}")
}

/// Builds the transports of the served queues only, so that a missing password of another queue's
/// transport does not stop this worker.
fn transports(store: &Store, settings: &Settings) -> anyhow::Result<Vec<Transport>> {
    let mut all: Vec<Transport> = Vec::new();
    for (queue, _) in &settings.serve {
        for (name, transport) in settings.transports_of(queue)? {
            if all.iter().any(|known| known.name() == name) {
                continue;
            }
            let sink = Arc::new(StoreSink(store.clone()));
            let transport = Transport::from_settings(name, transport, sink)
                .with_context(|| format!("setting up the transport {name}"))?;
            all.push(transport);
        }
    }
    Ok(all)
}
