//! Answering until asked to stop.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use postroom_core::{Settings, Shutdown};
use tokio::net::TcpListener;

use crate::{app::App, presence::Presence, router::router};

/// For how long requests under way may go on after the monitor was asked to stop.
const GRACE: Duration = Duration::from_secs(1);

/// Answers on `listener` until `shutdown` is requested, and a moment longer for requests under way. Redis may be away:
/// pages then say so.
pub async fn serve(settings: Settings, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
    settings.redis.warn();
    let app = App::new(settings);
    let presence = tokio::spawn(Presence::new(app.clone()).run(shutdown.clone()));
    let address = listener.local_addr().context("asking for the port")?;
    tracing::info!("listening on http://{address}");
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(shutdown.requested());
    tokio::select! {
        ended = server.into_future() => ended.context("serving")?,
        () = grace_is_over(&shutdown) => {}
    }
    shutdown.request();
    presence.await.context("telling of this process")?;
    tracing::info!("stopped");
    Ok(())
}

async fn grace_is_over(shutdown: &Shutdown) {
    shutdown.requested().await;
    tokio::time::sleep(GRACE).await;
}
