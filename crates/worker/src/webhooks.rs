//! Telling URLs that batches are done, each until it hears, beside everything else that this worker does.

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
    alerts::{About, unix_ms},
    notices,
    office::Office,
};

/// How many URLs are told at a time, so that one that does not answer holds up few others.
const AT_A_TIME: usize = 16;
/// Longer than a try takes: nobody else tries meanwhile.
const LEASE: Duration = Duration::from_secs(30);
/// The pause after the first try; each is twice the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// From the end of the batch on, a URL is told for so long.
const PATIENCE: Duration = Duration::from_secs(72 * 3600);
/// One or two tries that fail are no reason to call anybody.
const ALERT_FROM: u32 = 3;

/// What tells URLs, and how many more it may tell now.
#[derive(Debug)]
pub(crate) struct Webhooks {
    client: postroom_mail::Webhooks,
    free: Arc<Semaphore>,
}

impl Webhooks {
    pub(crate) fn new(client: postroom_mail::Webhooks) -> Self {
        Self { client, free: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// The right to tell several, as many as there are.
    fn rights(&self) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| Arc::clone(&self.free).try_acquire_owned().ok()).take(AT_A_TIME).collect()
    }
}

/// Begins to tell those that are to be told now. Returns at once: nothing waits for somebody else's server.
pub(crate) async fn call_due(office: &Arc<Office>, queue: &QueueName) -> Result<()> {
    let rights = office.webhooks.rights();
    if rights.is_empty() {
        return Ok(());
    }
    // A batch may be told of for as long as it is tried, and for one more pause.
    let due = office.store.take_webhooks(queue, rights.len(), LEASE, LONGEST_PAUSE * 2).await?;
    for (due, right) in due.into_iter().zip(rights) {
        let office = Arc::clone(office);
        tokio::spawn(async move {
            let _ = office.outage.watch(call(&office, &due).await);
            drop(right);
        });
    }
    Ok(())
}

async fn call(office: &Office, due: &DueNotice) -> Result<()> {
    let DueNotice { notice, n, age } = due;
    let id = &notice.batch.id;
    let url = match &notice.to {
        Addressee::Url(url) => url,
        // Somebody else was named meanwhile.
        Addressee::Mail(to) => return notices::mail(office, &notice.batch, to).await,
    };
    let place = url.origin();
    let Err(why) = tell(office, notice, url).await else {
        office.store.drop_notice(id).await?;
        office.alerts.clear(&About::Webhook(place.clone()), &format!("{place} was told of a batch that is done"));
        info!(batch = %id, "{id} is done: {place} was told of it at try {n}");
        return Ok(());
    };
    let pause = pause_after(*n);
    if *age + pause > PATIENCE {
        error!(batch = %id, "{id} is done, and {place} did not hear of it in {n} tries; it is told no more: {why}");
        return office.store.drop_notice(id).await;
    }
    let s = pause.as_secs_f64();
    warn!(batch = %id, "{id} is done, and {place} did not hear of it at try {n}: {why}; again in {s:.0} s");
    if *n >= ALERT_FROM {
        let text = format!("{place} does not hear of batches that are done: {why}");
        office.alerts.raise(About::Webhook(place), text);
    }
    office.store.defer_webhook(id, *n, pause).await.map(drop)
}

async fn tell(office: &Office, notice: &Notice, url: &HttpUrl) -> Result<(), String> {
    let batch = &notice.batch;
    let body = json!({ "type": "batch.done", "timestamp": batch.done_at, "data": batch }).to_string();
    let id = format!("{}-done", batch.id.to_string().replace('.', "-"));
    office.webhooks.client.post(url, Webhook { id: &id, at_s: unix_ms() / 1000, body: &body }).await
}

/// Not to the second, so that those that failed together do not come again together.
fn pause_after(n: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(n.saturating_sub(1)));
    doubled.min(LONGEST_PAUSE).mul_f64(0.8 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour_and_tries_go_on_for_days() {
        for (n, s) in [(1, 2.0), (2, 4.0), (5, 32.0), (11, 2048.0), (12, 3600.0), (400, 3600.0)] {
            let pause = pause_after(n).as_secs_f64();
            assert!((s * 0.79..=s).contains(&pause), "{n}: {pause}");
        }
        let (mut age, mut tries) = (Duration::ZERO, 1);
        while age + pause_after(tries) <= PATIENCE {
            age += pause_after(tries);
            tries += 1;
        }
        assert!(age > Duration::from_secs(70 * 3600) && (80..110).contains(&tries), "{tries} tries in {age:?}");
    }
}
