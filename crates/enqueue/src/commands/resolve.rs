//! `postroom resolve`

use clap::ValueEnum;
use postroom_core::{JobId, store::Resolution};
use serde_json::json;

use super::{Context, exit::Result};

const EXAMPLES: &str = "Examples:
  postroom list --state unknown
  postroom resolve emails-01ARZ3NDEKTSV4RRFFQ69G5FAV sent
  postroom resolve emails-01ARZ3NDEKTSV4RRFFQ69G5FAV resend";

/// Settle a job in doubt: say what became of it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The id of the job
    id: JobId,
    /// What became of it, or shall
    #[arg(value_enum)]
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verdict {
    /// It went out
    Sent,
    /// Send it again
    Resend,
    /// It did not go out, and shall not
    Failed,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    let (resolution, state) = match args.verdict {
        Verdict::Sent => (Resolution::Sent, "sent"),
        Verdict::Resend => (Resolution::Resend, "queued"),
        Verdict::Failed => (Resolution::Failed, "failed"),
    };
    let id = &args.id;
    context.postroom.store().await?.resolve(id, resolution).await?;
    context.console.tell(&json!({ "id": id, "state": state }), || format!("{id} is {state}"));
    Ok(())
}
