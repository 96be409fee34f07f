//! Retries with pauses while Redis is unreachable. Every call that is retried is idempotent.

use std::time::Duration;

use postroom_core::{Error, Result};

/// Pauses between the attempts of one call of a bulk; about a minute in all.
pub(crate) const BULK_PAUSES: [Duration; 11] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(7),
    Duration::from_secs(9),
    Duration::from_secs(9),
    Duration::from_secs(9),
    Duration::from_secs(9),
    Duration::from_secs(9),
];

/// Repeats `call` while Redis is unreachable, at most `pauses.len()` times.
pub(crate) async fn with_backoff<T, F>(pauses: &[Duration], call: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for pause in pauses {
        match call().await {
            Err(Error::Away(_)) => tokio::time::sleep(*pause).await,
            result => return result,
        }
    }
    call().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/guarantees.md states the time that a bulk waits.
    #[test]
    fn a_bulk_waits_about_a_minute() {
        let all: Duration = BULK_PAUSES.iter().sum();
        assert_eq!(all, Duration::from_millis(59_500));
    }
}
