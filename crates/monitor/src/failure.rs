//! What goes wrong with a request: told as a page to people, as JSON to programs.

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use postroom_core::{Error, InvalidInput};
use serde_json::json;

use crate::{
    app::{ANSWER_LIMIT, App},
    flash::Flash,
    guard::Visitor,
    page::{self, Shell},
};

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    code: &'static str,
    pub(crate) message: String,
    field: Option<String>,
    retry_after: Option<Duration>,
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), field: None, retry_after: None }
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{what} was not found"))
    }

    /// A form that no page of ours made for this visitor, or one that is too old.
    pub(crate) fn forged() -> Self {
        let why =
            "This page is too old, or was not made here: go back, load it again and try once more. Nothing was done.";
        Self::new(StatusCode::FORBIDDEN, "forged", why)
    }

    pub(crate) fn no_password() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "no_password", "the password is missing or wrong")
    }

    pub(crate) fn too_many_tries(wait: Duration) -> Self {
        let why = format!("too many wrong passwords; try again in {} s", wait.as_secs() + 1);
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", why) }
    }

    /// Something of a mail that is too large to be shown.
    pub(crate) fn too_large(what: impl std::fmt::Display) -> Self {
        let why = format!("{what} is too large to be shown; download the mail to look inside");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", why)
    }

    /// A page of ours that can't be made.
    pub(crate) fn defect(error: impl std::fmt::Display) -> Self {
        tracing::error!("a page can't be made: {error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "defect", format!("this page can't be made: {error}"))
    }

    /// The answer to a request that nobody was let in with.
    pub(crate) fn respond(&self, app: &App, parts: &Parts) -> Response {
        if is_for_programs(parts.uri.path()) {
            return self.as_json();
        }
        self.as_page(Shell::new(app, &Visitor::of_session(app.gate(), ""), &parts.headers))
    }

    /// The form for programs.
    pub(crate) fn as_json(&self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message, "field": self.field } });
        self.with_retry_after((self.status, Json(body)).into_response())
    }

    /// The form for people.
    fn as_page(&self, shell: Shell) -> Response {
        let page = page::failure(shell, self).unwrap_or_else(|_| self.message.clone().into_response());
        self.with_retry_after((self.status, page).into_response())
    }

    fn with_retry_after(&self, mut response: Response) -> Response {
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        response
    }

    pub(crate) fn title(&self) -> &'static str {
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => "Redis is away",
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::PAYLOAD_TOO_LARGE => "Too large",
            StatusCode::BAD_REQUEST => "That does not fit",
            StatusCode::FORBIDDEN => "Not done",
            StatusCode::CONFLICT => "Too late",
            StatusCode::TOO_MANY_REQUESTS => "Too many tries",
            _ => "Something is wrong",
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Invalid(problem) => problem.into(),
            Error::Away(_) | Error::NotSynced => Self::new(StatusCode::SERVICE_UNAVAILABLE, "redis_away", message),
            Error::Full => Self::new(StatusCode::SERVICE_UNAVAILABLE, "redis_full", message),
            Error::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            Error::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            Error::NewerProtocol { .. } => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "newer_protocol", message),
            Error::WrongType(_) | Error::Protocol(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "protocol", message)
            }
        }
    }
}

impl From<InvalidInput> for Failure {
    fn from(problem: InvalidInput) -> Self {
        let failure = Self::new(StatusCode::BAD_REQUEST, "invalid", problem.to_string());
        Self { field: Some(problem.field), ..failure }
    }
}

impl IntoResponse for Failure {
    /// A note for [`dress`], which knows who asked.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives each request its time, and each failure its form.
pub(crate) async fn dress(State(app): State<App>, request: Request, next: Next) -> Response {
    let for_programs = is_for_programs(request.uri().path());
    let shell = request.extensions().get::<Visitor>().map(|visitor| Shell::new(&app, visitor, request.headers()));
    let had_flash = Flash::of(request.headers()).is_some();
    let late = || Failure::from(Error::Away("no answer in time".to_owned())).into_response();
    let mut response = tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await.unwrap_or_else(|_| late());
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        response = match shell {
            Some(shell) if !for_programs => failure.as_page(shell),
            _ => failure.as_json(),
        };
    }
    if had_flash && is_page(response.headers()) {
        Flash::forget(response.headers_mut());
    }
    response
}

fn is_for_programs(path: &str) -> bool {
    path.starts_with("/api/") || path == "/metrics"
}

/// HTML of our own: frames with a mail in them bring their own policy.
fn is_page(headers: &HeaderMap) -> bool {
    let html = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    html && !headers.contains_key(header::CONTENT_SECURITY_POLICY)
}
