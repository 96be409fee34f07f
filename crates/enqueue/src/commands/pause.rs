//! `postroom pause` and `postroom resume`

use std::{fmt, str::FromStr};

use postroom_core::{BatchId, QueueName, Store};
use serde_json::json;

use super::{
    Context,
    exit::{Failure, Result},
    queues, several,
};

const PAUSE_EXAMPLES: &str = "Examples:
  postroom pause bulk
  postroom pause b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV";
const RESUME_EXAMPLES: &str = "Examples:
  postroom resume bulk
  postroom resume b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Stop handing out mail of a queue or a batch; what is being sent is finished
#[derive(Debug, clap::Args)]
#[command(after_help = PAUSE_EXAMPLES)]
pub(crate) struct PauseArgs {
    /// Queues, or ids of batches
    #[arg(value_name = "QUEUE|ID", required = true)]
    what: Vec<Pausable>,
}

/// Go on handing out mail of a queue or a batch
#[derive(Debug, clap::Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(crate) struct ResumeArgs {
    /// Queues, or ids of batches
    #[arg(value_name = "QUEUE|ID", required = true)]
    what: Vec<Pausable>,
}

/// What can be paused.
#[derive(Debug, Clone)]
enum Pausable {
    Queue(QueueName),
    Batch(BatchId),
}

pub(crate) async fn pause(context: &Context, args: &PauseArgs) -> Result<()> {
    several::each(context.console, &args.what, async |what| {
        let changed = match what {
            Pausable::Queue(queue) => known_store(context, queue).await?.pause(queue).await?,
            Pausable::Batch(batch) => context.postroom.store().await?.pause_batch(batch).await?,
        };
        tell(context, what, true, if changed { "is paused" } else { "was paused before" });
        Ok(())
    })
    .await
}

pub(crate) async fn resume(context: &Context, args: &ResumeArgs) -> Result<()> {
    several::each(context.console, &args.what, async |what| {
        let changed = match what {
            Pausable::Queue(queue) => known_store(context, queue).await?.resume(queue).await?,
            Pausable::Batch(batch) => context.postroom.store().await?.resume_batch(batch).await?,
        };
        tell(context, what, false, if changed { "goes on" } else { "was not paused" });
        Ok(())
    })
    .await
}

/// A slip in a queue's name must not look like success.
async fn known_store<'a>(context: &'a Context, queue: &QueueName) -> Result<&'a Store> {
    let store = context.postroom.store().await?;
    if queues::known(context, store).await?.contains(queue) || context.postroom.is_served(queue).await? {
        return Ok(store);
    }
    Err(Failure::not_found(format_args!("the queue {queue}")))
}

fn tell(context: &Context, what: &Pausable, paused: bool, words: &str) {
    let value = match what {
        Pausable::Queue(queue) => json!({ "queue": queue, "paused": paused }),
        Pausable::Batch(batch) => json!({ "id": batch, "paused": paused }),
    };
    context.console.tell(&value, || format!("{what} {words}"));
}

impl FromStr for Pausable {
    type Err = postroom_core::InvalidInput;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("b.") { text.parse().map(Self::Batch) } else { text.parse().map(Self::Queue) }
    }
}

impl fmt::Display for Pausable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(queue) => queue.fmt(f),
            Self::Batch(batch) => batch.fmt(f),
        }
    }
}
