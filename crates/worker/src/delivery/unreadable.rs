//! A claimed job whose content cannot be read.

use postroom_core::store::{Claimed, Outcome, Settled};
use tracing::warn;

use super::{ClaimPermits, finish};
use crate::{transports::Route, worker::Worker};

/// Fails a job whose content cannot be read, and returns its permits.
pub(crate) async fn fail_unreadable(
    worker: &Worker,
    route: &Route,
    job: &Claimed,
    error: String,
    permits: ClaimPermits,
) {
    warn!(job = %job.id, "cannot read the job {}; it fails", job.id);
    let error = Some(("unreadable".to_owned(), error));
    let left = Settled { attempt: job.attempt, error, ..Settled::default() };
    finish(&route.settler, &worker.stats, job, Outcome::Failed, "unreadable", &left).await;
    if let Some(reservation) = permits.reservation {
        reservation.release(&worker.redis.store).await;
    }
}
