//! Ids of the jobs and batches that schedules enqueue.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::{BatchId, InvalidInput, JobId, Result, settings::ScheduleSettings};

/// Id of the job or batch of a firing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FiringId {
    /// One mail to all recipients.
    Job(JobId),
    /// One mail for each recipient.
    Batch(BatchId),
}

impl FiringId {
    pub(in crate::store) fn derived(schedule: &ScheduleSettings, seed: &str) -> Self {
        let queue = schedule.queue.clone();
        if schedule.each { Self::Batch(BatchId::derived(queue, seed)) } else { Self::Job(JobId::derived(queue, seed)) }
    }

    pub(super) fn fresh(schedule: &ScheduleSettings) -> Self {
        let queue = schedule.queue.clone();
        if schedule.each { Self::Batch(BatchId::new(queue)) } else { Self::Job(JobId::new(queue)) }
    }
}

impl fmt::Display for FiringId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(id) => id.fmt(f),
            Self::Batch(id) => id.fmt(f),
        }
    }
}

impl FromStr for FiringId {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        // Ids of jobs contain no dot.
        if text.starts_with("b.") { text.parse().map(Self::Batch) } else { text.parse().map(Self::Job) }
    }
}

impl Serialize for FiringId {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}
