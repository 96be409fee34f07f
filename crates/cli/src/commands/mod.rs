//! The commands, one file each. A command may use every module of the crate except another command.

mod bulk;
mod cancel;
mod doctor;
mod limits;
mod list;
mod pause;
mod queues;
mod resolve;
mod retry;
mod schedule;
mod send;
pub(crate) mod sibling;
mod status;
mod templates;
mod workers;

use clap::Subcommand;

use crate::{context::Context, exit::Result};

/// A command with its arguments.
#[derive(Subcommand)]
pub(crate) enum Command {
    Send(Box<send::Args>),
    Bulk(Box<bulk::Args>),
    Status(status::Args),
    List(list::Args),
    Cancel(cancel::Args),
    Retry(retry::Args),
    Resolve(resolve::Args),
    Queues(queues::Args),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Workers(workers::Args),
    Limits(limits::Args),
    Templates(templates::Args),
    Schedule(schedule::Args),
    Doctor(doctor::Args),
    /// Run a worker; all arguments go to postroom-worker
    #[command(disable_help_flag = true)]
    Worker(sibling::Args),
    /// Run the beat, which fires schedules; all arguments go to postroom-beat
    #[command(disable_help_flag = true)]
    Beat(sibling::Args),
    /// Run the monitor, the dashboard; all arguments go to postroom-monitor
    #[command(disable_help_flag = true)]
    Monitor(sibling::Args),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Send(args) => send::run(context, *args).await,
            Self::Bulk(args) => bulk::run(context, *args).await,
            Self::Status(args) => status::run(context, &args).await,
            Self::List(args) => list::run(context, args).await,
            Self::Cancel(args) => cancel::run(context, &args).await,
            Self::Retry(args) => retry::run(context, &args).await,
            Self::Resolve(args) => resolve::run(context, &args).await,
            Self::Queues(args) => queues::run(context, &args).await,
            Self::Pause(args) => pause::pause(context, &args).await,
            Self::Resume(args) => pause::resume(context, &args).await,
            Self::Workers(args) => workers::run(context, &args).await,
            Self::Limits(args) => limits::run(context, &args).await,
            Self::Templates(args) => templates::run(context, &args).await,
            Self::Schedule(args) => schedule::run(context, &args).await,
            Self::Doctor(args) => doctor::run(context, &args).await,
            Self::Worker(args) => sibling::run("postroom-worker", &args.args),
            Self::Beat(args) => sibling::run("postroom-beat", &args.args),
            Self::Monitor(args) => sibling::run("postroom-monitor", &args.args),
        }
    }
}
