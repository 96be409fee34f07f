//! The `postroom-monitor` process.

use std::process::ExitCode;

use clap::Parser;
use postroom_core::{EscapedLines, InvalidInput, Settings, Shutdown, telemetry};
use postroom_monitor::{Flags, listen, serve};

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", EscapedLines(format_args!("{error:#}")));
            ExitCode::from(if error.is::<InvalidInput>() { 2 } else { 1 })
        }
    }
}

async fn run(flags: &Flags) -> anyhow::Result<()> {
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings::load(&flags.as_settings())?;
    telemetry::init(&settings.log);
    let shutdown = Shutdown::on_signals()?;
    let listener = listen(&settings).await?;
    serve(settings, listener, shutdown).await
}
