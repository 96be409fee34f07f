//! Waiting for a condition without guessing how long it takes.

use std::time::Duration;
use tokio::time::Instant;

/// Polls `condition` every few milliseconds until it is `Some`, and panics naming `what` when `limit` has passed.
pub async fn eventually<T, F>(limit: Duration, what: &str, mut condition: F) -> T
where
    F: AsyncFnMut() -> Option<T>,
{
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
