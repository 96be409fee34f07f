//! The `postroom-worker` process.

use std::process::ExitCode;

use clap::Parser;
use postroom_core::{Shutdown, settings::Settings, telemetry};
use postroom_worker::{Args, run};

fn main() -> ExitCode {
    let settings = match Settings::load(&Args::parse().flags()) {
        Ok(settings) => settings,
        Err(problem) => return refuse(&problem),
    };
    telemetry::init(&settings.log);
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(async { run(settings, Shutdown::on_signals()?).await }));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format_args!("{error:#}")),
    }
}

/// Nothing was started: wrong settings.
fn refuse(problem: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(2)
}
