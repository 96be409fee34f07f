//! The command line: one file a command.

mod args;
mod bulk;
mod cancel;
mod console;
mod doctor;
mod exit;
mod files;
mod id;
mod limits;
mod list;
mod outcome;
mod pause;
mod queues;
mod resolve;
mod retry;
mod rows;
mod schedule;
mod send;
mod several;
mod sibling;
mod status;
mod table;
mod templates;
mod watch;
mod workers;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};
use postroom_core::{EscapedLines, Settings, settings::variables, telemetry};

use self::{
    console::Console,
    exit::{Exit, Failure, Result},
};
use crate::Postroom;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  it failed or was cancelled (with --wait: the mail)
  2  wrong usage or bad input
  3  Redis or the server is away
  4  not found
  5  not finished when --wait ran out
  6  in doubt: it may have been sent or not
  7  conflict: --key with other content, too late to cancel

Settings come from flags, the environment, .env and postroom.toml, in this order; see .env.example.";

/// Background e-mail: hand mails over, see what became of them, steer what waits.
#[derive(Parser)]
#[command(name = "postroom", version, after_help = EXIT_CODES, max_term_width = 110)]
struct Cli {
    /// Results and errors as JSON, one object a line
    #[arg(long, global = true, display_order = 90)]
    json: bool,
    /// What is logged to standard error: error, warn, info, debug or trace; default: warn
    #[arg(long, global = true, value_name = "LEVEL", display_order = 91)]
    log_level: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
    /// Run a worker: all arguments are those of postroom-worker
    #[command(disable_help_flag = true)]
    Worker(sibling::Args),
    /// Run the beat, which sends by the clock: all arguments are those of postroom-beat
    #[command(disable_help_flag = true)]
    Beat(sibling::Args),
    /// Run the monitor, the dashboard: all arguments are those of postroom-monitor
    #[command(disable_help_flag = true)]
    Monitor(sibling::Args),
}

/// What every command works with.
struct Context {
    console: Console,
    postroom: Postroom,
}

/// Runs what this process's arguments say.
#[must_use]
pub fn run() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    // Before our own flags are looked for: a sibling's are its own.
    if let Some((program, args)) = sibling::asked_for(&words) {
        return finish(Console { json: false }, &sibling::run(program, args));
    }
    match Cli::try_parse_from(&words) {
        Ok(cli) => {
            let console = Console { json: cli.json };
            finish(console, &execute(console, cli))
        }
        Err(error) => refuse(&error, words.iter().any(|word| word == "--json")).into(),
    }
}

fn execute(console: Console, cli: Cli) -> Result<()> {
    let level = cli.log_level.unwrap_or_else(|| "warn".to_owned());
    let settings = Settings::load(&[(variables::LOG_LEVEL, level)])?;
    telemetry::init(&settings.log);
    // The doctor shows them among its findings.
    if !matches!(cli.command, Command::Doctor(_)) {
        settings.redis.warn();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("no threads can be started: {error}")))?;
    let place = settings.redis.redacted_url();
    let context = Context { console, postroom: Postroom::with_settings(settings) };
    let result = runtime.block_on(dispatch(&context, cli.command));
    result.map_err(|failure| {
        if failure.code == "redis_away" { failure.because(&format!("looked for at {place}")) } else { failure }
    })
}

async fn dispatch(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Send(args) => send::run(context, *args).await,
        Command::Bulk(args) => bulk::run(context, *args).await,
        Command::Status(args) => status::run(context, &args).await,
        Command::List(args) => list::run(context, args).await,
        Command::Cancel(args) => cancel::run(context, &args).await,
        Command::Retry(args) => retry::run(context, &args).await,
        Command::Resolve(args) => resolve::run(context, &args).await,
        Command::Queues(args) => queues::run(context, &args).await,
        Command::Pause(args) => pause::pause(context, &args).await,
        Command::Resume(args) => pause::resume(context, &args).await,
        Command::Workers(args) => workers::run(context, &args).await,
        Command::Limits(args) => limits::run(context, &args).await,
        Command::Templates(args) => templates::run(context, &args).await,
        Command::Schedule(args) => schedule::run(context, &args).await,
        Command::Doctor(args) => doctor::run(context, &args).await,
        Command::Worker(args) => sibling::run("postroom-worker", &args.args),
        Command::Beat(args) => sibling::run("postroom-beat", &args.args),
        Command::Monitor(args) => sibling::run("postroom-monitor", &args.args),
    }
}

fn finish(console: Console, result: &Result<()>) -> ExitCode {
    match result {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            console.fail(failure);
            failure.exit.into()
        }
    }
}

/// Wrong usage, or help: in clap's words, or as JSON where that was asked for.
fn refuse(error: &clap::Error, json: bool) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Whoever closed the pipe does not want it.
        let _ = error.print();
        return Exit::Done;
    }
    let text = error.render().to_string();
    if !json && EscapedLines(&text).to_string() == text {
        let _ = error.print();
        return Exit::Usage;
    }
    if !json {
        Console { json }.error(text.trim_end());
        return Exit::Usage;
    }
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let named = error.get(clap::error::ContextKind::InvalidArg).map(ToString::to_string);
    let field = named.and_then(|flag| flag.split_whitespace().next().map(str::to_owned));
    let failure = Failure { field, ..Failure::new(Exit::Usage, "invalid", message) };
    Console { json }.fail(&failure);
    Exit::Usage
}
