//! Batches of whose end somebody wants to be told.

use super::{
    batches::BatchReport,
    connection::{Args, Store},
    reply::unexpected,
};
use crate::{BatchId, Error, Mailbox, QueueName, Result};

/// A batch that is done, and who wants to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The batch.
    pub batch: BatchReport,
    /// Who.
    pub to: Mailbox,
}

/// How many are read at a time.
const MOST: isize = 20;

impl Store {
    /// Takes note that this address wants to be told, once, when the batch is done. The last one who says so is told.
    pub async fn notify_of_batch(&self, id: &BatchId, to: &Mailbox) -> Result<()> {
        let args = Args::of([&id.to_string(), &to.to_string()]);
        match self.call::<String>("batch_notify", id.queue(), args).await?.as_str() {
            "noted" => Ok(()),
            "missing" => Err(Error::NotFound(id.to_string())),
            other => Err(unexpected(other)),
        }
    }

    /// Some of the notices that nobody was sent yet.
    pub async fn notices(&self, queue: &QueueName) -> Result<Vec<Notice>> {
        let key = self.keys.of_queue(queue, "notices");
        let ids: Vec<String> = self.run(redis::cmd("ZRANGE").arg(key).arg(0).arg(MOST - 1)).await?;
        let mut notices = Vec::new();
        for id in ids.iter().filter_map(|id| id.parse().ok()) {
            match self.notice(&id).await? {
                Some(notice) => notices.push(notice),
                None => self.drop_notice(&id).await?,
            }
        }
        Ok(notices)
    }

    /// It was handed over.
    pub async fn drop_notice(&self, id: &BatchId) -> Result<()> {
        let key = self.keys.of_queue(id.queue(), "notices");
        self.run(redis::cmd("ZREM").arg(key).arg(id.to_string())).await
    }

    async fn notice(&self, id: &BatchId) -> Result<Option<Notice>> {
        let record = self.keys.of_queue(id.queue(), &format!("b:{id}"));
        let to: Option<String> = self.run(redis::cmd("HGET").arg(record).arg("notify")).await?;
        let to = to.and_then(|to| to.parse().ok());
        Ok(self.batch(id).await?.zip(to).map(|(batch, to)| Notice { batch, to }))
    }
}
