//! Checks of queue names that a command receives.

use std::collections::BTreeSet;

use postroom_core::{QueueName, Store};

use crate::{
    context::Context,
    exit::{CommandError, Result},
};

/// Returns the queues that are configured here or were ever used.
pub(crate) async fn known(context: &Context, store: &Store) -> Result<BTreeSet<QueueName>> {
    let configured = context.postroom.settings().queues.keys().cloned();
    Ok(store.known_queues().await?.into_iter().chain(configured).collect())
}

/// Returns the `requested` queues, or all known ones when none is requested. An unknown queue is an
/// error.
pub(crate) async fn select(context: &Context, store: &Store, requested: &[QueueName]) -> Result<Vec<QueueName>> {
    let known = known(context, store).await?;
    if requested.is_empty() {
        return Ok(known.into_iter().collect());
    }
    match requested.iter().find(|queue| !known.contains(queue)) {
        None => Ok(requested.to_vec()),
        Some(queue) => Err(unknown(queue, &known)),
    }
}

/// Returns an error about a queue that is not known.
pub(crate) fn unknown(queue: &QueueName, known: &BTreeSet<QueueName>) -> CommandError {
    CommandError::unknown("queue", queue.as_str(), known.iter().map(QueueName::as_str))
}
