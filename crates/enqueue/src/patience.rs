//! A short outage of Redis is waited out: what is said to it is safe to say again.

use std::time::Duration;

use postroom_core::{Error, Result};

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
