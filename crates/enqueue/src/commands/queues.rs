//! `postroom queues`, and the warning about a queue that nobody serves.

use std::{collections::BTreeSet, time::Duration};

use postroom_core::{QueueName, QueueReport, Store, format_span};
use serde::Serialize;

use super::{
    Context,
    exit::{Failure, Result},
    table,
};

const EXAMPLES: &str = "Examples:
  postroom queues
  postroom queues --json | jq 'select(.queued > 1000).queue'";

/// For how long a warning may keep a mail waiting: not noticeably.
const WARNING_LIMIT: Duration = Duration::from_millis(300);

/// Show the queues: what waits, since when, who works
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

/// A queue and how many workers serve it.
#[derive(Debug, Serialize)]
struct Served {
    #[serde(flatten)]
    report: QueueReport,
    workers: usize,
}

pub(crate) async fn run(context: &Context, _: &Args) -> Result<()> {
    let store = context.postroom.store().await?;
    let workers = store.workers().await?;
    let mut served = Vec::new();
    for queue in known(context, store).await? {
        let report = store.queue(&queue).await?;
        let workers = workers.iter().filter(|worker| worker.queues.contains(&queue)).count();
        served.push(Served { report, workers });
    }
    context.console.list(&served, || table_of(&served));
    Ok(())
}

/// All queues that are configured here or were ever used.
pub(crate) async fn known(context: &Context, store: &Store) -> Result<BTreeSet<QueueName>> {
    let configured = context.postroom.settings().queues.keys().cloned();
    Ok(store.known_queues().await?.into_iter().chain(configured).collect())
}

/// These queues, or all when none is named; one that nobody configured or used is refused.
pub(crate) async fn named(context: &Context, store: &Store, named: &[QueueName]) -> Result<Vec<QueueName>> {
    let known = known(context, store).await?;
    if named.is_empty() {
        return Ok(known.into_iter().collect());
    }
    match named.iter().find(|queue| !known.contains(queue)) {
        None => Ok(named.to_vec()),
        Some(queue) => {
            let names: Vec<&str> = known.iter().map(QueueName::as_str).collect();
            let problem = format!("there is no queue {queue}; it may be {}", names.join(", "));
            Err(Failure::usage("--queue", problem))
        }
    }
}

/// Hands mail over and says so when no worker serves its queue. That is found out at the same time, so that no mail waits
/// or fails for a warning; where it can't be found out at once, nothing is said.
pub(crate) async fn with_warning<T, F>(context: &Context, queue: &QueueName, hand_over: F) -> crate::Result<T>
where
    F: IntoFuture<Output = crate::Result<T>>,
{
    let served = tokio::time::timeout(WARNING_LIMIT, context.postroom.is_served(queue));
    let (handed_over, served) = tokio::join!(hand_over.into_future(), served);
    if let (Ok(_), Ok(Ok(false))) = (&handed_over, served) {
        context.console.warn(format_args!("no worker serves the queue {queue}: mail waits there until one is started"));
    }
    handed_over
}

fn table_of(served: &[Served]) -> String {
    let columns =
        ["queue", "scheduled", "queued", "sending", "deferred", "unknown", "sent", "failed", "oldest", "workers"];
    let mut table = table::with(&columns);
    for Served { report, workers } in served {
        let numbers = [
            report.scheduled,
            report.queued,
            report.sending,
            report.deferred,
            report.unknown,
            report.sent_total,
            report.failed_total,
        ];
        let name = if report.paused { format!("{} (paused)", report.queue) } else { report.queue.to_string() };
        let oldest = report.oldest_queued_s.map_or_else(String::new, |s| format_span(Duration::from_secs(s)));
        let numbers = numbers.iter().map(ToString::to_string);
        table.add_row(std::iter::once(name).chain(numbers).chain([oldest, workers.to_string()]));
    }
    table.trim_fmt()
}
