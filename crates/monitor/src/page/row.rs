//! A job as a row of a list.

use std::borrow::Cow;

use postroom_core::{JobReport, JobState};

use crate::time_format::{FormattedTime, TimeFormatter};

/// A job as a row of a list.
#[derive(Debug)]
pub(super) struct JobRow {
    pub(super) id: String,
    pub(super) state: &'static str,
    pub(super) queue: String,
    /// Address of the first recipient.
    pub(super) to: String,
    /// Number of further recipients.
    pub(super) others: usize,
    /// Subject if known without rendering, otherwise the template.
    pub(super) about: String,
    pub(super) attempts: String,
    /// Time of the end or the due time, and its label.
    pub(super) when: Option<FormattedTime>,
    pub(super) when_word: &'static str,
    pub(super) note: Option<String>,
}

impl JobRow {
    pub(super) fn new(job: &JobReport, clock: TimeFormatter) -> Self {
        let (when_word, when) = when(job);
        Self {
            id: job.id.to_string(),
            state: job.state.as_str(),
            queue: job.queue.to_string(),
            to: job.recipients.first().map_or_else(|| "(not stored)".to_owned(), |first| first.address.to_string()),
            others: job.recipients.len().saturating_sub(1),
            about: about(job),
            attempts: job
                .max_attempts
                .map_or_else(|| job.attempt.to_string(), |most| format!("{}/{most}", job.attempt)),
            when: clock.at(when.as_deref()),
            when_word,
            note: note(job),
        }
    }
}

fn when(job: &JobReport) -> (&'static str, Option<Cow<'_, str>>) {
    match job.state {
        JobState::Sent | JobState::Failed | JobState::Cancelled => {
            (job.state.as_str(), borrowed(job.finished_at.as_ref()))
        }
        JobState::Scheduled => ("due", borrowed(job.due_at.as_ref())),
        JobState::Deferred => ("next attempt", borrowed(job.due_at.as_ref())),
        JobState::Queued => ("queued", borrowed(job.due_at.as_ref())),
        JobState::Sending | JobState::Unknown => {
            let last = job.attempts.last().map(|attempt| Cow::Owned(attempt.at()));
            ("enqueued", last.or_else(|| borrowed(job.enqueued_at.as_ref())))
        }
    }
}

fn borrowed(time: Option<&String>) -> Option<Cow<'_, str>> {
    time.map(|time| Cow::Borrowed(time.as_str()))
}

fn about(job: &JobReport) -> String {
    let subject = job.mail.as_ref().filter(|_| !job.sensitive).and_then(|mail| mail.subject.clone());
    subject.or_else(|| job.template.clone()).unwrap_or_default()
}

/// Returns the reason for the job's state, if there is one.
fn note(job: &JobReport) -> Option<String> {
    let error = job.error.as_ref().map(|error| error.message.clone()).filter(|message| !message.is_empty());
    match job.state {
        JobState::Failed | JobState::Deferred | JobState::Unknown => error.or_else(|| job.reason.clone()),
        JobState::Cancelled => job.reason.clone(),
        JobState::Scheduled | JobState::Queued | JobState::Sending | JobState::Sent => None,
    }
}
