//! After Redis was restarted, or another server took its place, a worker says what it knows before it claims again.

use std::{sync::Arc, time::Duration};

use postroom_core::{
    QueueName, Result,
    store::{KnownJob, KnownState, Outcome, RunId},
};
use tracing::info;

use crate::{
    memory::{Said, Statement},
    office::Office,
    settler::{MOST, defers, finishes},
};

/// Between two attempts to say it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Opens the gate to each run of the server, once it knows what this worker knows.
pub(crate) async fn keep_introduced(office: Arc<Office>) {
    let mut before: Option<RunId> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let run = office.jobs.unsynced_run().await;
        if before.as_ref().is_some_and(|before| *before != run) {
            info!("this is another run of Redis: it is told what this worker knows");
        }
        match office.outage.watch(speak(&office, &run).await) {
            Ok(()) => {
                office.jobs.mark_synced(&run);
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

async fn speak(office: &Office, run: &RunId) -> Result<()> {
    for queue in office.queues() {
        speak_of(office, &queue, run).await?;
    }
    Ok(())
}

/// Which jobs there are, then what became of those that were settled.
async fn speak_of(office: &Office, queue: &QueueName, run: &RunId) -> Result<()> {
    // The memory first: what is settled meanwhile is then told as held at worst, and said again by its settler.
    let said = office.counter(queue).settler.memory().all();
    let held = office.in_flight.known_of_queue(queue);
    let is_said = |known: &KnownJob<'_>| said.iter().any(|said| said.id == *known.id && said.fence == known.fence);
    let held = held.iter().map(|(id, held)| KnownJob {
        id,
        fence: held.fence,
        state: KnownState::Held,
        begun: held.begun.as_ref().map(|(message_id, date_ms)| (message_id.as_str(), *date_ms)),
        payload: &held.payload,
    });
    let jobs: Vec<KnownJob<'_>> =
        held.filter(|known| !is_said(known)).chain(said.iter().map(|said| known(said))).collect();
    let store = office.jobs.any_run();
    store.restate(queue, &office.id, run, &jobs).await?;
    for chunk in said.chunks(MOST) {
        store.finish(queue, &office.id, finishes(chunk)).await?;
        store.defer(queue, &office.id, &defers(chunk)).await?;
    }
    store.complete_restate(queue, &office.id, run).await?;
    office.counter(queue).settler.memory().said_again();
    Ok(())
}

/// A job of which it is known what became of it.
fn known(said: &Statement) -> KnownJob<'_> {
    let known = match said.said {
        Said::Finish(Outcome::Sent, _) => KnownState::Sent,
        Said::Finish(..) | Said::Defer(..) => KnownState::Settled,
    };
    KnownJob { id: &said.id, fence: said.fence, state: known, begun: None, payload: &said.payload }
}
