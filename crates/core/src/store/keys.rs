//! Builds all keys in Redis.

use sha2::{Digest, Sha256};

use crate::{JobId, LimitName, QueueName};

/// Names of keys under one prefix.
#[derive(Debug, Clone)]
pub(in crate::store) struct Keys {
    prefix: String,
}

impl Keys {
    pub(in crate::store) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Base key of a queue. The scripts derive all other keys under the same hash tag.
    pub(in crate::store) fn queue(&self, queue: &QueueName) -> String {
        format!("{{{}:{queue}}}", self.prefix)
    }

    /// Key of a queue that is read without a script.
    pub(in crate::store) fn of_queue(&self, queue: &QueueName, name: &str) -> String {
        format!("{}:{name}", self.queue(queue))
    }

    /// Key of a job's payload.
    pub(in crate::store) fn payload(&self, id: &JobId) -> String {
        self.of_queue(id.queue(), &id.short())
    }

    /// Key of the changing part of a job.
    pub(in crate::store) fn hash(&self, id: &JobId) -> String {
        self.of_queue(id.queue(), &format!("h:{}", id.short()))
    }

    /// Key outside all queues. `system` can't be the name of a queue: enqueue rejects it.
    pub(in crate::store) fn system(&self, name: &str) -> String {
        format!("{}:{name}", self.system_base())
    }

    /// Base key for scripts on data outside all queues.
    pub(in crate::store) fn system_base(&self) -> String {
        format!("{{{}:system}}", self.prefix)
    }

    /// Base key of a limit shared by all workers, in a hash slot of its own.
    pub(in crate::store) fn limit(&self, name: &LimitName) -> String {
        format!("{{{}:limit:{name}}}", self.prefix)
    }

    /// Key of an idempotency key's reservation, in a hash slot of its own.
    pub(in crate::store) fn idempotency(&self, key: &str) -> String {
        let digest = Sha256::digest(key.as_bytes());
        let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{{}:k:{hex}}}", self.prefix)
    }
}
