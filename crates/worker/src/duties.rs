//! Background duties of a worker, each with its interval.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use postroom_core::{
    JobId, QueueName, Shutdown,
    store::{ProcessInfo, ProcessKind, SweepReply},
};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tracing::{info, warn};

use crate::{alerts::AlertSubject, in_flight::InFlight, resync, transports::Outlet, worker::Worker};

/// Starts all duties and returns the task that reports on this worker. It is ended before the
/// worker deregisters.
///
/// | duty | interval | does |
/// | --- | --- | --- |
/// | resync | each new run of Redis | restates the jobs of this worker before it claims again |
/// | renew | 1/5 of the shortest lease, at most 3 s | renews the leases of jobs under way |
/// | sweep | 1/5 of a lease, at most 3 s; else 4 s | promotes, rescues, expires, sends notices |
/// | prune | 60 s | deletes records past their retention |
/// | report | 5 s, and at each change | reports the state of this worker |
/// | limits | 1 s with mail under way, else 5 s | reads limits set at run time or learned |
/// | connections | 2 s, and at each change | renews the connection permits of this worker |
/// | templates | 2 s | reloads changed templates |
/// | idle connections | 10 s | closes idle connections |
pub(crate) fn start(worker: &Arc<Worker>, info: ProcessInfo, shutdown: &Shutdown) -> JoinHandle<()> {
    tokio::spawn(resync::keep_synced(Arc::clone(worker)));
    tokio::spawn(renew(Arc::clone(worker)));
    for queue in worker.queues() {
        tokio::spawn(sweep(Arc::clone(worker), queue.clone(), shutdown.child()));
        tokio::spawn(prune(Arc::clone(worker), queue, shutdown.child()));
    }
    tokio::spawn(templates(Arc::clone(worker), shutdown.child()));
    tokio::spawn(idle_connections(Arc::clone(worker), shutdown.child()));
    for outlet in worker.transports.outlets() {
        tokio::spawn(connection_permits(Arc::clone(worker), Arc::clone(outlet)));
    }
    tokio::spawn(limits(Arc::clone(worker), shutdown.child()));
    tokio::spawn(report(Arc::clone(worker), info, shutdown.child()))
}

/// Renews leases. Continues while the worker drains, because jobs are still under way.
async fn renew(worker: Arc<Worker>) {
    loop {
        let Some(lease) = worker.in_flight.shortest_lease() else {
            worker.in_flight.shorter_lease().await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep((lease / 5).min(Duration::from_secs(3))) => {}
            // The interval is shorter now.
            () = worker.in_flight.shorter_lease() => continue,
        }
        for queue in worker.queues() {
            for jobs in worker.in_flight.of_queue(&queue).chunks(200) {
                let lost = worker.redis.watch(worker.redis.jobs.renew(&queue, &worker.redis.worker_id, jobs).await);
                for id in still_unsettled(&worker.in_flight, jobs, lost.unwrap_or_default()) {
                    warn!(job = %id, "lost the lease of {id}; another worker may send it");
                }
            }
        }
    }
}

/// Returns the jobs whose lease is lost. A job that was settled meanwhile has no lease either, and
/// its settlement reports if another worker had it.
fn still_unsettled(in_flight: &InFlight, renewed: &[(JobId, u64)], mut lost: Vec<JobId>) -> Vec<JobId> {
    let is_unsettled = |id: &JobId| renewed.iter().any(|(own, fence)| own == id && in_flight.is_unsettled(id, *fence));
    lost.retain(is_unsettled);
    lost
}

async fn sweep(worker: Arc<Worker>, queue: QueueName, shutdown: Shutdown) {
    // Random, so that workers started together sweep at different times.
    let mut pause = Duration::from_millis(fastrand::u64(200..2_000));
    while pause_for(pause, &shutdown).await {
        if let Ok(swept) = worker.redis.watch(worker.redis.jobs.sweep(&queue, &worker.redis.worker_id).await) {
            pause = sweep_again_after(&swept);
            // Redis has just answered, so it has not lost settlements past the retention.
            worker.transports.route(&queue).settler.replay_log().forget(Instant::now());
            if swept.ready {
                worker.signals.claim.notify_one();
            }
            if swept.notices > 0 {
                let _ = worker.redis.watch(worker.notices.dispatch(&queue).await);
            }
            if swept.rescued + swept.in_doubt > 0 {
                warn!(
                    "{queue}: {} jobs of lost workers are queued again, {} are in doubt",
                    swept.rescued, swept.in_doubt
                );
            }
            raise_damage(&worker, &queue, &swept);
            if swept.expired > 0 {
                info!("{queue}: {} mails expired before they were sent", swept.expired);
            }
        }
    }
}

/// Raises alerts for jobs of a newer protocol and for damaged records.
fn raise_damage(worker: &Worker, queue: &QueueName, swept: &SweepReply) {
    let (newer, job) = &swept.newer;
    if *newer > 0 {
        let text = format!(
            "{queue}: {newer} jobs of a newer postroom version wait for a worker that can read them, such as {job}; \
             upgrade a worker or cancel them"
        );
        worker.alerts.raise(AlertSubject::Protocol(queue.clone()), text);
    }
    let (damaged, latest) = &swept.damaged;
    if *damaged > 0 {
        let text = format!("{queue}: {damaged} damaged records were found in the last hour; the latest: {latest}");
        worker.alerts.raise(AlertSubject::Damage(queue.clone()), text);
    }
}

/// Returns the pause before the next sweep. With leases out, sweeps must be frequent: a longer
/// pause between them counts as a stall of Redis.
fn sweep_again_after(swept: &SweepReply) -> Duration {
    match swept.leases {
        0 => Duration::from_secs(4),
        _ => (swept.lease / 5).clamp(Duration::from_millis(100), Duration::from_secs(3)),
    }
}

async fn prune(worker: Arc<Worker>, queue: QueueName, shutdown: Shutdown) {
    let mut pause = Duration::from_secs(fastrand::u64(5..60));
    while pause_for(pause, &shutdown).await {
        let more = worker.redis.watch(worker.redis.store.prune(&queue).await).unwrap_or(false);
        pause = if more { Duration::from_millis(100) } else { Duration::from_secs(60) };
    }
}

/// Reports the state of this worker. Continues while it drains, so that it is shown as stopping and
/// not as dead.
async fn report(worker: Arc<Worker>, info: ProcessInfo, shutdown: Shutdown) {
    loop {
        let state = if shutdown.is_requested() { "stopping" } else { "running" };
        let _ = worker.redis.watch(worker.redis.store.report_alive(&current(&worker, &info, state)).await);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
            () = worker.signals.report.notified() => {}
        }
    }
}

/// Returns the present report.
fn current(worker: &Worker, info: &ProcessInfo, state: &str) -> ProcessInfo {
    let (sent, failed) = worker.stats.totals();
    ProcessInfo {
        state: state.to_owned(),
        sending: worker.in_flight.busy_jobs(),
        sent,
        failed,
        alerts: worker.alerts.list(),
        transports: worker.transports.outlets().iter().map(|outlet| outlet.report()).collect(),
        ..info.clone()
    }
}

/// Returns the constant part of the report.
pub(crate) fn registration(worker: &Worker) -> ProcessInfo {
    ProcessInfo {
        queues: worker.queues(),
        lacks_sender: worker.settings.sender.is_none(),
        concurrency: usize::try_from(worker.settings.concurrency.max).unwrap_or(usize::MAX),
        ..ProcessInfo::of_this_process(ProcessKind::Worker, worker.redis.worker_id.to_string())
    }
}

async fn limits(worker: Arc<Worker>, shutdown: Shutdown) {
    loop {
        let transports = worker.transports.outlets().iter().map(|outlet| outlet.limit.clone());
        let _ = worker.redis.watch(worker.transports.limits.refresh(&worker.redis.store, transports).await);
        let pause = if worker.in_flight.len() > 0 { 1 } else { 5 };
        if !pause_for(Duration::from_secs(pause), &shutdown).await {
            return;
        }
    }
}

/// Renews connection permits. Continues while the worker drains, because connections are still
/// open.
async fn connection_permits(worker: Arc<Worker>, outlet: Arc<Outlet>) {
    let Some(changes) = outlet.transport.connections_change() else { return };
    let mut due = tokio::time::interval(Duration::from_secs(2));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = changes.notified() => drop(worker.redis.watch(outlet.connections.handle_change().await)),
            _ = due.tick() => drop(worker.redis.watch(outlet.connections.renew().await)),
        }
    }
}

async fn templates(worker: Arc<Worker>, shutdown: Shutdown) {
    while pause_for(Duration::from_secs(2), &shutdown).await {
        let worker = Arc::clone(&worker);
        // Blocking: reads files.
        let _ = tokio::task::spawn_blocking(move || worker.reload_templates()).await;
    }
}

async fn idle_connections(worker: Arc<Worker>, shutdown: Shutdown) {
    while pause_for(Duration::from_secs(10), &shutdown).await {
        worker.transports.outlets().iter().for_each(|outlet| outlet.transport.retire_old());
    }
}

/// Pauses. Returns whether to continue; false after a stop request.
async fn pause_for(pause: Duration, shutdown: &Shutdown) -> bool {
    tokio::select! {
        () = shutdown.requested() => false,
        () = tokio::time::sleep(pause) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use postroom_core::store::Claimed;

    use super::*;

    #[test]
    fn only_the_lost_lease_of_an_unsettled_job_is_reported() {
        let in_flight = InFlight::default();
        let queue = QueueName::emails();
        let [sending, settling, ended, again] = [1, 2, 3, 4].map(|fence| Claimed {
            id: JobId::new(queue.clone()),
            fence,
            payload: Arc::from("{}"),
            content: Err(String::new()),
            attempt: 0,
            tries: 0,
            date_ms: None,
            message_id: None,
            recipients: Vec::new(),
            generation: 0,
            line: None,
        });
        let _guards = [&sending, &settling, &again].map(|job| in_flight.enter(job, Duration::from_secs(60), 0));
        in_flight.settling(&settling.id, settling.fence);
        // Claimed again under a higher fence since the renewal.
        let renewed = [(&sending, 1), (&settling, 2), (&ended, 3), (&again, 3)];
        let renewed = renewed.map(|(job, fence)| (job.id.clone(), fence));
        let lost = renewed.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(still_unsettled(&in_flight, &renewed, lost), [sending.id]);
    }
}
