//! The `postroom-beat` process.

use std::process::ExitCode;

use clap::Parser;
use postroom_beat::{Args, run};
use postroom_core::{Error, EscapedLines, InvalidInput, Settings, Shutdown, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match start(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", EscapedLines(format_args!("{error:#}")));
            ExitCode::from(if is_of_settings(&error) { 2 } else { 1 })
        }
    }
}

/// Whether the error comes from the settings, so that a restart does not help.
fn is_of_settings(error: &anyhow::Error) -> bool {
    error.is::<InvalidInput>() || matches!(error.downcast_ref(), Some(Error::Invalid(_)))
}

async fn start(args: &Args) -> anyhow::Result<()> {
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let load = || Settings::load(&args.flags());
    let settings = load()?;
    telemetry::init(&settings.log);
    run(settings, load, Shutdown::on_signals()?).await
}
