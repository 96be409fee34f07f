//! `postroom retry`

use postroom_core::{
    BatchId, JobId, JobState,
    store::{JobFilter, RetryReply},
};
use serde_json::json;

use crate::{
    context::Context,
    exit::{CommandError, Result},
    id::Id,
    outcome,
};

const EXAMPLES: &str = "Examples:
  postroom retry emails-01ARZ3NDEKTSV4RRFFQ69G5FAV
  postroom retry b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Number of jobs read in one call.
const PAGE: usize = 200;

/// Send a failed or cancelled job again, or a waiting job now; of a batch, all failed jobs
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Id of a job or a batch
    id: Id,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    match &args.id {
        Id::Job(id) => job(context, id).await,
        Id::Batch(id) => batch(context, id).await,
    }
}

async fn job(context: &Context, id: &JobId) -> Result<()> {
    match context.postroom.store().await?.retry(id).await? {
        RetryReply::Queued => {
            context.console.result(&json!({ "id": id, "state": "queued" }), || format!("{id} is queued again"));
            Ok(())
        }
        RetryReply::Refused { state, why } => {
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            Err(CommandError::conflict(format!("{id} is {state} and can't be retried{why}")))
        }
    }
}

async fn batch(context: &Context, id: &BatchId) -> Result<()> {
    let store = context.postroom.store().await?;
    store.batch(id).await?.ok_or_else(|| CommandError::not_found(id))?;
    let filter = JobFilter { batch: Some(id.clone()), state: Some(JobState::Failed), ..JobFilter::default() };
    let (mut queued, mut refused, mut cursor) = (0_u64, 0_u64, None::<String>);
    loop {
        let page = store.find_jobs(&filter, cursor.as_deref(), PAGE).await?;
        for job in &page.jobs {
            match store.retry(&job.id).await? {
                RetryReply::Queued => queued += 1,
                RetryReply::Refused { .. } => refused += 1,
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let result = json!({ "id": id, "queued": queued, "refused": refused });
    context
        .console
        .result(&result, || format!("{id}: {} queued again, {refused} can't be retried", outcome::mails(queued)));
    Ok(())
}
