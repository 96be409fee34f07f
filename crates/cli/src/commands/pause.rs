//! `postroom pause` and `postroom resume`

use std::{fmt, str::FromStr};

use postroom_core::{BatchId, QueueName, Store};
use serde_json::json;

use crate::{context::Context, exit::Result, queue_names, several};

const PAUSE_EXAMPLES: &str = "Examples:
  postroom pause bulk
  postroom pause b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV";
const RESUME_EXAMPLES: &str = "Examples:
  postroom resume bulk
  postroom resume b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Stop sending mail of a queue or a batch; mails that are being sent are finished
#[derive(Debug, clap::Args)]
#[command(after_help = PAUSE_EXAMPLES)]
pub(crate) struct PauseArgs {
    /// Queues or ids of batches
    #[arg(value_name = "QUEUE|ID", required = true)]
    targets: Vec<PauseTarget>,
}

/// Resume sending mail of a queue or a batch
#[derive(Debug, clap::Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(crate) struct ResumeArgs {
    /// Queues or ids of batches
    #[arg(value_name = "QUEUE|ID", required = true)]
    targets: Vec<PauseTarget>,
}

/// A queue or a batch.
#[derive(Debug, Clone)]
enum PauseTarget {
    Queue(QueueName),
    Batch(BatchId),
}

pub(crate) async fn pause(context: &Context, args: &PauseArgs) -> Result<()> {
    several::each(context.console, &args.targets, async |target| {
        let changed = match target {
            PauseTarget::Queue(queue) => store_of(context, queue).await?.pause(queue).await?,
            PauseTarget::Batch(batch) => context.postroom.store().await?.pause_batch(batch).await?,
        };
        print(context, target, true, if changed { "is paused" } else { "was already paused" });
        Ok(())
    })
    .await
}

pub(crate) async fn resume(context: &Context, args: &ResumeArgs) -> Result<()> {
    several::each(context.console, &args.targets, async |target| {
        let changed = match target {
            PauseTarget::Queue(queue) => store_of(context, queue).await?.resume(queue).await?,
            PauseTarget::Batch(batch) => context.postroom.store().await?.resume_batch(batch).await?,
        };
        print(context, target, false, if changed { "is resumed" } else { "was not paused" });
        Ok(())
    })
    .await
}

/// Returns the store if the queue is known, so that a typo is an error.
async fn store_of<'a>(context: &'a Context, queue: &QueueName) -> Result<&'a Store> {
    let store = context.postroom.store().await?;
    let known = queue_names::known(context, store).await?;
    if known.contains(queue) || context.postroom.is_served(queue).await? {
        return Ok(store);
    }
    Err(queue_names::unknown(queue, &known))
}

fn print(context: &Context, target: &PauseTarget, paused: bool, change: &str) {
    let value = match target {
        PauseTarget::Queue(queue) => json!({ "queue": queue, "paused": paused }),
        PauseTarget::Batch(batch) => json!({ "id": batch, "paused": paused }),
    };
    context.console.result(&value, || format!("{target} {change}"));
}

impl FromStr for PauseTarget {
    type Err = postroom_core::InvalidInput;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("b.") { text.parse().map(Self::Batch) } else { text.parse().map(Self::Queue) }
    }
}

impl fmt::Display for PauseTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(queue) => queue.fmt(f),
            Self::Batch(batch) => batch.fmt(f),
        }
    }
}
