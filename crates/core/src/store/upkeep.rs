//! What has to be done from time to time, by whoever is there: sweep and prune.

use std::time::Duration;

use super::{
    claim::{BUDGET, WorkerId},
    connection::{Args, Store},
    reply::{Text, Words, unexpected},
};
use crate::{BatchId, QueueName, Result};

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Jobs whose lease had run out before they were begun; queued again.
    pub rescued: u64,
    /// Jobs whose lease had run out after that; their policy decided.
    pub in_doubt: u64,
    /// Jobs that had expired.
    pub expired: u64,
    /// Whether jobs wait to be claimed.
    pub ready: bool,
    /// When the next waiting job is due.
    pub next_due_ms: Option<i64>,
    /// How many leases are out.
    pub leases: u64,
    /// How long the latest of them is: whoever watches must look several times within it, or it takes its own pauses
    /// for a stall of Redis.
    pub lease: Duration,
    /// Redis's clock.
    pub now_ms: i64,
    /// How many batches are done of which somebody is to be told now.
    pub notices: u64,
    /// How many jobs of a newer protocol version wait apart, and the id of one of them.
    pub newer: (u64, String),
    /// How much damage was found in the last hour, and the latest of it (`<what>: <why>`).
    pub damaged: (u64, String),
}

impl Store {
    /// Promotes what is due, rescues jobs whose lease ran out, cancels what expired; a bounded number of each.
    pub async fn sweep(&self, queue: &QueueName, worker: &WorkerId) -> Result<Swept> {
        let mut args = Args::of([worker.as_str()]);
        args.push(BUDGET / 4);
        let mut reply = Words::new(self.call("sweep", queue, args).await?);
        match reply.next::<String>()?.as_str() {
            "swept" => Ok(Swept {
                rescued: reply.next()?,
                in_doubt: reply.next()?,
                expired: reply.next()?,
                ready: reply.next::<u8>()? == 1,
                next_due_ms: Some(reply.next()?).filter(|ms| *ms > 0),
                leases: reply.next()?,
                lease: Duration::from_millis(reply.next()?),
                now_ms: reply.next()?,
                notices: reply.next()?,
                newer: (reply.next()?, reply.next::<Text>()?.0),
                damaged: (reply.next()?, reply.next::<Text>()?.0),
            }),
            other => Err(unexpected(other)),
        }
    }

    /// Frees what nobody needs any more, a bounded piece of it; answers whether there was anything.
    pub async fn prune(&self, queue: &QueueName) -> Result<bool> {
        let mut args = Args::default();
        args.push(BUDGET);
        let (freed, next) = self.prune_piece(queue, args).await?;
        let Some((batch, cursor, total)) = next else { return Ok(freed) };
        let mut args = Args::default();
        args.push(BUDGET / 4).push(&batch).push(cursor);
        for index in cursor..total.min(cursor + BUDGET as u64 / 2) {
            args.push(batch.job(index));
        }
        self.prune_piece(queue, args).await?;
        Ok(true)
    }

    async fn prune_piece(&self, queue: &QueueName, args: Args) -> Result<(bool, Option<(BatchId, u64, u64)>)> {
        let mut reply = Words::new(self.call("prune", queue, args).await?);
        match reply.next::<String>()?.as_str() {
            "pruned" => {
                let freed = reply.next::<u64>()? > 0;
                let batch: String = reply.next()?;
                let (cursor, total) = (reply.next()?, reply.next()?);
                Ok((freed, batch.parse().ok().map(|batch| (batch, cursor, total))))
            }
            other => Err(unexpected(other)),
        }
    }
}
