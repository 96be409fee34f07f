//! `postroom list`

use postroom_core::{
    BatchId, BatchReport, EmailAddress, JobReport, JobState, QueueName,
    store::{JobFilter, JobPage},
};

use serde_json::json;

use crate::{
    context::Context,
    exit::{CommandError, Result},
    outcome, queue_names, table,
};

const EXAMPLES: &str = "Examples:
  postroom list --state failed
  postroom list --address ann@example.org --limit 5
  postroom list --batch b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV --state failed --json
  postroom list --batches";

/// Maximum length of a list.
const MOST_LISTED: usize = 100_000;

/// List jobs, unfinished ones first, or batches, latest first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// List only jobs in this state: scheduled, queued, deferred, sending, sent, failed, cancelled
    /// or unknown
    #[arg(long, value_name = "STATE")]
    state: Option<JobState>,
    /// List only this queue; repeatable
    #[arg(long, value_name = "QUEUE")]
    queue: Vec<QueueName>,
    /// List only jobs of this batch
    #[arg(long, value_name = "ID", conflicts_with = "queue")]
    batch: Option<BatchId>,
    /// List only jobs with this template
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// List only jobs to this recipient
    #[arg(long, value_name = "ADDRESS")]
    address: Option<EmailAddress>,
    /// List at most this number
    #[arg(long, value_name = "NUMBER", default_value = "50", value_parser = limit)]
    limit: usize,
    /// Continue from the cursor that the previous list printed
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// List batches instead of jobs
    #[arg(long, conflicts_with_all = ["state", "batch", "template", "address", "cursor"])]
    batches: bool,
}

/// Parses the length of a list for clap.
fn limit(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST_LISTED).contains(number));
    number.ok_or_else(|| format!("it may be a number from 1 to {MOST_LISTED}"))
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<()> {
    if args.batches { batches(context, &args).await } else { jobs(context, args).await }
}

async fn jobs(context: &Context, args: Args) -> Result<()> {
    let store = context.postroom.store().await?;
    let limit = args.limit;
    if let Some(batch) = &args.batch {
        store.batch(batch).await?.ok_or_else(|| CommandError::not_found(batch))?;
    }
    let filter = JobFilter {
        queues: queue_names::select(context, store, &args.queue).await?,
        state: args.state,
        batch: args.batch,
        template: args.template,
        address: args.address,
    };
    let mut page = store.find_jobs(&filter, args.cursor.as_deref(), limit).await?;
    // A page may end early if few jobs match.
    while let (true, Some(cursor)) = (page.jobs.len() < limit, page.next.as_deref()) {
        let more = store.find_jobs(&filter, Some(cursor), limit - page.jobs.len()).await?;
        page = JobPage { jobs: [page.jobs, more.jobs].concat(), next: more.next };
    }
    context.console.list(&page.jobs, || jobs_table(&page.jobs));
    match &page.next {
        Some(next) => {
            context.console.result_note(&json!({ "cursor": next }), || format!("there may be more: --cursor {next}"));
        }
        None if page.jobs.is_empty() => context.console.note("no job matches"),
        None => {}
    }
    Ok(())
}

async fn batches(context: &Context, args: &Args) -> Result<()> {
    let store = context.postroom.store().await?;
    let queues = queue_names::select(context, store, &args.queue).await?;
    let mut found = Vec::new();
    for queue in &queues {
        found.extend(store.batches(queue, 0, args.limit).await?);
    }
    found.sort_by(|a, b| b.created_at.cmp(&a.created_at));
    found.truncate(args.limit);
    context.console.list(&found, || batches_table(&found));
    Ok(())
}

fn jobs_table(jobs: &[JobReport]) -> String {
    let mut table = table::with(&["id", "state", "to", "template", "attempt", "enqueued", "why"]);
    for job in jobs {
        let to: Vec<&str> = job.to.iter().map(|mailbox| mailbox.address.as_str()).collect();
        table.add_row([
            job.id.to_string(),
            job.state.to_string(),
            to.join(", "),
            job.template.clone().unwrap_or_default(),
            job.attempt.to_string(),
            job.enqueued_at.clone().unwrap_or_default(),
            outcome::why(job).unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}

fn batches_table(batches: &[BatchReport]) -> String {
    let mut table = table::with(&["id", "name", "created", "done", "mails"]);
    for batch in batches {
        let done = if batch.done { "done" } else { "" };
        table.add_row([
            batch.id.to_string(),
            batch.name.clone(),
            batch.created_at.clone(),
            done.to_owned(),
            outcome::counts(batch),
        ]);
    }
    table.trim_fmt()
}
