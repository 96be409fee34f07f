//! What is said of a mail, or of a bulk, beside its content.

use std::time::Duration;

use chrono::Utc;
use postroom_core::{
    InvalidInput, Policy, Priority, QueueName, Settings,
    bounds::check_name,
    store::{Due, Expiry, JobTerms},
};

/// What is said of a mail, or of a bulk, beside its content. What is left out is the template's setting, or as usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The queue: the template's when absent, else `emails`, or `bulk` for a bulk.
    pub queue: Option<QueueName>,
    /// How urgent: the template's when absent, else 5.
    pub priority: Option<Priority>,
    /// When it is to be sent; a time that has passed means now.
    pub due: Due,
    /// For how long, from now, it is worth sending: the template's when absent, else for ever.
    pub expires_in: Option<Duration>,
    /// The caller's own name for this request: said again with the same content, nothing is sent twice; with other
    /// content it is a conflict. Remembered for 24 hours.
    pub key: Option<String>,
    /// Keep no result, only a mark for 24 hours that the job has been.
    pub no_result: bool,
    /// Return only when the mail stays even if Redis is killed then: it waits for the disk or a replica, which with
    /// `appendfsync everysec` takes about a second. Refused where Redis can't promise that.
    pub durable: bool,
}

impl Options {
    /// What of it makes another request under the same key.
    pub(crate) fn content(&self) -> Self {
        Self { durable: false, ..self.clone() }
    }

    /// The queue, with the template's setting and the usual one behind the option.
    pub(crate) fn queue(&self, settings: &Settings, template: Option<&str>, usual: fn() -> QueueName) -> QueueName {
        let of_template = || settings.templates.get(template?)?.queue.clone();
        self.queue.clone().or_else(of_template).unwrap_or_else(usual)
    }

    /// The terms for a mail of this template in this queue.
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
        let due = not_in_the_past(self.due);
        let expires_in = self.expires_in.or(own.expires_in);
        refuse_dead_on_arrival(due, expires_in)?;
        Ok(JobTerms {
            priority: self.priority.or(own.priority).unwrap_or_default(),
            due,
            expires: expires_in.map(Expiry::In),
            policy: if self.no_result { Policy { retention: None, ..policy } } else { policy },
            sensitive: own.sensitive,
        })
    }
}

/// A job's age is counted from when it was due: one from last year must not be too old already.
fn not_in_the_past(due: Due) -> Due {
    match due {
        Due::At(ms) if ms <= Utc::now().timestamp_millis() => Due::Now,
        Due::At(_) | Due::In(_) | Due::Now => due,
    }
}

fn refuse_dead_on_arrival(due: Due, expires_in: Option<Duration>) -> Result<(), InvalidInput> {
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
