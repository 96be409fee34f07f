//! The `postroom-beat` process.

use std::process::ExitCode;

use clap::Parser;
use postroom_beat::{Args, run};
use postroom_core::{InvalidInput, Settings, Shutdown, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match start(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<InvalidInput>() { 2 } else { 1 })
        }
    }
}

async fn start(args: &Args) -> anyhow::Result<()> {
    // Once a process: an error only says that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let load = || Settings::load(&args.flags());
    let settings = load()?;
    telemetry::init(&settings.log);
    run(settings, load, Shutdown::on_signals()?).await
}
