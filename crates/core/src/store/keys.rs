//! Every key of ours in Redis is built here.

use sha2::{Digest, Sha256};

use super::LimitName;
use crate::{JobId, QueueName};

/// The names of keys under one prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The base key of a queue; the scripts derive the rest under its hash tag.
    pub(super) fn queue(&self, queue: &QueueName) -> String {
        format!("{{{}:{queue}}}", self.prefix)
    }

    /// A key of a queue that is read without a script.
    pub(super) fn of_queue(&self, queue: &QueueName, name: &str) -> String {
        format!("{}:{name}", self.queue(queue))
    }

    /// Where a job's payload is.
    pub(super) fn payload(&self, id: &JobId) -> String {
        self.of_queue(id.queue(), &id.short())
    }

    /// Where the changing part of a job is.
    pub(super) fn hash(&self, id: &JobId) -> String {
        self.of_queue(id.queue(), &format!("h:{}", id.short()))
    }

    /// A key that belongs to no queue. No queue can be called `system`: enqueue refuses it.
    pub(super) fn system(&self, name: &str) -> String {
        format!("{}:{name}", self.system_base())
    }

    /// The base key of what belongs to no queue, for scripts.
    pub(super) fn system_base(&self) -> String {
        format!("{{{}:system}}", self.prefix)
    }

    /// The base key of a limit that all workers share, in a slot of its own.
    pub(super) fn limit(&self, name: &LimitName) -> String {
        format!("{{{}:limit:{name}}}", self.prefix)
    }

    /// Where an idempotency key keeps its place, in a slot of its own.
    pub(super) fn idempotency(&self, key: &str) -> String {
        let digest = Sha256::digest(key.as_bytes());
        let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{{}:k:{hex}}}", self.prefix)
    }
}
