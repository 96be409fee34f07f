//! Webhook calls for batches that are done. Each is retried in the background until it succeeds.

use std::{sync::Arc, time::Duration};

use postroom_core::{
    Addressee, HttpUrl, QueueName, Result,
    store::{DueNotice, Notice},
};
use postroom_mail::{Webhook, Webhooks};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{error, info, warn};

use super::mail::MailNotices;
use crate::{
    alerts::{AlertSubject, Alerts, unix_ms},
    redis_access::RedisAccess,
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

/// Calls webhooks.
#[derive(Debug)]
pub(super) struct WebhookNotices {
    redis: RedisAccess,
    alerts: Arc<Alerts>,
    client: Webhooks,
    mail: MailNotices,
    /// Permits for concurrent calls.
    permits: Arc<Semaphore>,
}

impl WebhookNotices {
    pub(super) fn new(redis: RedisAccess, alerts: Arc<Alerts>, client: Webhooks, mail: MailNotices) -> Self {
        Self { redis, alerts, client, mail, permits: Arc::new(Semaphore::new(MAX_CONCURRENT)) }
    }

    /// Acquires as many permits as are free.
    fn acquire(&self) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| Arc::clone(&self.permits).try_acquire_owned().ok()).take(MAX_CONCURRENT).collect()
    }

    /// Starts the calls that are due. Returns at once, so that no other duty waits for a foreign
    /// server.
    pub(super) async fn call_due(self: &Arc<Self>, queue: &QueueName) -> Result<()> {
        let permits = self.acquire();
        if permits.is_empty() {
            return Ok(());
        }
        // The batch is kept for the time of all retries and one more pause.
        let due = self.redis.store.take_webhooks(queue, permits.len(), CALL_LEASE, LONGEST_PAUSE * 2).await?;
        for (due, permit) in due.into_iter().zip(permits) {
            let webhooks = Arc::clone(self);
            tokio::spawn(async move {
                let _ = webhooks.redis.watch(webhooks.call(&due).await);
                drop(permit);
            });
        }
        Ok(())
    }

    async fn call(&self, due: &DueNotice) -> Result<()> {
        let DueNotice { notice, n, age } = due;
        let id = &notice.batch.id;
        let url = match &notice.to {
            Addressee::Url(url) => url,
            // The notice was redirected to an address meanwhile.
            Addressee::Mail(to) => return self.mail.send(&notice.batch, to).await,
        };
        let origin = url.origin();
        let Err(why) = self.post(notice, url).await else {
            self.redis.store.drop_notice(id).await?;
            self.alerts.clear(&AlertSubject::Webhook(origin.clone()), &format!("the webhook at {origin} succeeds"));
            info!(batch = %id, "webhook succeeded at try {n} ({origin}, batch {id})");
            return Ok(());
        };
        let pause = pause_after(*n);
        if *age + pause > RETRY_FOR {
            error!(batch = %id, "gave up the webhook after {n} tries: {why} ({origin}, batch {id})");
            return self.redis.store.drop_notice(id).await;
        }
        let s = pause.as_secs_f64();
        warn!(batch = %id, "webhook failed at try {n}: {why}; next try in {s:.0} s ({origin}, batch {id})");
        if *n >= ALERT_FROM {
            let text = format!("webhook calls to {origin} fail: {why}");
            self.alerts.raise(AlertSubject::Webhook(origin), text);
        }
        self.redis.store.defer_webhook(id, *n, pause).await.map(drop)
    }

    async fn post(&self, notice: &Notice, url: &HttpUrl) -> Result<(), String> {
        let batch = &notice.batch;
        let body = json!({ "type": "batch.done", "timestamp": batch.done_at, "data": batch }).to_string();
        let id = format!("{}-done", batch.id.to_string().replace('.', "-"));
        self.client.post(url, Webhook { id: &id, at_s: unix_ms() / 1000, body: &body }).await
    }
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
