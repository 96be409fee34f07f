//! Answering until asked to stop.

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

/// For how long requests under way may go on after the monitor was asked to stop.
const GRACE: Duration = Duration::from_secs(1);
/// Time until the next report of this process after a failed one.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Answers on `listener` until `shutdown` is requested, and a moment longer for requests under way. Redis may be away:
/// pages then say so.
pub async fn serve(settings: Settings, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
    settings.redis.warn();
    let app = App::new(settings);
    let heartbeat = Heartbeat::new(app.lazy_store().clone(), ProcessKind::Monitor, env!("CARGO_PKG_VERSION"));
    let outage = Outage::default();
    let pause_after = move |result| if outage.watch(result).is_ok() { Heartbeat::INTERVAL } else { RETRY_INTERVAL };
    let heartbeat = tokio::spawn(heartbeat.run(shutdown.clone(), pause_after));
    let listener = BoundedListener::new(listener, LIMITS);
    let address = listener.address().context("asking for the port")?;
    tracing::info!("listening on http://{address}");
    let router = TowerToHyperService::new(router(app));
    let answer = |stream, client| connection::answer(stream, client, router.clone(), shutdown.clone());
    tokio::select! {
        never = listener.serve(answer) => match never {},
        () = shutdown.requested() => {}
    }
    // What is not read by then is not waited for.
    let _ = tokio::time::timeout(GRACE, listener.is_idle()).await;
    heartbeat.await.context("ending the heartbeat")?;
    tracing::info!("stopped");
    Ok(())
}
