//! Metrics endpoint `/metrics`: OpenMetrics text, read from Redis on request.
//!
//! | metric | labels, in this order | value |
//! | --- | --- | --- |
//! | `postroom_jobs` | `queue`, `state` (an unfinished one) | unfinished jobs |
//! | `postroom_jobs_finished_total` | `queue`, `outcome` (a final state) | finished jobs |
//! | `postroom_jobs_enqueued_total` | `queue` | enqueued jobs |
//! | `postroom_queue_oldest_seconds` | `queue` | wait of the oldest queued job; 0 without one |
//! | `postroom_queue_paused` | `queue` | 1 while the queue is paused |
//! | `postroom_workers` | `queue` | running workers that serve the queue |
//! | `postroom_worker_slots` | `queue` | slots of these workers |
//! | `postroom_transport_up` | `transport`, `worker` | 1 if available, 0 while paused or down |
//! | `postroom_processes` | `kind` (worker, beat, monitor) | running processes |
//!
//! Finished jobs are not named `postroom_jobs_total`. OpenMetrics would read that name as the
//! counter of a family `postroom_jobs`, which is a gauge here.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use postroom_core::{
    QueueReport, Store,
    store::{ProcessInfo, ProcessKind, TransportState},
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{
    app::App,
    handler_error::HandlerError,
    inventory::{queues, workers_of},
};

const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

pub(crate) async fn show(State(app): State<App>) -> Result<Response, HandlerError> {
    let text = scrape(app.store()?).await?;
    Ok(([(header::CONTENT_TYPE, KIND)], text).into_response())
}

async fn scrape(store: &Store) -> Result<String, HandlerError> {
    let (queues, processes) = (queues(store).await?, store.processes().await?);
    let metrics = Metrics::default();
    queues.iter().for_each(|queue| metrics.add_queue(queue, &processes));
    metrics.add_processes(&processes);
    let mut text = String::new();
    encode(&mut text, &metrics.registry()).map_err(HandlerError::defect)?;
    Ok(text)
}

#[derive(Default)]
struct Metrics {
    jobs: Family<Labels, Gauge>,
    finished: Family<Labels, Counter>,
    enqueued: Family<Labels, Counter>,
    oldest: Family<Labels, Gauge>,
    paused: Family<Labels, Gauge>,
    workers: Family<Labels, Gauge>,
    slots: Family<Labels, Gauge>,
    transports: Family<Labels, Gauge>,
    processes: Family<Labels, Gauge>,
}

impl Metrics {
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("postroom");
        registry.register("jobs", "Unfinished jobs", self.jobs.clone());
        registry.register("jobs_finished", "Finished jobs", self.finished.clone());
        registry.register("jobs_enqueued", "Enqueued jobs", self.enqueued.clone());
        let oldest = "Wait of the oldest queued job in seconds";
        registry.register("queue_oldest_seconds", oldest, self.oldest.clone());
        registry.register("queue_paused", "Whether the queue is paused", self.paused.clone());
        registry.register("workers", "Running workers that serve the queue", self.workers.clone());
        registry.register("worker_slots", "Slots of the workers that serve the queue", self.slots.clone());
        registry.register("transport_up", "Whether the transport is available", self.transports.clone());
        registry.register("processes", "Running processes", self.processes.clone());
        registry
    }

    fn add_queue(&self, queue: &QueueReport, processes: &[ProcessInfo]) {
        let name = queue.queue.to_string();
        let states = [
            ("scheduled", queue.scheduled),
            ("queued", queue.queued),
            ("sending", queue.sending),
            ("deferred", queue.deferred),
            ("unknown", queue.unknown),
        ];
        let with = |label, value: &str| vec![("queue", name.clone()), (label, value.to_owned())];
        for (state, number) in states {
            set(&self.jobs, &with("state", state), number);
        }
        let outcomes =
            [("sent", queue.sent_total), ("failed", queue.failed_total), ("cancelled", queue.cancelled_total)];
        for (outcome, number) in outcomes {
            self.finished.get_or_create(&with("outcome", outcome)).inc_by(number);
        }
        let alone = vec![("queue", name.clone())];
        self.enqueued.get_or_create(&alone).inc_by(queue.enqueued_total);
        set(&self.oldest, &alone, queue.oldest_queued_s.unwrap_or(0));
        set(&self.paused, &alone, u64::from(queue.paused));
        set(&self.workers, &alone, workers_of(queue, processes).count() as u64);
        set(&self.slots, &alone, workers_of(queue, processes).map(|worker| worker.concurrency as u64).sum());
    }

    fn add_processes(&self, processes: &[ProcessInfo]) {
        let kinds = [("worker", ProcessKind::Worker), ("beat", ProcessKind::Beat), ("monitor", ProcessKind::Monitor)];
        for (name, kind) in kinds {
            let number = processes.iter().filter(|process| process.kind == kind).count();
            set(&self.processes, &vec![("kind", name.to_owned())], number as u64);
        }
        processes.iter().for_each(|process| self.add_transports(process));
    }

    fn add_transports(&self, worker: &ProcessInfo) {
        for transport in &worker.transports {
            let labels = vec![("transport", transport.name.clone()), ("worker", worker.id.clone())];
            set(&self.transports, &labels, u64::from(transport.state == TransportState::Up));
        }
    }
}

fn set(family: &Family<Labels, Gauge>, labels: &Labels, number: u64) {
    family.get_or_create(labels).set(i64::try_from(number).unwrap_or(i64::MAX));
}
