//! `postroom pause` and `postroom resume`

use postroom_core::{QueueName, Store};
use serde_json::json;

use super::{
    Context,
    exit::{Failure, Result},
    queues,
};

const PAUSE_EXAMPLES: &str = "Examples:
  postroom pause bulk";
const RESUME_EXAMPLES: &str = "Examples:
  postroom resume bulk";

/// Stop handing out a queue's mail; what is being sent is finished
#[derive(Debug, clap::Args)]
#[command(after_help = PAUSE_EXAMPLES)]
pub(crate) struct PauseArgs {
    queue: QueueName,
}

/// Go on handing out a queue's mail
#[derive(Debug, clap::Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(crate) struct ResumeArgs {
    queue: QueueName,
}

pub(crate) async fn pause(context: &Context, args: &PauseArgs) -> Result<()> {
    let changed = known_store(context, &args.queue).await?.pause(&args.queue).await?;
    tell(context, &args.queue, true, if changed { "is paused" } else { "was paused before" });
    Ok(())
}

pub(crate) async fn resume(context: &Context, args: &ResumeArgs) -> Result<()> {
    let changed = known_store(context, &args.queue).await?.resume(&args.queue).await?;
    tell(context, &args.queue, false, if changed { "goes on" } else { "was not paused" });
    Ok(())
}

/// A slip in a queue's name must not look like success.
async fn known_store<'a>(context: &'a Context, queue: &QueueName) -> Result<&'a Store> {
    let store = context.postroom.store().await?;
    if queues::known(context, store).await?.contains(queue) || context.postroom.is_served(queue).await? {
        return Ok(store);
    }
    Err(Failure::not_found(format_args!("the queue {queue}")))
}

fn tell(context: &Context, queue: &QueueName, paused: bool, words: &str) {
    context.console.tell(&json!({ "queue": queue, "paused": paused }), || format!("{queue} {words}"));
}
