//! What the process does, from its settings to its end.

use std::time::Duration;

use anyhow::Context;
use postroom_core::{Error, InvalidInput, Result, Settings, Shutdown, Store, health::Health, settings::RedisSettings};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Beat, clock::Clock, outage::Outage, presence::Presence};

const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Beats until it is asked to stop. At SIGHUP the settings are loaded anew: schedules, queues and templates.
pub async fn run(
    settings: Settings,
    load: impl Fn() -> Result<Settings, InvalidInput>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let outage = Outage::default();
    let hang_up = signal(SignalKind::hangup()).context("listening to signals")?;
    serve_health(&settings, &outage).await?;
    let store = tokio::select! {
        () = shutdown.requested() => return Ok(()),
        store = connect(&settings.redis, &outage) => store?,
    };
    warn_of_redis(&store).await;
    tracing::info!(redis = settings.redis.place(), schedules = settings.schedules.len(), "beating");
    let presence = tokio::spawn(Presence::new(store.clone()).run(shutdown.clone()));
    Clock::new(Beat::new(store, settings), outage, load).run(hang_up, shutdown).await;
    presence.await.context("taking leave")?;
    tracing::info!("stopped");
    Ok(())
}

async fn serve_health(settings: &Settings, outage: &Outage) -> anyhow::Result<()> {
    let Some(port) = settings.health_port else { return Ok(()) };
    let health = Health::listen((settings.bind, port).into()).await;
    let health = health.with_context(|| format!("listening on {}, port {port} (HEALTH_PORT)", settings.bind))?;
    tracing::info!("health at http://{}/healthz", health.address()?);
    let outage = outage.clone();
    tokio::spawn(health.serve(move || outage.state()));
    Ok(())
}

/// A Redis that is not there yet is waited for: it may be started at the same moment.
async fn connect(redis: &RedisSettings, outage: &Outage) -> anyhow::Result<Store> {
    loop {
        match Store::connect(redis).await {
            Ok(store) => {
                outage.end();
                return Ok(store);
            }
            Err(Error::Invalid(problem)) => return Err(problem.into()),
            Err(error) => outage.note(&error),
        }
        tokio::time::sleep(RETRY_EVERY).await;
    }
}

async fn warn_of_redis(store: &Store) {
    // Where it is away by now, the clock says so.
    for warning in store.server_facts().await.map(|facts| facts.warnings()).unwrap_or_default() {
        tracing::warn!("{warning}");
    }
}
