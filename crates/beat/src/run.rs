//! Main function of the process, from its settings to its end.

use anyhow::Context;
use postroom_core::{InvalidInput, Outage, Result, Settings, Shutdown, Store, health::serve_health};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Beat, beat_loop::BeatLoop, presence::Presence};

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
        store = Store::connect_patiently(&settings.redis, &outage) => store.context("connecting to Redis")?,
    };
    store.warn_of_server().await;
    tracing::info!(redis = settings.redis.redacted_url(), schedules = settings.schedules.len(), "beat started");
    let presence = Presence::new(store.clone());
    presence.check_rights().await?;
    let presence = tokio::spawn(presence.run(shutdown.clone()));
    BeatLoop::new(Beat::new(store, settings), outage, load).run(hang_up, shutdown).await;
    presence.await.context("removing this process from the list")?;
    tracing::info!("stopped");
    Ok(())
}
