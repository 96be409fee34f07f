//! `postroom cancel`

use postroom_core::{BatchId, JobId, store::CancelReply};
use serde_json::json;

use super::{
    Context,
    exit::{Failure, Result},
    id::Id,
    outcome, several,
};

const EXAMPLES: &str = "Examples:
  postroom cancel emails-01ARZ3NDEKTSV4RRFFQ69G5FAV
  postroom cancel b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Cancel jobs, or what of a batch still waits
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Ids of jobs or batches
    #[arg(value_name = "ID", required = true)]
    ids: Vec<Id>,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    several::each(context.console, &args.ids, async |id| match id {
        Id::Job(id) => job(context, id).await,
        Id::Batch(id) => batch(context, id).await,
    })
    .await
}

async fn job(context: &Context, id: &JobId) -> Result<()> {
    let answer = match context.postroom.store().await?.cancel(id, "person").await? {
        CancelReply::Cancelled => "is cancelled",
        CancelReply::Already => "was cancelled before",
        CancelReply::Begun => return Err(Failure::conflict(format!("too late: {id} is being sent right now"))),
        CancelReply::InDoubt => {
            let told = format!("{id} is in doubt: it may have been sent; postroom resolve {id} sent, resend or failed");
            return Err(Failure::conflict(told));
        }
        CancelReply::Finished(state) => return Err(Failure::conflict(format!("too late: {id} is {state} already"))),
    };
    context.console.tell(&json!({ "id": id, "state": "cancelled" }), || format!("{id} {answer}"));
    Ok(())
}

async fn batch(context: &Context, id: &BatchId) -> Result<()> {
    let store = context.postroom.store().await?;
    let before = store.batch(id).await?.ok_or_else(|| Failure::not_found(id))?;
    if before.done && before.cancelled == 0 {
        return Err(Failure::conflict(format!("too late: {id} is done already")));
    }
    let cancelled = store.cancel_batch(id).await?;
    let words = || match cancelled {
        Some(number) => format!("{id}: {} cancelled", outcome::mails(number)),
        None => format!("{id} was cancelled before"),
    };
    context.console.tell(&json!({ "id": id, "cancelled": cancelled.unwrap_or(0) }), words);
    Ok(())
}
