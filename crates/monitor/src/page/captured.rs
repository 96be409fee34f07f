//! Captured mail, as an inbox.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use postroom_core::store::Captured;
use serde::Deserialize;

use super::{Asked, Page, Shell, frame::shut_away, html};
use crate::{
    app::App,
    captured_mail::Opened,
    failure::Failure,
    moment::{Clock, Moment, grouped},
    query::{PAGE, page_number},
};

#[derive(Template)]
#[template(path = "captured.html")]
struct InboxPage {
    shell: Shell,
    mails: Vec<Line>,
    earlier: Option<usize>,
    later: Option<usize>,
}

/// A mail as a line of the inbox.
struct Line {
    id: String,
    subject: String,
    to: String,
    from: String,
    at: Moment,
    size: String,
}

impl Line {
    fn new(captured: &Captured, clock: Clock) -> Self {
        let mail = &captured.mail;
        Self {
            id: captured.id.clone(),
            subject: mail.subject.clone(),
            to: mail.rcpt_to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            from: mail.mail_from.as_ref().map(ToString::to_string).unwrap_or_default(),
            at: clock.at_ms(captured.at_ms),
            size: size(mail.message.len() as u64),
        }
    }
}

#[derive(Template)]
#[template(path = "captured_mail.html")]
struct MailPage {
    shell: Shell,
    line: Line,
    opened: Opened,
    files: Vec<(String, String)>,
}

/// Which part of the inbox to show.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InboxQuery {
    page: String,
}

pub(crate) async fn show(State(app): State<App>, shell: Shell, Asked(query): Asked<InboxQuery>) -> Page {
    let (page, clock) = (page_number(&query.page)?, app.clock());
    let found = app.store()?.captured(page * PAGE, PAGE + 1).await?;
    html(&InboxPage {
        shell: shell.at("captured"),
        mails: found.iter().take(PAGE).map(|mail| Line::new(mail, clock)).collect(),
        earlier: (found.len() > PAGE).then_some(page + 1),
        later: page.checked_sub(1),
    })
}

pub(crate) async fn show_mail(State(app): State<App>, shell: Shell, Path(id): Path<String>) -> Page {
    let captured = find(&app, &id).await?;
    let opened = Opened::parse(&captured.mail.message);
    let files = opened.files.iter().map(|file| (file.name.clone(), format!("{}, {}", file.kind, size(file.bytes))));
    let files = files.collect();
    html(&MailPage { shell: shell.at("captured"), line: Line::new(&captured, app.clock()), files, opened })
}

/// The mail's HTML alone, for the frame.
pub(crate) async fn frame(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Failure> {
    let opened = Opened::parse(&find(&app, &id).await?.mail.message);
    opened.html.map(shut_away).ok_or_else(|| Failure::not_found(format!("the HTML of {id}")))
}

/// The message as it would have gone out, for a mail program.
pub(crate) async fn raw(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Failure> {
    let captured = find(&app, &id).await?;
    let name = format!("attachment; filename=\"{}.eml\"", captured.id);
    let headers = [(header::CONTENT_TYPE, "message/rfc822".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, captured.mail.message).into_response())
}

async fn find(app: &App, id: &str) -> Result<Captured, Failure> {
    let missing = || Failure::not_found(format!("the captured mail {id:?}"));
    // It becomes part of a key and of a file's name.
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(missing());
    }
    app.store()?.captured_mail(id).await?.ok_or_else(missing)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{} MB", grouped(bytes / 1_000_000)),
    }
}
