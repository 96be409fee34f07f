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
    Outage, QueueName, Store,
    settings::Settings,
    store::{Outcome, WorkerId},
};
use postroom_mail::{LoadError, Templates, Transport};
use tokio::sync::Notify;
use tracing::{error, info};

use crate::{capture::StoreSink, in_flight::InFlight, settler::Settler, shared_content::SharedContent};

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
    pub(crate) outage: Outage,
    /// Rung when a sweep finds jobs ready: the bell's ring may have been lost.
    pub(crate) ready: Notify,
    pub(crate) sent: AtomicU64,
    pub(crate) failed: AtomicU64,
    alert: Mutex<Option<String>>,
    /// Since when this worker knows that it lacks a template.
    missing: Mutex<HashMap<String, Instant>>,
    counters: HashMap<QueueName, Counter>,
}

/// Where a queue's mail is sent by and settled.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    pub(crate) transport: Arc<Transport>,
    pub(crate) settler: Settler,
}

impl Office {
    /// Opens for the queues of the settings.
    pub(crate) fn open(store: Store, settings: Settings, outage: Outage) -> anyhow::Result<Self> {
        let id = WorkerId::generate();
        let transports = transports(&store, &settings)?;
        let (jobs, in_flight) = (store.gated(), Arc::new(InFlight::default()));
        let mut counters = HashMap::new();
        for (queue, _) in &settings.serve {
            let (name, _) = settings.transport_of(queue)?;
            let transport = Arc::clone(&transports[name]);
            let settler = Settler::start(&jobs, queue, &id, &outage, &in_flight);
            counters.insert(queue.clone(), Counter { transport, settler });
        }
        let templates = Templates::load(&settings.templates_dir).context("reading the templates")?;
        Ok(Self {
            store,
            jobs,
            settings,
            id,
            templates,
            in_flight,
            shared: SharedContent::default(),
            outage,
            ready: Notify::new(),
            missing: Mutex::default(),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            alert: Mutex::new(None),
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
    pub(crate) fn transports(&self) -> Vec<Arc<Transport>> {
        let mut all: Vec<Arc<Transport>> = Vec::new();
        for counter in self.counters.values() {
            if !all.iter().any(|known| Arc::ptr_eq(known, &counter.transport)) {
                all.push(Arc::clone(&counter.transport));
            }
        }
        all
    }

    /// Lets go what Redis has known for long enough.
    pub(crate) fn forget(&self) {
        self.counters.values().for_each(|counter| counter.settler.memory().forget(Instant::now()));
    }

    /// One more was sent, or has failed.
    pub(crate) fn tally(&self, outcome: Outcome) {
        match outcome {
            Outcome::Sent => drop(self.sent.fetch_add(1, Ordering::Relaxed)),
            Outcome::Failed => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
            Outcome::Unknown => {}
        }
    }

    /// Says what keeps this worker from working; told with the worker wherever workers are shown.
    pub(crate) fn raise_alert(&self, text: String) {
        let mut alert = self.alert.lock().unwrap_or_else(PoisonError::into_inner);
        if alert.as_ref() != Some(&text) {
            error!("{text}");
            *alert = Some(text);
        }
    }

    /// For how long this worker has lacked a template, from the first mail that asked for it.
    pub(crate) fn lacks_template(&self, name: &str) -> Duration {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.entry(name.to_owned()).or_insert_with(Instant::now).elapsed()
    }

    /// What keeps this worker from working, if anything.
    pub(crate) fn alert(&self) -> Option<String> {
        self.alert.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in templates that have changed on disk.
    pub(crate) fn reload_templates(&self) {
        match self.templates.reload_if_changed() {
            Ok(true) => {
                self.missing.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.alert.lock().unwrap_or_else(PoisonError::into_inner).take();
                info!("templates have changed and are loaded anew");
            }
            Ok(false) => {}
            Err(problem) => self.raise_alert(told(&problem)),
        }
    }
}

fn told(problem: &LoadError) -> String {
    format!("changed templates can't be used, the old ones stay: {problem}")
}

/// Only what the served queues use, so that one queue's missing password does not stop another's worker.
fn transports(store: &Store, settings: &Settings) -> anyhow::Result<HashMap<String, Arc<Transport>>> {
    let mut all = HashMap::new();
    for (queue, _) in &settings.serve {
        let (name, transport) = settings.transport_of(queue)?;
        if !all.contains_key(name) {
            let sink = Arc::new(StoreSink(store.clone()));
            let transport = Transport::from_settings(name, transport, sink)
                .with_context(|| format!("setting up the transport {name}"))?;
            all.insert(name.to_owned(), Arc::new(transport));
        }
    }
    Ok(all)
}
