//! Ids of jobs and batches. The queue is part of an id, so an id is enough to find a job.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{InvalidInput, QueueName};

/// Id of a job: `<queue>-<ULID>`. The ULID has 26 characters and sorts by creation time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId {
    queue: QueueName,
    ulid: Ulid,
}

impl JobId {
    /// Returns a new id for a job in `queue`.
    #[must_use]
    pub fn new(queue: QueueName) -> Self {
        Self { queue, ulid: Ulid::generate() }
    }

    /// Returns the id that `seed` always gives in `queue`. Deriving it again enqueues the same job.
    #[must_use]
    pub fn derived(queue: QueueName, seed: &str) -> Self {
        Self { queue, ulid: derived_ulid(seed) }
    }

    /// Returns the ULID without the queue: the job's id within its queue.
    #[must_use]
    pub fn short(&self) -> String {
        self.ulid.to_string()
    }

    /// Queue of the job.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }
}

/// Id of a batch: `b.<queue>.<ULID>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BatchId {
    queue: QueueName,
    ulid: Ulid,
}

/// Bits of a job's id that number the jobs of its batch; 2^35 jobs are enough for any list.
const INDEX_BITS: u32 = 35;

impl BatchId {
    /// Returns a new id for a batch in `queue`.
    #[must_use]
    pub fn new(queue: QueueName) -> Self {
        Self { queue, ulid: Ulid::generate() }
    }

    /// Returns the id that `seed` always gives in `queue`.
    #[must_use]
    pub fn derived(queue: QueueName, seed: &str) -> Self {
        Self { queue, ulid: derived_ulid(seed) }
    }

    /// Queue of the batch.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// Returns the id of the batch's job number `index`, counted from 0. The id is always the same,
    /// so enqueueing a bulk again names the same jobs.
    #[must_use]
    pub fn job(&self, index: u64) -> JobId {
        let index = u128::from(index) & ((1 << INDEX_BITS) - 1);
        let base = u128::from(self.ulid) >> INDEX_BITS << INDEX_BITS;
        JobId { queue: self.queue.clone(), ulid: Ulid::from(base | index) }
    }
}

fn derived_ulid(seed: &str) -> Ulid {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(seed.as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    Ulid::from(u128::from_be_bytes(bytes))
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.queue, self.ulid)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b.{}.{}", self.queue, self.ulid)
    }
}

impl FromStr for JobId {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let parts = text.rsplit_once('-').and_then(|(queue, ulid)| Some((queue.parse().ok()?, parse_ulid(ulid)?)));
        let (queue, ulid) = parts.ok_or_else(|| {
            InvalidInput::new(
                "id",
                format!("{text:?} is not a job id, which looks like emails-01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            )
        })?;
        Ok(Self { queue, ulid })
    }
}

impl FromStr for BatchId {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let parts = text
            .strip_prefix("b.")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(queue, ulid)| Some((queue.parse().ok()?, parse_ulid(ulid)?)));
        let (queue, ulid) = parts.ok_or_else(|| {
            InvalidInput::new(
                "id",
                format!("{text:?} is not a batch id, which looks like b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            )
        })?;
        Ok(Self { queue, ulid })
    }
}

fn parse_ulid(text: &str) -> Option<Ulid> {
    let ulid = Ulid::from_str(text).ok()?;
    // Only the canonical spelling is accepted, because keys in Redis are compared byte by byte.
    (ulid.to_string() == text).then_some(ulid)
}

macro_rules! as_string {
    ($id:ty) => {
        impl TryFrom<String> for $id {
            type Error = InvalidInput;

            fn try_from(text: String) -> Result<Self, InvalidInput> {
                text.parse()
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.to_string()
            }
        }
    };
}

as_string!(JobId);
as_string!(BatchId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_writing_and_parsing() {
        let job = JobId::new("my-queue_2".parse().expect("a queue name"));
        assert_eq!(job.to_string().parse(), Ok(job.clone()));
        let batch = BatchId::new(QueueName::bulk());
        assert_eq!(batch.to_string().parse(), Ok(batch.clone()));
        assert_eq!(batch.job(7), batch.job(7));
        assert_ne!(batch.job(7), batch.job(8));
        assert_eq!(batch.job(7).queue(), batch.queue());
    }

    #[test]
    fn malformed_ids_are_refused() {
        for bad in
            ["", "emails", "emails-", "emails-01", "-01ARZ3NDEKTSV4RRFFQ69G5FAV", "emails-01arz3ndektsv4rrffq69g5fav"]
        {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
        for bad in ["b.bulk", "bulk-01ARZ3NDEKTSV4RRFFQ69G5FAV", "b.Bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            assert!(bad.parse::<BatchId>().is_err(), "{bad}");
        }
    }
}
