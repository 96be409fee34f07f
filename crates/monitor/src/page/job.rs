//! One job: all that is known of it.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use postroom_core::{AttemptRecord, JobId, JobReport, JobState, RecipientReport, RecipientResult};

use super::{
    Page, Shell,
    frame::{Images, shut_away},
    html,
};
use crate::{
    app::App,
    failure::Failure,
    moment::{Clock, Moment, millis},
};

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    shell: Shell,
    job: JobReport,
    title: String,
    times: Vec<(&'static str, Moment)>,
    facts: Vec<(&'static str, String)>,
    recipients: Vec<RecipientLine>,
    attempts: Vec<AttemptLine>,
    preview: Preview,
    /// The template's variables as JSON, unless they are not to be shown.
    variables: Option<String>,
    acts: Vec<Act>,
}

struct RecipientLine {
    report: RecipientReport,
    result: &'static str,
}

struct AttemptLine {
    report: AttemptRecord,
    at: Option<Moment>,
    took: String,
    /// The reply code and the enhanced one, as far as they are known.
    codes: String,
}

/// What the mail says.
enum Preview {
    Shown { subject: String, text: String, has_html: bool },
    Hidden,
    NotKept,
    Impossible(String),
}

/// What a person may do with a job in this state.
#[derive(Debug, PartialEq, Eq)]
struct Act {
    path: &'static str,
    label: &'static str,
    kind: &'static str,
}

pub(crate) async fn show(State(app): State<App>, shell: Shell, Path(id): Path<String>) -> Page {
    let job = find(&app, &id).await?;
    let clock = app.clock();
    let preview = preview(&app, &job).await?;
    html(&JobPage {
        shell: shell.at("jobs"),
        title: title(&job, &preview),
        times: times(&job, clock),
        facts: facts(&job),
        recipients: job.recipients.iter().map(RecipientLine::new).collect(),
        attempts: job.attempts.iter().rev().map(|attempt| AttemptLine::new(attempt, clock)).collect(),
        preview,
        variables: variables(&job),
        acts: acts(&job),
        job,
    })
}

/// The mail's HTML alone, for the frame.
pub(crate) async fn frame(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Failure> {
    let job = find(&app, &id).await?;
    let missing = || Failure::not_found(format!("the HTML of {id}"));
    let mail = job.mail.filter(|_| !job.sensitive).ok_or_else(missing)?;
    let rendered = app.previews().render(app.store()?, &job.queue, mail).await.map_err(|_| missing())?;
    shut_away(rendered.html.ok_or_else(missing)?, Images::None).await
}

async fn find(app: &App, id: &str) -> Result<JobReport, Failure> {
    // What is no id names no job.
    let id: JobId = id.parse().map_err(|_| Failure::not_found(format!("the job {id:?}")))?;
    app.store()?.job(&id).await?.ok_or_else(|| Failure::not_found(format!("the job {id}")))
}

async fn preview(app: &App, job: &JobReport) -> Result<Preview, Failure> {
    if job.sensitive {
        return Ok(Preview::Hidden);
    }
    let Some(mail) = job.mail.clone() else { return Ok(Preview::NotKept) };
    Ok(match app.previews().render(app.store()?, &job.queue, mail).await {
        Ok(words) => Preview::Shown { subject: words.subject, text: words.text, has_html: words.html.is_some() },
        Err(problem) => Preview::Impossible(problem),
    })
}

fn title(job: &JobReport, preview: &Preview) -> String {
    match preview {
        Preview::Shown { subject, .. } if !subject.is_empty() => subject.clone(),
        Preview::Shown { .. } | Preview::Hidden | Preview::NotKept | Preview::Impossible(_) => {
            job.template.clone().unwrap_or_else(|| job.id.to_string())
        }
    }
}

fn times(job: &JobReport, clock: Clock) -> Vec<(&'static str, Moment)> {
    let told = [
        ("Enqueued", &job.enqueued_at),
        (if job.state.is_finished() { "Was due" } else { "Due" }, &job.due_at),
        ("Expires", &job.expires_at),
        ("Ended", &job.finished_at),
    ];
    told.into_iter().filter_map(|(label, at)| Some((label, clock.at(at.as_deref())?))).collect()
}

fn facts(job: &JobReport) -> Vec<(&'static str, String)> {
    let mail = job.mail.as_ref();
    let addresses = |list: &[postroom_core::Mailbox]| {
        Some(list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
    };
    let told = [
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
    told.into_iter().filter_map(|(label, text)| Some((label, text?))).collect()
}

fn files(mail: &postroom_core::Mail) -> Option<String> {
    let names: Vec<&str> = mail.attachments.iter().map(|file| file.filename.as_str()).collect();
    Some(names.join(", ")).filter(|names| !names.is_empty())
}

fn variables(job: &JobReport) -> Option<String> {
    let vars = job.mail.as_ref().map(|mail| &mail.vars).filter(|vars| !job.sensitive && !vars.is_empty())?;
    serde_json::to_string_pretty(vars).ok()
}

fn acts(job: &JobReport) -> Vec<Act> {
    let act = |path, label, kind| Act { path, label, kind };
    let cancel = || act("cancel", "Cancel", "danger");
    let kept = job.mail.is_some() && !job.sensitive;
    match job.state {
        JobState::Scheduled => vec![act("retry", "Send now", "primary"), cancel()],
        JobState::Deferred => vec![act("retry", "Try again now", "primary"), cancel()],
        JobState::Queued | JobState::Sending => vec![cancel()],
        JobState::Failed if kept => vec![act("retry", "Try again", "primary")],
        JobState::Cancelled if kept => vec![act("retry", "Send after all", "")],
        JobState::Unknown => vec![
            act("sent", "It was sent", "primary"),
            act("resend", "Send it again", ""),
            act("failed", "It was not sent", "danger"),
        ],
        JobState::Failed | JobState::Cancelled | JobState::Sent => Vec::new(),
    }
}

impl RecipientLine {
    fn new(report: &RecipientReport) -> Self {
        let result = match report.result {
            RecipientResult::Open => "open",
            RecipientResult::Accepted => "accepted",
            RecipientResult::Refused => "refused",
        };
        Self { report: report.clone(), result }
    }
}

impl AttemptLine {
    fn new(report: &AttemptRecord, clock: Clock) -> Self {
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
