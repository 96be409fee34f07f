//! Resync after a restart of Redis: a worker restates its jobs before it claims again.

use std::time::Duration;

use crate::{
    Error, JobId, QueueName, Result, WorkerId,
    store::{
        connection::{RunId, Store},
        script::{Args, ReplyWords, Script, unexpected},
    },
};

/// Maximum number of jobs, and of bytes of lost payloads, in one call.
const MOST: usize = 100;
const MOST_BYTES: usize = 4 << 20;

/// A job of which a worker may know more than Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownJob<'a> {
    /// Id of the job.
    pub id: &'a JobId,
    /// Fence under which the worker holds or held the job.
    pub fence: u64,
    /// State of the job in the worker.
    pub state: KnownState,
    /// Message-ID and `Date` (Unix milliseconds) if the worker holds the job and has begun it.
    pub begun: Option<(&'a str, i64)>,
    /// Stored form, used to restore a lost job; may be empty.
    pub payload: &'a str,
}

/// State of a job in a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownState {
    /// The worker still holds the job.
    Held,
    /// The job was deferred, failed, or is in doubt.
    Settled,
    /// The job was sent.
    Sent,
}

/// Result of restating one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestateReply {
    /// The job is leased to the worker again.
    Held,
    /// The job exists. Its settlement can be repeated.
    Known,
    /// The job was lost and is restored.
    Restored,
    /// The job is lost and no payload was given.
    Gone,
    /// Another worker has the job, or it has ended, or it can't be restored.
    Lost,
}

impl Store {
    /// Restates the jobs of a worker and restores those that Redis has lost.
    ///
    /// After this, repeat the settlements by [`Store::finish`] and [`Store::defer`], then call
    /// [`Store::complete_restate`].
    pub async fn restate(
        &self,
        queue: &QueueName,
        worker: &WorkerId,
        run: &RunId,
        jobs: &[KnownJob<'_>],
    ) -> Result<Vec<RestateReply>> {
        let mut replies = Vec::with_capacity(jobs.len());
        for chunk in jobs.chunks(MOST) {
            let bare: Vec<_> = chunk.iter().map(|job| KnownJob { payload: "", ..*job }).collect();
            replies.extend(self.send_jobs(queue, worker, run, &bare, false).await?.1);
        }
        let gone = |(index, reply): (usize, &RestateReply)| (*reply == RestateReply::Gone).then_some(index);
        let gone: Vec<usize> = replies.iter().enumerate().filter_map(gone).collect();
        for indexes in in_chunks(&gone, jobs) {
            let with_payload: Vec<_> = indexes.iter().map(|index| jobs[*index]).collect();
            let sent = self.send_jobs(queue, worker, run, &with_payload, false).await?.1;
            indexes.iter().zip(sent).for_each(|(index, reply)| replies[*index] = reply);
        }
        Ok(replies)
    }

    /// Marks this worker's resync of the queue as complete. Returns how long claims still wait for
    /// other workers.
    pub async fn complete_restate(&self, queue: &QueueName, worker: &WorkerId, run: &RunId) -> Result<Duration> {
        Ok(self.send_jobs(queue, worker, run, &[], true).await?.0)
    }

    async fn send_jobs(
        &self,
        queue: &QueueName,
        worker: &WorkerId,
        run: &RunId,
        jobs: &[KnownJob<'_>],
        is_complete: bool,
    ) -> Result<(Duration, Vec<RestateReply>)> {
        let mut args = Args::of([worker.as_str(), run.as_str()]);
        args.push(u8::from(is_complete));
        for job in jobs {
            let (message_id, date_ms) = job.begun.map(|(id, ms)| (id, ms.to_string())).unwrap_or_default();
            args.push(job.id).push(job.fence).push(job.state.as_str()).push(message_id).push(date_ms).push(job.payload);
        }
        let mut words = ReplyWords::new(self.call(Script::Restate, queue, args).await?);
        let wait = Duration::from_millis(words.next()?);
        let replies: Vec<_> = words.rest::<String>()?.iter().map(|word| read(word)).collect::<Result<_>>()?;
        if replies.len() != jobs.len() {
            return Err(Error::Protocol(format!("{} replies for {} jobs", replies.len(), jobs.len())));
        }
        Ok((wait, replies))
    }
}

/// Groups lost jobs into calls of bounded size.
fn in_chunks(gone: &[usize], jobs: &[KnownJob<'_>]) -> Vec<Vec<usize>> {
    let mut chunks: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for index in gone {
        bytes += jobs[*index].payload.len();
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < MOST && bytes <= MOST_BYTES => chunk.push(*index),
            _ => {
                chunks.push(vec![*index]);
                bytes = jobs[*index].payload.len();
            }
        }
    }
    chunks
}

impl KnownState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Settled => "settled",
            Self::Sent => "sent",
        }
    }
}

fn read(word: &str) -> Result<RestateReply> {
    Ok(match word {
        "held" => RestateReply::Held,
        "known" => RestateReply::Known,
        "restored" => RestateReply::Restored,
        "gone" => RestateReply::Gone,
        "lost" => RestateReply::Lost,
        other => return Err(unexpected(other)),
    })
}
