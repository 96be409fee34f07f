//! The command line of Postroom.

mod args;
mod commands;
mod console;
mod context;
mod exit;
mod files;
mod handover;
mod id;
mod outcome;
mod queue_names;
mod rows;
mod several;
mod table;
mod watch;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, error::ErrorKind};
use postroom_core::{EscapedLines, Settings, settings::variables, telemetry};
use postroom_enqueue::Postroom;

use self::{
    commands::{Command, sibling},
    console::Console,
    context::Context,
    exit::{CommandError, Exit, Result},
};

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed or cancelled (with --wait or --watch: the mail)
  2  wrong usage, bad input or wrong settings
  3  Redis is unreachable or full
  4  not found
  5  not finished when --wait ran out
  6  unknown: the mail may or may not have been sent
  7  conflict: --key was used with other content, or too late to cancel

Settings are read from flags, the environment, .env and postroom.toml, in this order;
.env.example lists them.";

/// Background e-mail: enqueue mail, show its state, control its queues
#[derive(Parser)]
#[command(name = "postroom", version, after_help = EXIT_CODES, max_term_width = 110)]
struct Cli {
    /// Print results and errors as JSON, one object a line
    #[arg(long, global = true, display_order = 90)]
    json: bool,
    /// Log to standard error from this level on: error, warn, info, debug or trace; default: warn
    #[arg(long, global = true, value_name = "LEVEL", display_order = 91)]
    log_level: Option<String>,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // Checked before clap parses: flags such as --json after `postroom worker` belong to the
    // worker.
    if let Some((program, args)) = sibling::requested(&args) {
        return finish(Console { json: false }, &sibling::run(program, args));
    }
    match Cli::try_parse_from(&args) {
        Ok(cli) => {
            let console = Console { json: cli.json };
            finish(console, &execute(console, cli))
        }
        Err(error) => print_usage_error(&error, args.iter().any(|arg| arg == "--json")).into(),
    }
}

fn execute(console: Console, cli: Cli) -> Result<()> {
    let level = cli.log_level.unwrap_or_else(|| "warn".to_owned());
    let mut flags = vec![(variables::LOG_LEVEL, level)];
    if console.json {
        flags.push((variables::LOG_FORMAT, "json".to_owned()));
    }
    let settings = Settings::load(&flags)?;
    telemetry::init(&settings.log);
    // `postroom doctor` reports these warnings itself.
    if !matches!(cli.command, Command::Doctor(_)) {
        settings.redis.warn();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| CommandError::failed(format!("can't start threads: {error}")))?;
    let place = settings.redis.redacted_url();
    let context = Context { console, postroom: Postroom::with_settings(settings) };
    let result = runtime.block_on(cli.command.run(&context));
    result.map_err(|error| match error.code {
        "redis_away" => error.with_detail(&format!("tried {place}")),
        _ => error,
    })
}

fn finish(console: Console, result: &Result<()>) -> ExitCode {
    match result {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            console.fail(error);
            error.exit.into()
        }
    }
}

/// Prints help, the version or a usage error, as clap renders it or as JSON.
fn print_usage_error(error: &clap::Error, json: bool) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A closed pipe is not an error.
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
    let error = CommandError { field, ..CommandError::new(Exit::Usage, "invalid", message) };
    Console { json }.fail(&error);
    Exit::Usage
}
