//! Serving of requests until shutdown.

use std::time::Duration;

use anyhow::Context;
use hyper_util::service::TowerToHyperService;
use postroom_core::{Settings, Shutdown, listener::BoundedListener};
use tokio::net::TcpListener;

use crate::{
    app::App,
    connection::{self, LIMITS},
    presence::Presence,
    router::router,
};

/// Time limit of requests in progress after shutdown was requested.
const GRACE: Duration = Duration::from_secs(1);

/// Answers requests on `listener` until `shutdown` is requested, and completes those in progress.
/// While Redis is unavailable, pages show an error.
///
/// # Errors
/// Returns an error if the port can't be read, or a task panics.
pub async fn serve(settings: Settings, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
    settings.redis.warn();
    let app = App::new(settings);
    let presence = tokio::spawn(Presence::new(app.clone()).run(shutdown.clone()));
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
    presence.await.context("ending the heartbeat")?;
    tracing::info!("stopped");
    Ok(())
}
