//! Queues, and the workers that serve them.

use postroom_core::{
    QueueReport, Result, Store,
    store::{ProcessInfo, ProcessKind},
};

/// Returns all queues.
pub(crate) async fn queues(store: &Store) -> Result<Vec<QueueReport>> {
    let mut reports = Vec::new();
    for queue in store.known_queues().await? {
        reports.push(store.queue(&queue).await?);
    }
    Ok(reports)
}

/// Returns the workers that serve a queue.
pub(crate) fn workers_of<'a>(
    queue: &'a QueueReport,
    processes: &'a [ProcessInfo],
) -> impl Iterator<Item = &'a ProcessInfo> {
    processes.iter().filter(|process| process.kind == ProcessKind::Worker && process.queues.contains(&queue.queue))
}
