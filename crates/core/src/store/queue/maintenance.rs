//! Periodic maintenance by any worker: sweep and prune.

use std::time::Duration;

use crate::{
    BatchId, QueueName, Result, WorkerId,
    store::{
        connection::Store,
        script::{Args, BUDGET, LossyText, ReplyWords, Script, unexpected},
    },
};

/// Reply to a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepReply {
    /// Number of jobs queued again because their lease expired before the begin.
    pub rescued: u64,
    /// Number of jobs whose lease expired after the begin; their policy decided.
    pub in_doubt: u64,
    /// Number of expired jobs.
    pub expired: u64,
    /// Whether jobs are queued.
    pub ready: bool,
    /// Time at which the next waiting job is due (Unix milliseconds).
    pub next_due_ms: Option<i64>,
    /// Number of leases.
    pub leases: u64,
    /// Length of the latest lease.
    ///
    /// A worker must sweep several times within it. Otherwise it takes its own pauses for an outage
    /// of Redis.
    pub lease: Duration,
    /// Current time of Redis (Unix milliseconds).
    pub now_ms: i64,
    /// Number of notifications that are due.
    pub notices: u64,
    /// Number of jobs of a newer protocol version that are set aside, and the id of one of them.
    pub newer: (u64, String),
    /// Number of damage entries of the last hour, and the latest one (`<what>: <why>`).
    pub damaged: (u64, String),
}

impl Store {
    /// Promotes due jobs, rescues jobs with an expired lease and cancels expired jobs; a bounded
    /// number of each.
    pub async fn sweep(&self, queue: &QueueName, worker: &WorkerId) -> Result<SweepReply> {
        let mut args = Args::of([worker.as_str()]);
        args.push(BUDGET / 4);
        let mut reply = ReplyWords::new(self.call(Script::Sweep, queue, args).await?);
        match reply.next::<String>()?.as_str() {
            "swept" => Ok(SweepReply {
                rescued: reply.next()?,
                in_doubt: reply.next()?,
                expired: reply.next()?,
                ready: reply.next::<u8>()? == 1,
                next_due_ms: Some(reply.next()?).filter(|ms| *ms > 0),
                leases: reply.next()?,
                lease: Duration::from_millis(reply.next()?),
                now_ms: reply.next()?,
                notices: reply.next()?,
                newer: (reply.next()?, reply.next::<LossyText>()?.0),
                damaged: (reply.next()?, reply.next::<LossyText>()?.0),
            }),
            other => Err(unexpected(other)),
        }
    }

    /// Removes a bounded number of expired records and returns whether there were any.
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
        let mut reply = ReplyWords::new(self.call(Script::Prune, queue, args).await?);
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
