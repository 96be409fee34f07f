//! The `postroom-worker` process.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use postroom_core::{EscapedLines, Shutdown, settings::Settings, telemetry};
use postroom_worker::{Args, run};

/// A mail is many small allocations; this one takes a third less time for them than the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let settings = match Settings::load(&Args::parse().flags()) {
        Ok(settings) => settings,
        Err(problem) => return refuse(&problem),
    };
    telemetry::init(&settings.log);
    match start(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format_args!("{error:#}")),
    }
}

fn start(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads()).enable_all().build()?;
    // As a task, so that the claimer runs on the threads that the deliveries run on.
    let outcome = runtime.block_on(async { tokio::spawn(run(settings, Shutdown::on_signals()?)).await? });
    // What is still being rendered was handed back: it is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Half the cores: the other half is for Redis and the kernel. Deliveries wait more than they compute, and the fewer threads
/// they share the less they wake each other.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// Nothing was started: wrong settings.
fn refuse(problem: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {}", EscapedLines(problem));
    ExitCode::from(2)
}
