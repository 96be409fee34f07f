//! What the process does, from its settings to its end.

use anyhow::Context;
use postroom_core::{InvalidInput, Outage, Result, Settings, Shutdown, Store, health::serve_health};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Beat, clock::Clock, presence::Presence};

/// Beats until it is asked to stop. At SIGHUP the settings are loaded anew: schedules, queues and templates.
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
    store.warn_about_server().await;
    tracing::info!(redis = settings.redis.place(), schedules = settings.schedules.len(), "beating");
    let presence = Presence::new(store.clone());
    presence.check_rights().await?;
    let presence = tokio::spawn(presence.run(shutdown.clone()));
    Clock::new(Beat::new(store, settings), outage, load).run(hang_up, shutdown).await;
    presence.await.context("taking leave")?;
    tracing::info!("stopped");
    Ok(())
}
