//! Serving of requests until shutdown.

use std::time::Duration;

use anyhow::Context;
use hyper_util::service::TowerToHyperService;
use postroom_core::{
    Error, InvalidInput, Outage, Settings, Shutdown,
    listener::BoundedListener,
    store::{Heartbeat, LazyStore, ProcessKind},
};
use tokio::net::TcpListener;

use crate::{
    app::App,
    connection::{self, LIMITS},
    router::router,
};

/// Time limit of requests in progress after shutdown was requested.
const GRACE: Duration = Duration::from_secs(1);
/// Time until the next report of this process after a failed one.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Answers requests on `listener` until `shutdown` is requested, and completes those in progress.
/// While Redis is unavailable, pages show an error.
///
/// # Errors
/// Returns [`InvalidInput`] if Redis refuses the first connection, for example because of a wrong
/// password, or another error if the port can't be read or a task panics.
pub async fn serve(settings: Settings, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
    settings.redis.warn();
    if let Some(warning) = settings.short_monitor_password() {
        tracing::warn!("{warning}");
    }
    let app = App::new(settings);
    let store = app.lazy_store().clone();
    let heartbeat = Heartbeat::new(app.lazy_store().clone(), ProcessKind::Monitor, env!("CARGO_PKG_VERSION"));
    let outage = Outage::default();
    let pause_after = move |result| if outage.watch(result).is_ok() { Heartbeat::INTERVAL } else { RETRY_INTERVAL };
    let heartbeat = tokio::spawn(heartbeat.run(shutdown.clone(), pause_after));
    let listener = BoundedListener::new(listener, LIMITS);
    let address = listener.address().context("reading the port")?;
    tracing::info!("listening on http://{address}");
    let router = TowerToHyperService::new(router(app));
    let respond = |stream, client| connection::serve(stream, client, router.clone(), shutdown.clone());
    tokio::select! {
        never = listener.serve(respond) => match never {},
        refusal = refusal(&store) => return Err(refusal.into()),
        () = shutdown.requested() => {}
    }
    // Responses that are not read by then are dropped.
    let _ = tokio::time::timeout(GRACE, listener.is_idle()).await;
    heartbeat.await.context("ending the heartbeat")?;
    tracing::info!("stopped");
    Ok(())
}

/// Waits for the first connection to Redis, and returns its refusal. After a connection, it waits
/// for ever.
async fn refusal(store: &LazyStore) -> InvalidInput {
    loop {
        match store.connect().await {
            Err(Error::Invalid(problem)) => return problem,
            Err(_) => tokio::time::sleep(RETRY_INTERVAL).await,
            Ok(_) => return std::future::pending().await,
        }
    }
}
