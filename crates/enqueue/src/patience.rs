//! A short outage of Redis is waited out: what is said to it is safe to say again.

use std::time::Duration;

use postroom_core::{Error, Result};

/// After which pauses a piece of a bulk is said again while Redis is away: about fifteen seconds in all.
pub(crate) const PAUSES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(7),
];

/// Says it again while Redis is away, `pauses.len()` times at most.
pub(crate) async fn patiently<T, F>(pauses: &[Duration], say: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for pause in pauses {
        match say().await {
            Err(Error::Away(_)) => tokio::time::sleep(*pause).await,
            answer => return answer,
        }
    }
    say().await
}
