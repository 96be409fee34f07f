//! Main function of the process, from its settings to its end.

use std::time::Duration;

use anyhow::Context;
use postroom_core::{
    InvalidInput, Outage, Result, Settings, Shutdown, Store,
    health::serve_health,
    store::{Heartbeat, LazyStore, ProcessKind},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Beat, beat_loop::BeatLoop, mail_check::warn_about_mails};

/// Runs a beat until shutdown is requested. SIGHUP reloads the settings: schedules, queues and
/// templates.
///
/// # Errors
/// Returns an error if the health port can't be opened, or Redis refuses the connection or a
/// command.
pub async fn run(
    settings: Settings,
    load: impl Fn() -> Result<Settings, InvalidInput>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    settings.redis.warn();
    let outage = Outage::default();
    let hang_up = signal(SignalKind::hangup()).context("listening to signals")?;
    serve_health(&settings, &outage).await?;
    let store = tokio::select! {
        () = shutdown.requested() => return Ok(()),
        store = Store::connect_with_retry(&settings.redis, &outage) => store.context("connecting to Redis")?,
    };
    store.warn_about_server().await;
    tracing::info!(redis = settings.redis.redacted_url(), schedules = settings.schedules.len(), "beat started");
    warn_about_mails(&settings);
    let lazy = LazyStore::connected(settings.redis.clone(), store.clone());
    let heartbeat = Heartbeat::new(lazy, ProcessKind::Beat, env!("CARGO_PKG_VERSION"));
    heartbeat.check_rights().await?;
    let heartbeat = tokio::spawn(heartbeat.run(shutdown.clone(), pause_after));
    BeatLoop::new(Beat::new(store, settings), outage, load).run(hang_up, shutdown).await;
    heartbeat.await.context("ending the heartbeat")?;
    tracing::info!("stopped");
    Ok(())
}

/// The clock logs outages, so a failed report is logged at debug level only.
fn pause_after(result: Result<()>) -> Duration {
    if let Err(error) = result {
        tracing::debug!("can't report that this beat is alive: {error}");
    }
    Heartbeat::INTERVAL
}
