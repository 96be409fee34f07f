//! Webhook calls for batches that are done. Each is retried in the background until it succeeds.

use std::{sync::Arc, time::Duration};

use postroom_core::{
    Addressee, HttpUrl, QueueName, Result,
    store::{DueNotice, Notice},
};
use postroom_mail::Webhook;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{error, info, warn};

use crate::{
    alerts::{AlertSubject, unix_ms},
    notices,
    worker::Worker,
};

/// Maximum number of concurrent calls, so that a URL that does not answer delays few others.
const MAX_CONCURRENT: usize = 16;
/// Time for which a due call is reserved for one worker; longer than a call takes.
const CALL_LEASE: Duration = Duration::from_secs(30);
/// Pause after the first call. Each further pause is twice as long, up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// Webhook calls are retried for this long after the batch is done.
const RETRY_FOR: Duration = Duration::from_secs(72 * 3600);
/// Number of failed calls from which an alert is raised.
const ALERT_FROM: u32 = 3;

/// The HTTP client for webhooks and the permits for concurrent calls.
#[derive(Debug)]
pub(crate) struct Webhooks {
    client: postroom_mail::Webhooks,
    free: Arc<Semaphore>,
}

impl Webhooks {
    pub(crate) fn new(client: postroom_mail::Webhooks) -> Self {
        Self { client, free: Arc::new(Semaphore::new(MAX_CONCURRENT)) }
    }

    /// Acquires as many permits as are free.
    fn acquire(&self) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| Arc::clone(&self.free).try_acquire_owned().ok()).take(MAX_CONCURRENT).collect()
    }
}

/// Starts the calls that are due. Returns at once, so that no other duty waits for a foreign
/// server.
pub(crate) async fn call_due(worker: &Arc<Worker>, queue: &QueueName) -> Result<()> {
    let permits = worker.webhooks.acquire();
    if permits.is_empty() {
        return Ok(());
    }
    // The call stays reserved for the time of all retries and one more pause.
    let due = worker.store.take_webhooks(queue, permits.len(), CALL_LEASE, LONGEST_PAUSE * 2).await?;
    for (due, permit) in due.into_iter().zip(permits) {
        let worker = Arc::clone(worker);
        tokio::spawn(async move {
            let _ = worker.outage.watch(call(&worker, &due).await);
            drop(permit);
        });
    }
    Ok(())
}

async fn call(worker: &Worker, due: &DueNotice) -> Result<()> {
    let DueNotice { notice, n, age } = due;
    let id = &notice.batch.id;
    let url = match &notice.to {
        Addressee::Url(url) => url,
        // The notice was redirected to an address meanwhile.
        Addressee::Mail(to) => return notices::mail(worker, &notice.batch, to).await,
    };
    let origin = url.origin();
    let Err(why) = post(worker, notice, url).await else {
        worker.store.drop_notice(id).await?;
        worker.alerts.clear(&AlertSubject::Webhook(origin.clone()), &format!("the webhook at {origin} succeeds"));
        info!(batch = %id, "webhook succeeded at try {n} ({origin}, batch {id})");
        return Ok(());
    };
    let pause = pause_after(*n);
    if *age + pause > RETRY_FOR {
        error!(batch = %id, "gave up the webhook after {n} tries: {why} ({origin}, batch {id})");
        return worker.store.drop_notice(id).await;
    }
    let s = pause.as_secs_f64();
    warn!(batch = %id, "webhook failed at try {n}: {why}; next try in {s:.0} s ({origin}, batch {id})");
    if *n >= ALERT_FROM {
        let text = format!("webhook calls to {origin} fail: {why}");
        worker.alerts.raise(AlertSubject::Webhook(origin), text);
    }
    worker.store.defer_webhook(id, *n, pause).await.map(drop)
}

async fn post(worker: &Worker, notice: &Notice, url: &HttpUrl) -> Result<(), String> {
    let batch = &notice.batch;
    let body = json!({ "type": "batch.done", "timestamp": batch.done_at, "data": batch }).to_string();
    let id = format!("{}-done", batch.id.to_string().replace('.', "-"));
    worker.webhooks.client.post(url, Webhook { id: &id, at_s: unix_ms() / 1000, body: &body }).await
}

/// Returns the pause before the next call, with jitter, so that calls that failed together spread
/// out.
fn pause_after(n: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(n.saturating_sub(1)));
    doubled.min(LONGEST_PAUSE).mul_f64(0.8 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour_and_calls_are_retried_for_days() {
        for (n, s) in [(1, 2.0), (2, 4.0), (5, 32.0), (11, 2048.0), (12, 3600.0), (400, 3600.0)] {
            let pause = pause_after(n).as_secs_f64();
            assert!((s * 0.79..=s).contains(&pause), "{n}: {pause}");
        }
        let (mut age, mut tries) = (Duration::ZERO, 1);
        while age + pause_after(tries) <= RETRY_FOR {
            age += pause_after(tries);
            tries += 1;
        }
        assert!(age > Duration::from_secs(70 * 3600) && (80..110).contains(&tries), "{tries} tries in {age:?}");
    }
}
