//! What the end of a job or a batch means for whoever waited for it.

use std::time::Duration;

use postroom_core::{BatchReport, JobReport, JobState, format_span};

use super::exit::{Failure, Result};

/// A job as the answer to `--wait`.
pub(crate) fn of_job(job: &JobReport) -> Result<()> {
    let words = |what: &str| match why(job) {
        Some(why) => format!("{} {what}: {why}", job.id),
        None => format!("{} {what}", job.id),
    };
    match job.state {
        JobState::Sent => Ok(()),
        JobState::Failed => Err(Failure::failed(words("failed"))),
        JobState::Cancelled => Err(Failure::failed(words("was cancelled"))),
        JobState::Unknown => Err(Failure::in_doubt(words("is in doubt, it may have been sent or not"))),
        JobState::Scheduled | JobState::Queued | JobState::Sending | JobState::Deferred => {
            Err(Failure::unfinished(words(&format!("is not finished yet, it is {}", job.state))))
        }
    }
}

/// A batch as the answer to `--wait`.
pub(crate) fn of_batch(batch: &BatchReport) -> Result<()> {
    let counts = counts(batch);
    if !batch.sealed || batch.unfinished() > batch.unknown {
        return Err(Failure::unfinished(format!("{} is not finished yet: {counts}", batch.id)));
    }
    if batch.failed + batch.cancelled > 0 {
        return Err(Failure::failed(format!("{} is over, not all was sent: {counts}", batch.id)));
    }
    if batch.unknown > 0 {
        return Err(Failure::in_doubt(format!("{} is over but for mails in doubt: {counts}", batch.id)));
    }
    Ok(())
}

/// The counters that are not 0, in words.
pub(crate) fn counts(batch: &BatchReport) -> String {
    let all = [
        ("scheduled", batch.scheduled),
        ("queued", batch.queued),
        ("sending", batch.sending),
        ("deferred", batch.deferred),
        ("sent", batch.sent),
        ("failed", batch.failed),
        ("cancelled", batch.cancelled),
        ("unknown", batch.unknown),
        ("invalid", batch.invalid),
        ("duplicates", batch.duplicates),
    ];
    let told = all.into_iter().filter(|(_, number)| *number > 0).map(|(name, number)| format!("{number} {name}"));
    std::iter::once(format!("{} in all", batch.total)).chain(told).collect::<Vec<_>>().join(", ")
}

/// How it goes: the counters, how fast, for how long still.
pub(crate) fn progress(batch: &BatchReport) -> String {
    let mut told = counts(batch);
    if batch.rate > 0.0 {
        told.push_str(&format!("; {} a second", batch.rate));
    }
    if let Some(seconds) = batch.eta_s {
        told.push_str(&format!("; {} left", format_span(Duration::from_secs(seconds))));
    }
    if batch.paused && batch.unfinished() > 0 {
        told.push_str("; paused");
    }
    told
}

/// A number of mails.
pub(crate) fn mails(number: u64) -> String {
    if number == 1 { "1 mail".to_owned() } else { format!("{number} mails") }
}

/// The server's words, or else ours.
pub(crate) fn why(job: &JobReport) -> Option<String> {
    let error = job.error.as_ref().map(|error| error.message.clone()).filter(|message| !message.is_empty());
    let last = || job.attempts.last().map(|attempt| attempt.reply.clone()).filter(|reply| !reply.is_empty());
    match (&job.reason, error.or_else(last)) {
        (Some(reason), Some(words)) if job.state == JobState::Cancelled => Some(format!("{reason} ({words})")),
        (_, Some(words)) => Some(words),
        (reason, None) => reason.clone(),
    }
}
