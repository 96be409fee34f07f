//! Batches of whose end somebody wants to be told.

use std::time::Duration;

use redis::Value;

use super::{
    batches::BatchReport,
    connection::{Args, Store},
    enqueue::millis,
    reply::{Text, Words, unexpected},
};
use crate::{Addressee, BatchId, Error, QueueName, Result};

/// A batch that is done, and who wants to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The batch.
    pub batch: BatchReport,
    /// Who.
    pub to: Addressee,
}

/// A notice that this caller alone gives now.
#[derive(Debug, Clone, PartialEq)]
pub struct DueNotice {
    /// What, and to whom.
    pub notice: Notice,
    /// Which try it is, from 1.
    pub n: u32,
    /// How long ago the batch was done.
    pub age: Duration,
}

/// How many are read at a time.
const MOST: isize = 20;

impl Store {
    /// Takes note that somebody wants to be told, once, when the batch is done. The last one who says so is told.
    pub async fn notify_of_batch(&self, id: &BatchId, to: &Addressee) -> Result<()> {
        let args = Args::of([&id.to_string(), &to.to_string()]);
        match self.call::<String>("batch_notify", id.queue(), args).await?.as_str() {
            "noted" => Ok(()),
            "missing" => Err(Error::NotFound(id.to_string())),
            other => Err(unexpected(other)),
        }
    }

    /// Some of the notices that nobody has taken up yet.
    pub async fn notices(&self, queue: &QueueName) -> Result<Vec<Notice>> {
        let key = self.keys.of_queue(queue, "notices");
        let ids: Vec<Text> = self.run(redis::cmd("ZRANGE").arg(key).arg(0).arg(MOST - 1)).await?;
        let mut notices = Vec::new();
        for id in ids.iter().filter_map(|id| id.0.parse().ok()) {
            match self.notice(&id).await? {
                Some(notice) => notices.push(notice),
                None => self.drop_notice(&id).await?,
            }
        }
        Ok(notices)
    }

    /// It was handed over, or nobody is left to tell.
    pub async fn drop_notice(&self, id: &BatchId) -> Result<()> {
        let key = |name| self.keys.of_queue(id.queue(), name);
        let mut both = redis::pipe();
        for name in ["notices", "webhooks"] {
            both.cmd("ZREM").arg(key(name)).arg(id.to_string()).ignore();
        }
        self.run_all(&both).await
    }

    /// A URL is to be told: from now on [`Store::take_webhooks`] hands it out until it was.
    pub async fn add_webhook(&self, id: &BatchId) -> Result<()> {
        match self.call::<String>("webhook_add", id.queue(), Args::of([&id.to_string()])).await?.as_str() {
            "added" | "known" => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Up to `number` notices that are to be given now, for as long as `lease` to this caller alone. Their batches are known for
    /// `life` from now at least.
    pub async fn take_webhooks(
        &self,
        queue: &QueueName,
        number: usize,
        lease: Duration,
        life: Duration,
    ) -> Result<Vec<DueNotice>> {
        let mut args = Args::default();
        args.push(number).push(millis(lease)).push(millis(life));
        let mut words = Words::new(self.call::<Vec<Value>>("webhook_take", queue, args).await?);
        let now_ms: i64 = words.next()?;
        let mut due = Vec::new();
        for taken in words.rest::<Text>()?.chunks_exact(4) {
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

    /// It was not heard at try `n` and is to be told again after `delay`; answers whether that is still this caller's to say.
    pub async fn defer_webhook(&self, id: &BatchId, n: u32, delay: Duration) -> Result<bool> {
        let mut args = Args::of([&id.to_string()]);
        args.push(n).push(millis(delay));
        match self.call::<String>("webhook_defer", id.queue(), args).await?.as_str() {
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
