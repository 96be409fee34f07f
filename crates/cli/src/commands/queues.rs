//! `postroom queues`

use std::time::Duration;

use postroom_core::{QueueReport, format_span};
use serde::Serialize;

use crate::{context::Context, exit::Result, queue_names, table};

const EXAMPLES: &str = "Examples:
  postroom queues
  postroom queues --json | jq 'select(.queued > 1000).queue'";

/// Show the queues: counters by state, age of the oldest mail, number of workers
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

/// A queue with the number of workers that serve it.
#[derive(Debug, Serialize)]
struct QueueView {
    #[serde(flatten)]
    report: QueueReport,
    workers: usize,
}

pub(crate) async fn run(context: &Context, _: &Args) -> Result<()> {
    let store = context.postroom.store().await?;
    let workers = store.workers().await?;
    let mut views = Vec::new();
    for queue in queue_names::known(context, store).await? {
        let report = store.queue(&queue).await?;
        let workers = workers.iter().filter(|worker| worker.queues.contains(&queue)).count();
        views.push(QueueView { report, workers });
    }
    context.console.list(&views, || table_of(&views));
    Ok(())
}

fn table_of(views: &[QueueView]) -> String {
    let columns =
        ["queue", "scheduled", "queued", "sending", "deferred", "unknown", "sent", "failed", "oldest", "workers"];
    let mut table = table::with(&columns);
    for QueueView { report, workers } in views {
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
