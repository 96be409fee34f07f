//! Waiting for a condition without guessing how long it takes.

use std::time::Duration;
use tokio::time::Instant;

/// Polls `condition` every few milliseconds until it is `Some`, and panics naming `what` when `limit` has passed.
pub async fn eventually<T>(limit: Duration, what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    let value = poll(limit, condition).await;
    value.unwrap_or_else(|| panic!("waited {limit:?} in vain: {what}"))
}

/// Like [`eventually`], for those who have more to say when it fails.
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
