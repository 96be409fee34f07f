//! `postroom resolve`

use clap::ValueEnum;
use postroom_core::{JobId, store::Resolution};
use serde_json::json;

use crate::{context::Context, exit::Result};

const EXAMPLES: &str = "Examples:
  postroom list --state unknown
  postroom resolve emails-01ARZ3NDEKTSV4RRFFQ69G5FAV sent
  postroom resolve emails-01ARZ3NDEKTSV4RRFFQ69G5FAV resend";

/// Resolve a job whose state is unknown: mark it as sent or failed, or send it again
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Id of the job
    id: JobId,
    /// New verdict on the job
    #[arg(value_enum, value_name = "VERDICT")]
    outcome: ResolvedOutcome,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ResolvedOutcome {
    /// The mail was sent
    Sent,
    /// Send the mail again
    Resend,
    /// The mail was not sent; do not send it
    Failed,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    let (resolution, state) = match args.outcome {
        ResolvedOutcome::Sent => (Resolution::Sent, "sent"),
        ResolvedOutcome::Resend => (Resolution::Resend, "queued"),
        ResolvedOutcome::Failed => (Resolution::Failed, "failed"),
    };
    let id = &args.id;
    context.postroom.store().await?.resolve(id, resolution).await?;
    context.console.result(&json!({ "id": id, "state": state }), || format!("{id} is {state}"));
    Ok(())
}
