//! Actions of a person: cancel, retry, resolve, pause, resume.

use crate::{
    BatchId, Error, JobId, JobState, QueueName, Result,
    store::{
        connection::Store,
        script::{Args, ReplyWords, Script, unexpected},
    },
};

/// Reply to a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReply {
    /// The job is cancelled.
    Cancelled,
    /// The job was already cancelled.
    Already,
    /// The job is being sent.
    Begun,
    /// The job is in doubt. Resolve it instead.
    InDoubt,
    /// The job has ended in this state.
    Finished(JobState),
}

/// Reply to a retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryReply {
    /// The job is queued.
    Queued,
    /// The job can't be retried.
    Refused {
        /// State of the job.
        state: JobState,
        /// Further reason, if the state is not the reason.
        why: String,
    },
}

/// A person's decision about a job in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The mail was sent.
    Sent,
    /// Send the mail again.
    Resend,
    /// The mail was not sent and must not be sent.
    Failed,
}

impl Store {
    /// Cancels a job unless it is being sent, in doubt, or has ended.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such job.
    pub async fn cancel(&self, id: &JobId, reason: &str) -> Result<CancelReply> {
        let args = Args::of([&id.to_string(), reason]);
        let mut reply = ReplyWords::new(self.call(Script::Cancel, id.queue(), args).await?);
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

    /// Cancels the waiting jobs of a batch and returns their number, or `None` if the batch was
    /// already cancelled.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such batch.
    pub async fn cancel_batch(&self, id: &BatchId) -> Result<Option<u64>> {
        let mut reply = ReplyWords::new(self.call(Script::BatchCancel, id.queue(), Args::of([&id.to_string()])).await?);
        match reply.next::<String>()?.as_str() {
            "cancelled" => reply.next().map(Some),
            "already" => Ok(None),
            "missing" => Err(missing(id)),
            other => Err(unexpected(other)),
        }
    }

    /// Queues a failed, cancelled, scheduled or deferred job immediately.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such job.
    pub async fn retry(&self, id: &JobId) -> Result<RetryReply> {
        let mut reply = ReplyWords::new(self.call(Script::Retry, id.queue(), Args::of([&id.to_string()])).await?);
        match reply.next::<String>()?.as_str() {
            "queued" => Ok(RetryReply::Queued),
            "refused" => Ok(RetryReply::Refused { state: reply.next::<String>()?.parse()?, why: reply.next()? }),
            "missing" => Err(missing(id)),
            other => Err(unexpected(other)),
        }
    }

    /// Resolves a job in doubt.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such job, [`Error::Conflict`] if it is not in doubt.
    pub async fn resolve(&self, id: &JobId, resolution: Resolution) -> Result<()> {
        let word = match resolution {
            Resolution::Sent => "sent",
            Resolution::Resend => "resend",
            Resolution::Failed => "failed",
        };
        let mut reply =
            ReplyWords::new(self.call(Script::Resolve, id.queue(), Args::of([&id.to_string(), word])).await?);
        match reply.next::<String>()?.as_str() {
            "resolved" => Ok(()),
            "refused" => Err(Error::Conflict(format!("{id} is {}, not unknown", reply.next::<String>()?))),
            "missing" => Err(missing(id)),
            other => Err(unexpected(other)),
        }
    }

    /// Pauses a queue and returns whether this changed its state.
    pub async fn pause(&self, queue: &QueueName) -> Result<bool> {
        self.switch(queue, "pause").await
    }

    /// Resumes a queue and returns whether this changed its state.
    pub async fn resume(&self, queue: &QueueName) -> Result<bool> {
        self.switch(queue, "resume").await
    }

    async fn switch(&self, queue: &QueueName, act: &str) -> Result<bool> {
        match self.call::<String>(Script::Pause, queue, Args::of([act])).await?.as_str() {
            "paused" | "resumed" => Ok(true),
            "unchanged" => Ok(false),
            other => Err(unexpected(other)),
        }
    }
}

fn missing(id: &impl std::fmt::Display) -> Error {
    Error::NotFound(id.to_string())
}
