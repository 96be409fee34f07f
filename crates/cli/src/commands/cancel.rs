//! `postroom cancel`

use postroom_core::{BatchId, JobId, store::CancelReply};
use serde_json::json;

use crate::{
    context::Context,
    exit::{CommandError, Result},
    id::Id,
    outcome, several,
};

const EXAMPLES: &str = "Examples:
  postroom cancel emails-01ARZ3NDEKTSV4RRFFQ69G5FAV
  postroom cancel b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Cancel jobs, or the mails of a batch that were not begun
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
        CancelReply::Already => "was already cancelled",
        CancelReply::Begun => return Err(CommandError::conflict(format!("too late: {id} is being sent"))),
        CancelReply::InDoubt => {
            let message =
                format!("{id} is unknown: it may have been sent; use: postroom resolve {id} sent, resend or failed");
            return Err(CommandError::conflict(message));
        }
        CancelReply::Finished(state) => {
            return Err(CommandError::conflict(format!("too late: {id} is already {state}")));
        }
    };
    context.console.result(&json!({ "id": id, "state": "cancelled" }), || format!("{id} {answer}"));
    Ok(())
}

async fn batch(context: &Context, id: &BatchId) -> Result<()> {
    let store = context.postroom.store().await?;
    let before = store.batch(id).await?.ok_or_else(|| CommandError::not_found(id))?;
    if before.done && before.cancelled == 0 {
        return Err(CommandError::conflict(format!("too late: {id} is already done")));
    }
    let cancelled = store.cancel_batch(id).await?;
    let text = || match cancelled {
        Some(number) => format!("{id}: {} cancelled", outcome::mails(number)),
        None => format!("{id} was already cancelled"),
    };
    context.console.result(&json!({ "id": id, "cancelled": cancelled.unwrap_or(0) }), text);
    Ok(())
}
