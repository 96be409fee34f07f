//! What a person does: cancel, retry, resolve, pause, resume.

use super::{
    connection::{Args, Store},
    reply::{Words, unexpected},
};
use crate::{BatchId, Error, JobId, JobState, QueueName, Result};

/// The answer to a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReply {
    /// It will not be sent.
    Cancelled,
    /// It was cancelled before.
    Already,
    /// It is being sent right now.
    Begun,
    /// It can't be known whether it was sent: resolve it.
    InDoubt,
    /// It is over.
    Finished(JobState),
}

/// The answer to a retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryReply {
    /// It may be claimed at once.
    Queued,
    /// It is in no state to be tried again, or there is a reason against it.
    Refused {
        /// Its state.
        state: JobState,
        /// The reason, when the state alone is none.
        why: String,
    },
}

/// What a person says of a job in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// It went out.
    Sent,
    /// Send it again.
    Resend,
    /// It did not, and shall not.
    Failed,
}

impl Store {
    /// Cancels a job unless it is begun or over.
    pub async fn cancel(&self, id: &JobId, reason: &str) -> Result<CancelReply> {
        let args = Args::of([&id.to_string(), reason]);
        let mut reply = Words::new(self.call("cancel", id.queue(), args).await?);
        Ok(match reply.next::<String>()?.as_str() {
            "cancelled" => CancelReply::Cancelled,
            "already" => CancelReply::Already,
            "begun" => CancelReply::Begun,
            "in_doubt" => CancelReply::InDoubt,
            "finished" => CancelReply::Finished(reply.next::<String>()?.parse()?),
            "missing" => return Err(missing(id)),
            other => return Err(unexpected(other)),
        })
    }

    /// Cancels what of a batch still waits; answers how many, or `None` when it was cancelled before.
    pub async fn cancel_batch(&self, id: &BatchId) -> Result<Option<u64>> {
        let mut reply = Words::new(self.call("batch_cancel", id.queue(), Args::of([&id.to_string()])).await?);
        match reply.next::<String>()?.as_str() {
            "cancelled" => reply.next().map(Some),
            "already" => Ok(None),
            "missing" => Err(missing(id)),
            other => Err(unexpected(other)),
        }
    }

    /// Sends a failed or cancelled job again, or a waiting one now.
    pub async fn retry(&self, id: &JobId) -> Result<RetryReply> {
        let mut reply = Words::new(self.call("retry", id.queue(), Args::of([&id.to_string()])).await?);
        match reply.next::<String>()?.as_str() {
            "queued" => Ok(RetryReply::Queued),
            "refused" => Ok(RetryReply::Refused { state: reply.next::<String>()?.parse()?, why: reply.next()? }),
            "missing" => Err(missing(id)),
            other => Err(unexpected(other)),
        }
    }

    /// Settles a job in doubt; `Err(Conflict)` when it is not in doubt.
    pub async fn resolve(&self, id: &JobId, resolution: Resolution) -> Result<()> {
        let word = match resolution {
            Resolution::Sent => "sent",
            Resolution::Resend => "resend",
            Resolution::Failed => "failed",
        };
        let mut reply = Words::new(self.call("resolve", id.queue(), Args::of([&id.to_string(), word])).await?);
        match reply.next::<String>()?.as_str() {
            "resolved" => Ok(()),
            "refused" => Err(Error::Conflict(format!("{id} is {}, not in doubt", reply.next::<String>()?))),
            "missing" => Err(missing(id)),
            other => Err(unexpected(other)),
        }
    }

    /// Stops the handing out of a queue's jobs; answers whether that changed anything.
    pub async fn pause(&self, queue: &QueueName) -> Result<bool> {
        self.switch(queue, "pause").await
    }

    /// Starts it again.
    pub async fn resume(&self, queue: &QueueName) -> Result<bool> {
        self.switch(queue, "resume").await
    }

    async fn switch(&self, queue: &QueueName, act: &str) -> Result<bool> {
        match self.call::<String>("pause", queue, Args::of([act])).await?.as_str() {
            "paused" | "resumed" => Ok(true),
            "unchanged" => Ok(false),
            other => Err(unexpected(other)),
        }
    }
}

fn missing(id: &impl std::fmt::Display) -> Error {
    Error::NotFound(id.to_string())
}
