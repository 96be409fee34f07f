//! Health endpoint `/healthz`: reports whether Redis replies.

use std::time::Duration;

use axum::{extract::State, http::StatusCode};

use crate::app::App;

const LIMIT: Duration = Duration::from_secs(1);

pub(crate) async fn show(State(app): State<App>) -> (StatusCode, String) {
    match tokio::time::timeout(LIMIT, ping(&app)).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n".to_owned()),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "Redis is unavailable (no reply within a second)\n".to_owned()),
    }
}

async fn ping(app: &App) -> postroom_core::Result<()> {
    app.store()?.ping().await
}
