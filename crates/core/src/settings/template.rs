//! Settings of templates.

use std::time::Duration;

use super::{file::RawTemplate, queue::BackoffChange, value};
use crate::{InvalidInput, Policy, Priority, QueueName};

/// Settings of a template's mails; an absent value is the queue's or the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateSettings {
    /// Queue of the mails.
    pub queue: Option<QueueName>,
    /// Priority of the mails.
    pub priority: Option<Priority>,
    /// Time after which a mail is no longer sent.
    pub expires_in: Option<Duration>,
    /// Maximum number of counted attempts.
    pub attempts: Option<u32>,
    /// Whether variables are never shown, and deleted when the job finishes.
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

    /// Returns the queue's policy with this template's overrides.
    pub(super) fn over(&self, policy: &Policy) -> Policy {
        Policy {
            attempts: self.attempts.unwrap_or(policy.attempts),
            backoff: self.backoff.over(policy.backoff),
            ..policy.clone()
        }
    }
}
