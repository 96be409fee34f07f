//! What is set for the mails of a template.

use std::time::Duration;

use super::{file::RawTemplate, queue::BackoffChange, value};
use crate::{InvalidInput, Policy, Priority, QueueName};

/// What is set for the mails of a template; what is absent is the queue's, or as usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateSettings {
    /// The queue they go to.
    pub queue: Option<QueueName>,
    /// Their priority.
    pub priority: Option<Priority>,
    /// For how long they are worth sending.
    pub expires_in: Option<Duration>,
    /// How many counted attempts they get.
    pub attempts: Option<u32>,
    /// Whether their variables are never shown and dropped at the end.
    pub sensitive: bool,
    backoff: BackoffChange,
}

impl TemplateSettings {
    pub(super) fn read(name: &str, raw: RawTemplate) -> Result<Self, InvalidInput> {
        let at = |key: &'static str| move |problem: InvalidInput| problem.at(format!("[template.{name}] {key}"));
        let backoff = BackoffChange::read(raw.backoff, raw.backoff_max).map_err(|problem| {
            let field = format!("[template.{name}] {}", problem.field);
            problem.at(field)
        })?;
        Ok(Self {
            queue: raw.queue.map(|name| name.parse()).transpose().map_err(at("queue"))?,
            priority: raw.priority.map(Priority::try_from).transpose().map_err(at("priority"))?,
            expires_in: raw
                .expires_in
                .map(|text| value::span_from(Duration::from_secs(1), &text))
                .transpose()
                .map_err(at("expires_in"))?,
            attempts: raw.attempts.map(value::attempts).transpose().map_err(at("attempts"))?,
            sensitive: raw.sensitive,
            backoff,
        })
    }

    /// The queue's promises with this template's changes.
    pub(super) fn over(&self, policy: &Policy) -> Policy {
        Policy {
            attempts: self.attempts.unwrap_or(policy.attempts),
            backoff: self.backoff.over(policy.backoff),
            ..policy.clone()
        }
    }
}
