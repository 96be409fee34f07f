//! Notifications about finished batches.

use std::time::Duration;

use redis::Value;

use super::batches::BatchReport;
use crate::{
    Addressee, BatchId, Error, QueueName, Result,
    store::{
        connection::Store,
        script::{Args, LossyText, ReplyWords, Script, unexpected},
    },
    time::millis,
};

/// A finished batch and the addressee of its notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Batch that is done.
    pub batch: BatchReport,
    /// Addressee: an e-mail address or a URL.
    pub to: Addressee,
}

/// A notification leased to one caller.
#[derive(Debug, Clone, PartialEq)]
pub struct DueNotice {
    /// Batch and addressee.
    pub notice: Notice,
    /// Number of the try, from 1.
    pub n: u32,
    /// Time since the batch was done.
    pub age: Duration,
}

/// Maximum number of notifications read at a time.
const MOST: isize = 20;

impl Store {
    /// Registers the addressee of a batch's notification. A later call replaces the addressee.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such batch.
    pub async fn notify_of_batch(&self, id: &BatchId, to: &Addressee) -> Result<()> {
        let args = Args::of([&id.to_string(), &to.to_string()]);
        match self.call::<String>(Script::BatchNotify, id.queue(), args).await?.as_str() {
            "noted" => Ok(()),
            "missing" => Err(Error::NotFound(id.to_string())),
            other => Err(unexpected(other)),
        }
    }

    /// Returns some notifications that are due and not dispatched yet.
    pub async fn notices(&self, queue: &QueueName) -> Result<Vec<Notice>> {
        let key = self.keys.of_queue(queue, "notices");
        let ids: Vec<LossyText> = self.run(redis::cmd("ZRANGE").arg(key).arg(0).arg(MOST - 1)).await?;
        let mut notices = Vec::new();
        for id in ids.iter().filter_map(|id| id.0.parse().ok()) {
            match self.notice(&id).await? {
                Some(notice) => notices.push(notice),
                None => self.drop_notice(&id).await?,
            }
        }
        Ok(notices)
    }

    /// Removes a notification that was dispatched or has no addressee.
    pub async fn drop_notice(&self, id: &BatchId) -> Result<()> {
        let key = |name| self.keys.of_queue(id.queue(), name);
        let mut both = redis::pipe();
        for name in ["notices", "webhooks"] {
            both.cmd("ZREM").arg(key(name)).arg(id.to_string()).ignore();
        }
        self.run_all(&both).await
    }

    /// Adds a batch to the webhooks. [`Store::take_webhooks`] returns it until it is removed or
    /// deferred.
    pub async fn add_webhook(&self, id: &BatchId) -> Result<()> {
        match self.call::<String>(Script::WebhookAdd, id.queue(), Args::of([&id.to_string()])).await?.as_str() {
            "added" | "known" => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Leases up to `number` due webhooks to this caller for the time `lease`.
    ///
    /// Their batches are kept for at least `life` from now.
    pub async fn take_webhooks(
        &self,
        queue: &QueueName,
        number: usize,
        lease: Duration,
        life: Duration,
    ) -> Result<Vec<DueNotice>> {
        let mut args = Args::default();
        args.push(number).push(millis(lease)).push(millis(life));
        let mut words = ReplyWords::new(self.call::<Vec<Value>>(Script::WebhookTake, queue, args).await?);
        let now_ms: i64 = words.next()?;
        let mut due = Vec::new();
        for taken in words.rest::<LossyText>()?.chunks_exact(4) {
            let [id, to, n, done_ms] = taken else { continue };
            let [id, to, n, done_ms] = [id, to, n, done_ms].map(|word| word.0.as_str());
            let Ok(id) = id.parse::<BatchId>() else { continue };
            let done_ms: i64 = done_ms.parse().unwrap_or(now_ms);
            match self.batch(&id).await?.zip(to.parse().ok()) {
                Some((batch, to)) => due.push(DueNotice {
                    notice: Notice { batch, to },
                    n: n.parse().unwrap_or(1),
                    age: Duration::from_millis(u64::try_from(now_ms - done_ms).unwrap_or(0)),
                }),
                None => self.drop_notice(&id).await?,
            }
        }
        Ok(due)
    }

    /// Defers a webhook after its failed try `n`. Returns false if the webhook is not leased to
    /// this caller any more.
    pub async fn defer_webhook(&self, id: &BatchId, n: u32, delay: Duration) -> Result<bool> {
        let mut args = Args::of([&id.to_string()]);
        args.push(n).push(millis(delay));
        match self.call::<String>(Script::WebhookDefer, id.queue(), args).await?.as_str() {
            "deferred" => Ok(true),
            "lost" => Ok(false),
            other => Err(unexpected(other)),
        }
    }

    async fn notice(&self, id: &BatchId) -> Result<Option<Notice>> {
        let record = self.keys.of_queue(id.queue(), &format!("b:{id}"));
        let to: Option<String> = self.run(redis::cmd("HGET").arg(record).arg("notify")).await?;
        let to = to.and_then(|to| to.parse().ok());
        Ok(self.batch(id).await?.zip(to).map(|(batch, to)| Notice { batch, to }))
    }
}
