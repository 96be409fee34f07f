//! The `postroom-worker` process.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use postroom_core::{EscapedLines, Shutdown, settings::Settings, telemetry};
use postroom_worker::{Args, run};

/// A mail makes many small allocations. mimalloc spends a third less time on them than the system
/// allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let settings = match Settings::load(&Args::parse().flags()) {
        Ok(settings) => settings,
        Err(error) => return refuse(&error),
    };
    telemetry::init(&settings.log);
    match start(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format_args!("{error:#}")),
    }
}

fn start(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads()).enable_all().build()?;
    // Spawned as a task, so that the claimer shares the threads of the deliveries.
    let outcome = runtime.block_on(async { tokio::spawn(run(settings, Shutdown::on_signals()?)).await? });
    // Does not wait for renderings that still run: their jobs were handed back.
    runtime.shutdown_background();
    outcome
}

/// Number of runtime threads: half the cores. Redis and the kernel need the other half. Deliveries
/// mostly wait, and fewer threads wake each other less.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// Reports wrong settings. Nothing was started.
fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {}", EscapedLines(error));
    ExitCode::from(2)
}
