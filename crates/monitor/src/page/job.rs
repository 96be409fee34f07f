//! Page of a job.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use postroom_core::{AttemptRecord, JobId, JobReport, JobState, RecipientReport, RecipientResult};

use super::{
    PageResult, Shell,
    frame::{Images, sandboxed},
    html,
};
use crate::{
    app::App,
    handler_error::HandlerError,
    time_format::{FormattedTime, TimeFormatter, millis},
};

#[derive(Template)]
#[template(path = "job.html")]
struct JobDetailPage {
    shell: Shell,
    job: JobReport,
    title: String,
    times: Vec<(&'static str, FormattedTime)>,
    facts: Vec<(&'static str, String)>,
    recipients: Vec<RecipientRow>,
    attempts: Vec<AttemptRow>,
    preview: Preview,
    /// Variables of the template as JSON, unless they are sensitive.
    variables: Option<String>,
    actions: Vec<JobAction>,
}

struct RecipientRow {
    report: RecipientReport,
    result: &'static str,
}

struct AttemptRow {
    report: AttemptRecord,
    at: Option<FormattedTime>,
    took: String,
    /// Reply code and enhanced status code, as far as known.
    codes: String,
}

/// Content of the mail.
enum Preview {
    Shown { subject: String, text: String, has_html: bool },
    Hidden,
    NotStored,
    Failed(String),
}

/// An action that a job's state allows.
#[derive(Debug, PartialEq, Eq)]
struct JobAction {
    path: &'static str,
    label: &'static str,
    kind: &'static str,
}

pub(crate) async fn show(State(app): State<App>, shell: Shell, Path(id): Path<String>) -> PageResult {
    let job = find(&app, &id).await?;
    let clock = app.clock();
    let preview = preview(&app, &job).await?;
    html(&JobDetailPage {
        shell: shell.at("jobs"),
        title: title(&job, &preview),
        times: times(&job, clock),
        facts: facts(&job),
        recipients: job.recipients.iter().map(RecipientRow::new).collect(),
        attempts: job.attempts.iter().rev().map(|attempt| AttemptRow::new(attempt, clock)).collect(),
        preview,
        variables: variables(&job),
        actions: actions(&job),
        job,
    })
}

/// Responds with the HTML of a mail, for its frame.
pub(crate) async fn frame(State(app): State<App>, Path(id): Path<String>) -> Result<Response, HandlerError> {
    let job = find(&app, &id).await?;
    let missing = || HandlerError::not_found(format!("the HTML of {id}"));
    let mail = job.mail.filter(|_| !job.sensitive).ok_or_else(missing)?;
    let rendered = app.previews().render(app.store()?, &job.queue, mail).await.map_err(|_| missing())?;
    sandboxed(rendered.html.ok_or_else(missing)?, Images::None).await
}

async fn find(app: &App, id: &str) -> Result<JobReport, HandlerError> {
    // A text that is not an id names no job.
    let id: JobId = id.parse().map_err(|_| HandlerError::not_found(format!("the job {id:?}")))?;
    app.store()?.job(&id).await?.ok_or_else(|| HandlerError::not_found(format!("the job {id}")))
}

async fn preview(app: &App, job: &JobReport) -> Result<Preview, HandlerError> {
    if job.sensitive {
        return Ok(Preview::Hidden);
    }
    let Some(mail) = job.mail.clone() else { return Ok(Preview::NotStored) };
    Ok(match app.previews().render(app.store()?, &job.queue, mail).await {
        Ok(mail) => Preview::Shown { subject: mail.subject, text: mail.text, has_html: mail.html.is_some() },
        Err(problem) => Preview::Failed(problem),
    })
}

fn title(job: &JobReport, preview: &Preview) -> String {
    match preview {
        Preview::Shown { subject, .. } if !subject.is_empty() => subject.clone(),
        Preview::Shown { .. } | Preview::Hidden | Preview::NotStored | Preview::Failed(_) => {
            job.template.clone().unwrap_or_else(|| job.id.to_string())
        }
    }
}

fn times(job: &JobReport, clock: TimeFormatter) -> Vec<(&'static str, FormattedTime)> {
    let times = [
        ("Enqueued", &job.enqueued_at),
        (if job.state.is_finished() { "Was due" } else { "Due" }, &job.due_at),
        ("Expires", &job.expires_at),
        ("Ended", &job.finished_at),
    ];
    times.into_iter().filter_map(|(label, at)| Some((label, clock.at(at.as_deref())?))).collect()
}

fn facts(job: &JobReport) -> Vec<(&'static str, String)> {
    let mail = job.mail.as_ref();
    let addresses = |list: &[postroom_core::Mailbox]| {
        Some(list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
    };
    let facts = [
        ("Priority", job.priority.map(|priority| priority.to_string())),
        ("Attempts", job.max_attempts.map(|most| format!("{} of {most}", job.attempt))),
        ("Reason", job.reason.clone()),
        ("From", mail.and_then(|mail| mail.from.as_ref()).map(ToString::to_string)),
        ("To", addresses(&job.to)),
        ("Cc", mail.and_then(|mail| addresses(&mail.cc))),
        ("Bcc", mail.and_then(|mail| addresses(&mail.bcc))),
        ("Reply to", mail.and_then(|mail| addresses(&mail.reply_to))),
        ("Language", mail.and_then(|mail| mail.locale.clone())),
        ("Files", mail.and_then(files)),
        ("Message-ID", job.message_id.clone()),
        ("Receipt", job.receipt.clone()),
    ];
    facts.into_iter().filter_map(|(label, text)| Some((label, text?))).collect()
}

fn files(mail: &postroom_core::Mail) -> Option<String> {
    let names: Vec<&str> = mail.attachments.iter().map(|file| file.filename.as_str()).collect();
    Some(names.join(", ")).filter(|names| !names.is_empty())
}

fn variables(job: &JobReport) -> Option<String> {
    let vars = job.mail.as_ref().map(|mail| &mail.vars).filter(|vars| !job.sensitive && !vars.is_empty())?;
    serde_json::to_string_pretty(vars).ok()
}

fn actions(job: &JobReport) -> Vec<JobAction> {
    let action = |path, label, kind| JobAction { path, label, kind };
    let cancel = || action("cancel", "Cancel", "danger");
    let is_stored = job.mail.is_some() && !job.sensitive;
    match job.state {
        JobState::Scheduled => vec![action("retry", "Send now", "primary"), cancel()],
        JobState::Deferred => vec![action("retry", "Retry now", "primary"), cancel()],
        JobState::Queued | JobState::Sending => vec![cancel()],
        JobState::Failed if is_stored => vec![action("retry", "Retry", "primary")],
        JobState::Cancelled if is_stored => vec![action("retry", "Send anyway", "")],
        JobState::Unknown => vec![
            action("sent", "It was sent", "primary"),
            action("resend", "Send it again", ""),
            action("failed", "It was not sent", "danger"),
        ],
        JobState::Failed | JobState::Cancelled | JobState::Sent => Vec::new(),
    }
}

impl RecipientRow {
    fn new(report: &RecipientReport) -> Self {
        let result = match report.result {
            RecipientResult::Open => "open",
            RecipientResult::Accepted => "accepted",
            RecipientResult::Refused => "refused",
        };
        Self { report: report.clone(), result }
    }
}

impl AttemptRow {
    fn new(report: &AttemptRecord, clock: TimeFormatter) -> Self {
        let code = report.code.map(|code| code.to_string());
        let codes: Vec<String> = code.into_iter().chain(report.enhanced.clone()).collect();
        Self {
            at: clock.at(Some(&report.at())),
            took: millis(report.ms),
            codes: codes.join(" "),
            report: report.clone(),
        }
    }
}
