//! Serving of requests until shutdown.

use std::time::Duration;

use anyhow::Context;
use hyper_util::service::TowerToHyperService;
use postroom_core::{
    Outage, Settings, Shutdown,
    listener::BoundedListener,
    store::{Heartbeat, ProcessKind},
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
/// Returns an error if the port can't be read, or a task panics.
pub async fn serve(settings: Settings, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
    settings.redis.warn();
    let app = App::new(settings);
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
        () = shutdown.requested() => {}
    }
    // Responses that are not read by then are dropped.
    let _ = tokio::time::timeout(GRACE, listener.is_idle()).await;
    heartbeat.await.context("ending the heartbeat")?;
    tracing::info!("stopped");
    Ok(())
}
