//! After a restart of Redis: a worker says what it knows before it claims again.

use std::time::Duration;

use super::{
    claim::WorkerId,
    connection::{Args, Store},
    reply::{Words, unexpected},
    run::RunId,
};
use crate::{Error, JobId, QueueName, Result};

/// How many jobs one call restates, and how many bytes of what Redis has lost.
const MOST: usize = 100;
const MOST_BYTES: usize = 4 << 20;

/// A job of which a worker knows more than Redis may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownJob<'a> {
    /// Which.
    pub id: &'a JobId,
    /// The fence under which the worker has or had it.
    pub fence: u64,
    /// What the worker knows.
    pub known: Known,
    /// Message-ID and `Date` (ms), if it holds it and has begun.
    pub begun: Option<(&'a str, i64)>,
    /// The stored form, for a Redis that has lost it; may be empty.
    pub payload: &'a str,
}

/// What a worker knows of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It still works on it.
    Held,
    /// It was put back, failed, or is in doubt.
    Settled,
    /// It was sent.
    Sent,
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
    /// It is not there, and its payload was not said.
    Gone,
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
            let bare: Vec<_> = chunk.iter().map(|job| KnownJob { payload: "", ..*job }).collect();
            replies.extend(self.say_known(queue, worker, run, &bare, false).await?.1);
        }
        let gone = |(place, reply): (usize, &RestateReply)| (*reply == RestateReply::Gone).then_some(place);
        let gone: Vec<usize> = replies.iter().enumerate().filter_map(gone).collect();
        for places in in_pieces(&gone, jobs) {
            let whole: Vec<_> = places.iter().map(|place| jobs[*place]).collect();
            let said = self.say_known(queue, worker, run, &whole, false).await?.1;
            places.iter().zip(said).for_each(|(place, reply)| replies[*place] = reply);
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
            args.push(job.id).push(job.fence).push(job.known.as_str()).push(message_id).push(date_ms).push(job.payload);
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

/// What Redis has lost, in pieces that it takes in one call.
fn in_pieces(gone: &[usize], jobs: &[KnownJob<'_>]) -> Vec<Vec<usize>> {
    let mut pieces: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for place in gone {
        bytes += jobs[*place].payload.len();
        match pieces.last_mut() {
            Some(piece) if piece.len() < MOST && bytes <= MOST_BYTES => piece.push(*place),
            _ => {
                pieces.push(vec![*place]);
                bytes = jobs[*place].payload.len();
            }
        }
    }
    pieces
}

impl Known {
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
