//! Polling until a condition holds.

use std::time::Duration;
use tokio::time::Instant;

/// Polls `condition` every 5 ms until it returns `Some`. Panics with `what` after `limit`.
pub async fn eventually<T>(limit: Duration, what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    let value = poll(limit, condition).await;
    value.unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// Like [`eventually`], but returns `None` after `limit`.
pub(crate) async fn poll<T>(limit: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition().await {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
