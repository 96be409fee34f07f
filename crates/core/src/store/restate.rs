//! After a restart of Redis: a worker says what it knows before it claims again.

use std::time::Duration;

use super::{
    claim::WorkerId,
    connection::{Args, Store},
    reply::{Words, unexpected},
    run::RunId,
};
use crate::{Error, JobId, QueueName, Result};

/// How many jobs one call restates.
const MOST: usize = 50;

/// A job of which a worker knows more than Redis may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownJob<'a> {
    /// Which.
    pub id: &'a JobId,
    /// The fence under which the worker has or had it.
    pub fence: u64,
    /// Whether the worker still works on it.
    pub held: bool,
    /// Message-ID and `Date` (ms), if it holds it and has begun.
    pub begun: Option<(&'a str, i64)>,
    /// The stored form, for a Redis that has lost it; may be empty.
    pub payload: &'a str,
}

/// What Redis makes of a restated job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestateReply {
    /// It is leased to the worker again.
    Held,
    /// It is there; what became of it can be said.
    Known,
    /// It was gone and is there again.
    Restored,
    /// Somebody else has it, or it has ended, or it is gone for good.
    Lost,
}

impl Store {
    /// Says which jobs a worker holds, and gives back those that Redis has lost. What became of the others is said again by
    /// [`Store::finish`] and [`Store::defer`] after this, and then [`Store::restated`] ends it.
    pub async fn restate(
        &self,
        queue: &QueueName,
        worker: &WorkerId,
        run: &RunId,
        jobs: &[KnownJob<'_>],
    ) -> Result<Vec<RestateReply>> {
        let mut replies = Vec::with_capacity(jobs.len());
        for chunk in jobs.chunks(MOST) {
            replies.extend(self.say_known(queue, worker, run, chunk, false).await?.1);
        }
        Ok(replies)
    }

    /// This worker has said all that it knows of the queue's jobs on this run of the server; answers how long claims still wait
    /// for other workers.
    pub async fn restated(&self, queue: &QueueName, worker: &WorkerId, run: &RunId) -> Result<Duration> {
        Ok(self.say_known(queue, worker, run, &[], true).await?.0)
    }

    async fn say_known(
        &self,
        queue: &QueueName,
        worker: &WorkerId,
        run: &RunId,
        jobs: &[KnownJob<'_>],
        spoken: bool,
    ) -> Result<(Duration, Vec<RestateReply>)> {
        let mut args = Args::of([worker.as_str(), run.as_str()]);
        args.push(u8::from(spoken));
        for job in jobs {
            let (message_id, date_ms) = job.begun.map(|(id, ms)| (id, ms.to_string())).unwrap_or_default();
            args.push(job.id).push(job.fence).push(u8::from(job.held)).push(message_id).push(date_ms).push(job.payload);
        }
        let mut words = Words::new(self.call("restate", queue, args).await?);
        let wait = Duration::from_millis(words.next()?);
        let replies: Vec<_> = words.rest::<String>()?.iter().map(|word| read(word)).collect::<Result<_>>()?;
        if replies.len() != jobs.len() {
            return Err(Error::Protocol(format!("{} answers about {} jobs", replies.len(), jobs.len())));
        }
        Ok((wait, replies))
    }
}

fn read(word: &str) -> Result<RestateReply> {
    Ok(match word {
        "held" => RestateReply::Held,
        "known" => RestateReply::Known,
        "restored" => RestateReply::Restored,
        "lost" => RestateReply::Lost,
        other => return Err(unexpected(other)),
    })
}
