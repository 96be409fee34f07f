//! Resync: after a restart or failover of Redis, a worker restates its jobs before it claims again.

use std::{sync::Arc, time::Duration};

use postroom_core::{
    QueueName, Result,
    store::{KnownJob, KnownState, Outcome, RunId},
};
use tracing::info;

use crate::{
    settler::{MAX_JOBS, Settlement, SettlementKind, defers, finishes},
    worker::Worker,
};

/// Pause between two attempts to resynchronise; each is twice as long, up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Resynchronises each new run of the server and then permits this worker's calls to it.
pub(crate) async fn keep_synced(worker: Arc<Worker>) {
    let mut before: Option<RunId> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let run = worker.redis.jobs.unsynced_run().await;
        if before.as_ref().is_some_and(|before| *before != run) {
            info!("Redis has restarted or failed over; restating the jobs of this worker");
        }
        match worker.redis.watch(resync_all(&worker, &run).await) {
            Ok(()) => {
                worker.redis.jobs.mark_synced(&run);
                before = Some(run);
                pause = FIRST_PAUSE;
            }
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn resync_all(worker: &Worker, run: &RunId) -> Result<()> {
    for queue in worker.queues() {
        resync_queue(worker, &queue, run).await?;
    }
    Ok(())
}

/// Restates the jobs that this worker holds, then repeats its recent settlements.
async fn resync_queue(worker: &Worker, queue: &QueueName, run: &RunId) -> Result<()> {
    // Reads the replay log first. A job that is settled meanwhile is then restated as held at
    // worst, and its settler repeats the settlement.
    let settled = worker.transports.route(queue).settler.replay_log().all();
    let held = worker.in_flight.data_of_queue(queue);
    let is_settled = |held: &KnownJob<'_>| settled.iter().any(|job| job.id == *held.id && job.fence == held.fence);
    let held = held.iter().map(|(id, held)| KnownJob {
        id,
        fence: held.fence,
        state: KnownState::Held,
        begun: held.begun.as_ref().map(|(message_id, date_ms)| (message_id.as_str(), *date_ms)),
        payload: &held.payload,
    });
    let jobs: Vec<KnownJob<'_>> =
        held.filter(|job| !is_settled(job)).chain(settled.iter().map(|job| restatement(job))).collect();
    let store = worker.redis.jobs.any_run();
    store.restate(queue, &worker.redis.worker_id, run, &jobs).await?;
    for chunk in settled.chunks(MAX_JOBS) {
        store.finish(queue, &worker.redis.worker_id, finishes(chunk)).await?;
        store.defer(queue, &worker.redis.worker_id, &defers(chunk)).await?;
    }
    store.complete_restate(queue, &worker.redis.worker_id, run).await?;
    worker.transports.route(queue).settler.replay_log().replayed();
    Ok(())
}

/// Returns the restatement of a settled job.
fn restatement(job: &Settlement) -> KnownJob<'_> {
    let state = match job.kind {
        SettlementKind::Finish(Outcome::Sent, _) => KnownState::Sent,
        SettlementKind::Finish(..) | SettlementKind::Defer(..) => KnownState::Settled,
    };
    KnownJob { id: &job.id, fence: job.fence, state, begun: None, payload: &job.payload }
}
