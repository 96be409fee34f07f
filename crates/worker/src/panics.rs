//! A delivery that panics fails its own job only.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use postroom_core::{
    JobId,
    store::{Outcome, Settled},
};
use tokio::{sync::OwnedSemaphorePermit, task::JoinError};
use tracing::warn;

use crate::office::Office;

/// What settles a job whose delivery panicked.
#[derive(Debug)]
pub(crate) struct InCase {
    pub(crate) office: Arc<Office>,
    pub(crate) id: JobId,
    pub(crate) fence: u64,
    pub(crate) attempt: u32,
    /// Whether its mark is written and the committing bytes may have left.
    pub(crate) begun: Arc<AtomicBool>,
}

/// Runs a delivery and keeps its slot until it ends, however it does.
pub(crate) async fn watched(
    slot: OwnedSemaphorePermit,
    in_case: InCase,
    delivery: impl Future<Output = ()> + Send + 'static,
) {
    if let Err(error) = tokio::spawn(delivery).await {
        in_case.settle(text(error)).await;
    }
    drop(slot);
}

impl InCase {
    /// The job fails, or is in doubt when its mark was written, and nothing else is touched.
    async fn settle(self, what: String) {
        let id = self.id;
        warn!(job = %id, "the delivery of {id} panicked");
        let outcome = if self.begun.load(Ordering::Relaxed) { Outcome::Unknown } else { Outcome::Failed };
        let left = Settled { attempt: self.attempt + 1, error: Some(("panic".to_owned(), what)), ..Settled::default() };
        let settler = &self.office.counter(id.queue()).settler;
        match settler.finish((id.clone(), self.fence, outcome, "panic".to_owned(), left)).await {
            Ok(_) => self.office.tally(outcome),
            Err(problem) => warn!(job = %id, "{id} could not be settled: {problem}"),
        }
    }
}

fn text(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "the task was ended".to_owned() };
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
