//! Options of a mail or a bulk beside its content.

use std::time::Duration;

use chrono::Utc;
use postroom_core::{
    InvalidInput, Policy, Priority, QueueName, Settings,
    bounds::check_name,
    store::{Due, Expiry, JobTerms},
};

/// Options of a mail or a bulk. An option that is not set has the template's value, or else a
/// default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Queue. The default is the template's queue, or else `emails`; for a bulk, `bulk`.
    pub queue: Option<QueueName>,
    /// Priority. The default is the template's, or else 5.
    pub priority: Option<Priority>,
    /// Time at which the mail is due; a time in the past means now.
    pub due: Due,
    /// Time from now after which the mail expires. The default is the template's; without one it
    /// never expires.
    pub expires_in: Option<Duration>,
    /// Idempotency key. A request with the same key and content returns the first job; with other
    /// content it is a conflict. A key is stored for 24 hours.
    pub key: Option<String>,
    /// Whether to keep no result, only a record for 24 hours that the job existed.
    pub no_result: bool,
    /// Whether to return only once the mail is durable: written to disk or to a replica. With
    /// `appendfsync everysec` that takes about a second. It is an error if the settings of Redis do
    /// not allow it.
    pub durable: bool,
}

impl Options {
    /// Returns the options that are part of the content under an idempotency key.
    pub(crate) fn content(&self) -> Self {
        Self { durable: false, ..self.clone() }
    }

    /// Returns the queue: the option, the template's queue, or else `default`.
    pub(crate) fn queue(&self, settings: &Settings, template: Option<&str>, default: fn() -> QueueName) -> QueueName {
        let of_template = || settings.templates.get(template?)?.queue.clone();
        self.queue.clone().or_else(of_template).unwrap_or_else(default)
    }

    /// Returns the terms of a mail with this template in this queue.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] for an invalid key, or for a mail that would expire before it is due.
    pub(crate) fn terms(
        &self,
        settings: &Settings,
        queue: &QueueName,
        template: Option<&str>,
    ) -> Result<JobTerms, InvalidInput> {
        let own = template.and_then(|name| settings.templates.get(name)).cloned().unwrap_or_default();
        let policy = settings.policy_for(queue, template);
        if let Some(key) = &self.key {
            check_name("key", "the key", key)?;
        }
        let due = clamp_to_now(self.due);
        let expires_in = self.expires_in.or(own.expires_in);
        check_expiry(due, expires_in)?;
        Ok(JobTerms {
            priority: self.priority.or(own.priority).unwrap_or_default(),
            due,
            expires: expires_in.map(Expiry::In),
            policy: if self.no_result { Policy { retention: None, ..policy } } else { policy },
            sensitive: own.sensitive,
        })
    }
}

/// Replaces a time in the past by now: a job's age counts from its due time, so an old time would
/// exceed the maximum age.
fn clamp_to_now(due: Due) -> Due {
    match due {
        Due::At(ms) if ms <= Utc::now().timestamp_millis() => Due::Now,
        Due::At(_) | Due::In(_) | Due::Now => due,
    }
}

/// Rejects a mail that would expire before it is due.
fn check_expiry(due: Due, expires_in: Option<Duration>) -> Result<(), InvalidInput> {
    let Some(expires_in) = expires_in else { return Ok(()) };
    let wait = match due {
        Due::Now => return Ok(()),
        Due::In(wait) => wait,
        Due::At(ms) => Duration::from_millis(u64::try_from(ms - Utc::now().timestamp_millis()).unwrap_or(0)),
    };
    if wait < expires_in {
        return Ok(());
    }
    let expires_in = postroom_core::format_span(expires_in);
    Err(InvalidInput::new("expires_in", format!("the mail would expire (after {expires_in}) before it is due")))
}
