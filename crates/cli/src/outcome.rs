//! Turns the state of a job or a batch into the result of a command that waited for it.

use std::time::Duration;

use postroom_core::{BatchReport, JobId, JobReport, JobState, RecipientResult, format_span};

use crate::{
    context::Context,
    exit::{CommandError, Exit, Result},
};

/// Waits at most `limit` for a job and returns its outcome.
pub(crate) async fn wait_for_job(context: &Context, id: &JobId, limit: Duration) -> Result<()> {
    let job = context.postroom.wait(id, limit).await?;
    warn_of_refused(context, &job);
    of_job(&job).map_err(|error| match error.exit {
        Exit::Unfinished => error.with_detail(&format!("waited {}", format_span(limit))),
        _ => error,
    })
}

/// Warns of recipients that were refused although the job was sent to others.
fn warn_of_refused(context: &Context, job: &JobReport) {
    let refused = job.recipients.iter().filter(|recipient| recipient.result == RecipientResult::Refused);
    for recipient in refused.filter(|_| job.state == JobState::Sent) {
        let reply = recipient.reply.as_deref().unwrap_or("no reply was recorded");
        context.console.warn(format_args!("{} was refused: {reply}", recipient.address));
    }
}

/// Returns an error unless the job was sent.
pub(crate) fn of_job(job: &JobReport) -> Result<()> {
    let message = |what: &str| match why(job) {
        Some(why) => format!("{} {what}: {why}", job.id),
        None => format!("{} {what}", job.id),
    };
    match job.state {
        JobState::Sent => Ok(()),
        JobState::Failed => Err(CommandError::failed(message("failed"))),
        JobState::Cancelled => Err(CommandError::failed(message("was cancelled"))),
        JobState::Unknown => Err(CommandError::in_doubt(message("is unknown: it may or may not have been sent"))),
        JobState::Scheduled | JobState::Queued | JobState::Sending | JobState::Deferred => {
            Err(CommandError::unfinished(message(&format!("is not finished yet, its state is {}", job.state))))
        }
    }
}

/// Returns an error unless all mails of the batch were sent.
pub(crate) fn of_batch(batch: &BatchReport) -> Result<()> {
    let counts = counts(batch);
    if !batch.sealed || batch.unfinished() > batch.unknown {
        return Err(CommandError::unfinished(format!("{} is not finished yet: {counts}", batch.id)));
    }
    if batch.failed + batch.cancelled > 0 {
        return Err(CommandError::failed(format!("{} is finished, but not all mails were sent: {counts}", batch.id)));
    }
    if batch.unknown > 0 {
        return Err(CommandError::in_doubt(format!(
            "{} is finished, but it is unknown whether some mails were sent: {counts}",
            batch.id
        )));
    }
    Ok(())
}

/// Returns the total and the counters that are not 0, as text.
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
    let nonzero = all.into_iter().filter(|(_, number)| *number > 0).map(|(name, number)| format!("{number} {name}"));
    std::iter::once(format!("{} in all", batch.total)).chain(nonzero).collect::<Vec<_>>().join(", ")
}

/// Returns counters, rate and remaining time, as text.
pub(crate) fn progress(batch: &BatchReport) -> String {
    let mut text = counts(batch);
    if batch.rate > 0.0 {
        text.push_str(&format!("; {} a second", batch.rate));
    }
    if let Some(seconds) = batch.eta_s {
        text.push_str(&format!("; {} left", format_span(Duration::from_secs(seconds))));
    }
    if batch.paused && batch.unfinished() > 0 {
        text.push_str("; paused");
    }
    text
}

/// Returns a number of mails as text.
pub(crate) fn mails(number: u64) -> String {
    if number == 1 { "1 mail".to_owned() } else { format!("{number} mails") }
}

/// Returns why a job has its state: the server's reply, or else the recorded reason.
pub(crate) fn why(job: &JobReport) -> Option<String> {
    let error = job.error.as_ref().map(|error| error.message.clone()).filter(|message| !message.is_empty());
    let last = || job.attempts.last().map(|attempt| attempt.reply.clone()).filter(|reply| !reply.is_empty());
    match (&job.reason, error.or_else(last)) {
        (Some(reason), Some(reply)) if job.state == JobState::Cancelled => Some(format!("{reason} ({reply})")),
        (_, Some(reply)) => Some(reply),
        (reason, None) => reason.clone(),
    }
}
