//! Captured mail, shown as an inbox.

use std::collections::HashMap;

use askama::Template;
use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use postroom_core::{
    EmailAddress,
    store::{Captured, CapturedSummary},
};
use serde::Deserialize;

use super::{
    BoundedQuery, PageResult, Shell,
    frame::{Images, sandboxed},
    html,
};
use crate::{
    app::App,
    captured_mail::{HtmlBody, Image, ParsedMail},
    guard::{ImageProof, Visitor},
    handler_error::HandlerError,
    query::{PAGE, page_number},
    time_format::{FormattedTime, TimeFormatter, grouped},
};

/// Maximum number of envelope recipients that are shown.
const RECIPIENTS: usize = 10;
/// Policy of an image: it may only be displayed as such.
const IMAGE_POLICY: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "captured.html")]
struct InboxPage {
    shell: Shell,
    mails: Vec<CapturedRow>,
    earlier: Option<usize>,
    later: Option<usize>,
}

/// A captured mail as a row of the inbox.
struct CapturedRow {
    id: String,
    subject: String,
    to: String,
    from: String,
    at: FormattedTime,
    size: String,
}

impl CapturedRow {
    fn new(summary: &CapturedSummary, clock: TimeFormatter) -> Self {
        Self {
            id: summary.id.clone(),
            subject: summary.subject.clone(),
            to: addresses(&summary.rcpt_to, summary.recipients),
            from: summary.mail_from.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string),
            at: clock.at_ms(summary.at_ms),
            size: size(summary.bytes),
        }
    }

    fn of_mail(captured: &Captured, clock: TimeFormatter) -> Self {
        let mail = &captured.mail;
        Self {
            id: captured.id.clone(),
            subject: mail.subject.clone(),
            to: addresses(&mail.rcpt_to, mail.rcpt_to.len()),
            from: mail.mail_from.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string),
            at: clock.at_ms(captured.at_ms),
            size: size(mail.message.len() as u64),
        }
    }
}

/// Returns the first of `number` addresses, and the number of the others.
fn addresses(first: &[EmailAddress], number: usize) -> String {
    let shown: Vec<String> = first.iter().take(RECIPIENTS).map(ToString::to_string).collect();
    match number.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), grouped(more as u64)),
    }
}

#[derive(Template)]
#[template(path = "captured_mail.html")]
struct MailPage {
    shell: Shell,
    row: CapturedRow,
    opened: ParsedMail,
    files: Vec<(String, String)>,
}

/// Position in the inbox.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InboxQuery {
    page: String,
}

pub(crate) async fn show(
    State(app): State<App>,
    shell: Shell,
    BoundedQuery(query): BoundedQuery<InboxQuery>,
) -> PageResult {
    let (page, clock) = (page_number(&query.page)?, app.clock());
    let found = app.store()?.captured(page * PAGE, PAGE + 1).await?;
    html(&InboxPage {
        shell: shell.at("captured"),
        mails: found.iter().take(PAGE).map(|mail| CapturedRow::new(mail, clock)).collect(),
        earlier: (found.len() > PAGE).then_some(page + 1),
        later: page.checked_sub(1),
    })
}

pub(crate) async fn show_mail(State(app): State<App>, shell: Shell, Path(id): Path<String>) -> PageResult {
    let clock = app.clock();
    let parts =
        move |captured: Captured| (CapturedRow::of_mail(&captured, clock), ParsedMail::parse(&captured.mail.message));
    let (row, opened) = open(&app, &id, parts).await?;
    let files = opened.files.iter().map(|file| (file.name.clone(), format!("{}, {}", file.kind, size(file.bytes))));
    let files = files.collect();
    html(&MailPage { shell: shell.at("captured"), row, files, opened })
}

/// Responds with the HTML of a mail, for its frame.
pub(crate) async fn frame(
    State(app): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Result<Response, HandlerError> {
    let body = open(&app, &id, |captured| HtmlBody::parse(&captured.mail.message)).await?;
    let HtmlBody { html, images } = body.ok_or_else(|| HandlerError::not_found(format!("the HTML of {id}")))?;
    let address = |(content_id, number)| (content_id, app.guard().image_address(&visitor, &id, number));
    let images: HashMap<String, String> = images.into_iter().map(address).collect();
    sandboxed(html, Images::At(images)).await
}

/// Responds with an embedded image of a mail.
pub(crate) async fn image(
    State(app): State<App>,
    Path((id, number)): Path<(String, usize)>,
    BoundedQuery(proof): BoundedQuery<ImageProof>,
) -> Result<Response, HandlerError> {
    proof.check(app.guard(), app.store()?, &id, number).await?;
    let image = open(&app, &id, move |captured| Image::parse(&captured.mail.message, number)).await?;
    let Image { kind, bytes } = image.ok_or_else(|| HandlerError::not_found(format!("image {number} of {id}")))?;
    let headers: [(HeaderName, String); 3] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, IMAGE_POLICY.to_owned()),
        // The sandboxed frame of the mail has an opaque origin.
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}

/// Responds with the raw message, for a mail program.
pub(crate) async fn raw(State(app): State<App>, Path(id): Path<String>) -> Result<Response, HandlerError> {
    let message = open(&app, &id, |captured| captured.mail.message).await?;
    let name = format!("attachment; filename=\"{id}.eml\"");
    let headers = [(header::CONTENT_TYPE, "message/rfc822".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, message).into_response())
}

/// Reads a mail and processes it, one at a time, because each may need several times its size in
/// memory.
async fn open<T: Send + 'static>(
    app: &App,
    id: &str,
    work: impl FnOnce(Captured) -> T + Send + 'static,
) -> Result<T, HandlerError> {
    let permit = app.opening().await;
    let captured = find(app, id).await?;
    let work = tokio::task::spawn_blocking(move || {
        let result = work(captured);
        drop(permit);
        result
    });
    work.await.map_err(HandlerError::defect)
}

async fn find(app: &App, id: &str) -> Result<Captured, HandlerError> {
    let missing = || HandlerError::not_found(format!("the captured mail {id:?}"));
    // The id becomes part of a key and of a file name.
    if id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
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
