//! What a worker does beside sending, each at its interval.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use postroom_core::{
    QueueName, Shutdown,
    store::{ProcessInfo, ProcessKind, SweepReply},
};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tracing::{info, warn};

use crate::{alerts::About, notices, office::Office, outlet::Outlet, restating};

/// A duty: what it is called, how often it is due, one round of it.
///
/// | duty | every | does |
/// | --- | --- | --- |
/// | restate | at each new run of Redis | says what this worker knows, before it claims again |
/// | renew | a fifth of the shortest lease under way, at most 3 s | says that this worker still works on its jobs |
/// | sweep | a fifth of a lease with leases out, at most 3 s; 4 s without | promotes, rescues, expires; tells of batches that are done (or begins to) |
/// | prune | 60 s | frees what nobody needs any more |
/// | tell | 5 s, and when there is news | tells of this worker |
/// | limits | 1 s with mail under way, else 5 s | learns of limits that were set, and of servers that want less |
/// | seats | 2 s | says which connections this worker has |
/// | templates | 2 s | takes in changed templates |
/// | connections | 10 s | closes idle connections |
///
/// Returns the one that tells, to be ended before the worker takes its leave.
pub(crate) fn start(office: &Arc<Office>, info: ProcessInfo, shutdown: &Shutdown) -> JoinHandle<()> {
    tokio::spawn(restating::keep_introduced(Arc::clone(office)));
    tokio::spawn(renew(Arc::clone(office)));
    for queue in office.queues() {
        tokio::spawn(sweep(Arc::clone(office), queue.clone(), shutdown.child()));
        tokio::spawn(prune(Arc::clone(office), queue, shutdown.child()));
    }
    tokio::spawn(templates(Arc::clone(office), shutdown.child()));
    tokio::spawn(connections(Arc::clone(office), shutdown.child()));
    for outlet in office.outlets() {
        tokio::spawn(seats(Arc::clone(office), Arc::clone(outlet)));
    }
    tokio::spawn(limits(Arc::clone(office), shutdown.child()));
    tokio::spawn(tell(Arc::clone(office), info, shutdown.child()))
}

/// Goes on while this worker drains: what is under way is still its.
async fn renew(office: Arc<Office>) {
    loop {
        let Some(lease) = office.in_flight.shortest_lease() else {
            office.in_flight.shorter_lease().await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep((lease / 5).min(Duration::from_secs(3))) => {}
            // Sooner than that, then.
            () = office.in_flight.shorter_lease() => continue,
        }
        for queue in office.queues() {
            for jobs in office.in_flight.of_queue(&queue).chunks(200) {
                let lost = office.outage.watch(office.jobs.renew(&queue, &office.id, jobs).await);
                for id in lost.unwrap_or_default() {
                    warn!(job = %id, "the lease on {id} is lost");
                }
            }
        }
    }
}

async fn sweep(office: Arc<Office>, queue: QueueName, shutdown: Shutdown) {
    // Workers started together do not all sweep together.
    let mut pause = Duration::from_millis(fastrand::u64(200..2_000));
    while rest(pause, &shutdown).await {
        if let Ok(swept) = office.outage.watch(office.jobs.sweep(&queue, &office.id).await) {
            pause = sweep_again_after(&swept);
            // Redis has just answered: what it was told long ago, it knows.
            office.counter(&queue).settler.memory().forget(Instant::now());
            if swept.ready {
                office.bells.ready.notify_one();
            }
            if swept.notices > 0 {
                let _ = office.outage.watch(notices::hand_over(&office, &queue).await);
            }
            if swept.rescued + swept.in_doubt > 0 {
                warn!(
                    "{queue}: {} jobs of lost workers are queued again, {} are in doubt",
                    swept.rescued, swept.in_doubt
                );
            }
            raise_damage(&office, &queue, &swept);
            if swept.expired > 0 {
                info!("{queue}: {} mails expired before they were sent", swept.expired);
            }
        }
    }
}

/// Alerts about jobs that nobody here can read, and about damaged records.
fn raise_damage(office: &Office, queue: &QueueName, swept: &SweepReply) {
    let (newer, job) = &swept.newer;
    if *newer > 0 {
        let text = format!(
            "{queue}: jobs that a newer version of postroom wrote wait for a worker that can read them: {newer}, such as \
             {job}; upgrade a worker, or cancel them"
        );
        office.alerts.raise(About::Protocol(queue.clone()), text);
    }
    let (damaged, latest) = &swept.damaged;
    if *damaged > 0 {
        let text = format!("{queue}: damaged records found in the last hour: {damaged}; the latest: {latest}");
        office.alerts.raise(About::Damage(queue.clone()), text);
    }
}

/// With leases out, often enough that the pauses between sweeps are not taken for a stall of Redis.
fn sweep_again_after(swept: &SweepReply) -> Duration {
    match swept.leases {
        0 => Duration::from_secs(4),
        _ => (swept.lease / 5).clamp(Duration::from_millis(100), Duration::from_secs(3)),
    }
}

async fn prune(office: Arc<Office>, queue: QueueName, shutdown: Shutdown) {
    let mut pause = Duration::from_secs(fastrand::u64(5..60));
    while rest(pause, &shutdown).await {
        let more = office.outage.watch(office.store.prune(&queue).await).unwrap_or(false);
        pause = if more { Duration::from_millis(100) } else { Duration::from_secs(60) };
    }
}

/// Goes on while this worker drains, so that it is shown as stopping and not as dead.
async fn tell(office: Arc<Office>, info: ProcessInfo, shutdown: Shutdown) {
    loop {
        let state = if shutdown.is_requested() { "stopping" } else { "running" };
        let _ = office.outage.watch(office.store.report_alive(&told(&office, &info, state)).await);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
            () = office.bells.news.notified() => {}
        }
    }
}

/// What there is to tell about this worker now.
fn told(office: &Office, info: &ProcessInfo, state: &str) -> ProcessInfo {
    ProcessInfo {
        state: state.to_owned(),
        sending: office.in_flight.told(),
        sent: office.sent.load(Ordering::Relaxed),
        failed: office.failed.load(Ordering::Relaxed),
        alerts: office.alerts.told(),
        transports: office.outlets().iter().map(|outlet| outlet.report()).collect(),
        ..info.clone()
    }
}

/// What never changes of it.
pub(crate) fn introduction(office: &Office) -> ProcessInfo {
    ProcessInfo {
        queues: office.queues(),
        concurrency: usize::try_from(office.settings.concurrency.max).unwrap_or(usize::MAX),
        ..ProcessInfo::of_this_process(ProcessKind::Worker, office.id.to_string())
    }
}

async fn limits(office: Arc<Office>, shutdown: Shutdown) {
    loop {
        let transports = office.outlets().iter().map(|outlet| outlet.limit.clone());
        let _ = office.outage.watch(office.limits.refresh(&office.store, transports).await);
        let pause = if office.in_flight.len() > 0 { 1 } else { 5 };
        if !rest(Duration::from_secs(pause), &shutdown).await {
            return;
        }
    }
}

/// Goes on while this worker drains: what stands is still its.
async fn seats(office: Arc<Office>, outlet: Arc<Outlet>) {
    let Some(changes) = outlet.transport.connections_change() else { return };
    let mut due = tokio::time::interval(Duration::from_secs(2));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = changes.notified() => drop(office.outage.watch(outlet.connections_changed(&office).await)),
            _ = due.tick() => drop(office.outage.watch(outlet.keep_seats(&office).await)),
        }
    }
}

async fn templates(office: Arc<Office>, shutdown: Shutdown) {
    while rest(Duration::from_secs(2), &shutdown).await {
        let office = Arc::clone(&office);
        // It reads files.
        let _ = tokio::task::spawn_blocking(move || office.reload_templates()).await;
    }
}

async fn connections(office: Arc<Office>, shutdown: Shutdown) {
    while rest(Duration::from_secs(10), &shutdown).await {
        office.outlets().iter().for_each(|outlet| outlet.transport.retire_old());
    }
}

/// Whether to go on after the pause.
async fn rest(pause: Duration, shutdown: &Shutdown) -> bool {
    tokio::select! {
        () = shutdown.requested() => false,
        () = tokio::time::sleep(pause) => true,
    }
}
