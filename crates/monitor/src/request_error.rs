//! Errors of requests: shown as pages to people, as JSON to programs.

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

/// An error of a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestError {
    pub(crate) status: StatusCode,
    code: &'static str,
    pub(crate) message: String,
    field: Option<String>,
    retry_after: Option<Duration>,
}

impl RequestError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), field: None, retry_after: None }
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{what} was not found"))
    }

    /// A form without a valid token: expired, or from another site.
    pub(crate) fn forged() -> Self {
        let why = "This page has expired, or the request did not come from it. Go back, reload the page and try again. \
             Nothing was changed.";
        Self::new(StatusCode::FORBIDDEN, "forged", why)
    }

    pub(crate) fn no_password() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "no_password", "the password is missing or wrong")
    }

    pub(crate) fn too_many_attempts(wait: Duration) -> Self {
        let why = format!("too many wrong passwords; try again in {} s", wait.as_secs() + 1);
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", why) }
    }

    /// Part of a mail that is too large to be shown.
    pub(crate) fn too_large(what: impl std::fmt::Display) -> Self {
        let why = format!("{what} is too large to be shown; download the mail to see it");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", why)
    }

    /// A page that can't be rendered.
    pub(crate) fn defect(error: impl std::fmt::Display) -> Self {
        tracing::error!("a page can't be rendered: {error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "defect", format!("this page can't be rendered: {error}"))
    }

    /// Returns the response to a request without access.
    pub(crate) fn respond(&self, app: &App, parts: &Parts) -> Response {
        if is_for_programs(parts.uri.path()) {
            return self.as_json();
        }
        self.as_page(Shell::new(app, &Visitor::of_session(app.guard(), ""), &parts.headers))
    }

    /// Returns the error as JSON.
    pub(crate) fn as_json(&self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message, "field": self.field } });
        self.with_retry_after((self.status, Json(body)).into_response())
    }

    /// Returns the error as a page.
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
            StatusCode::SERVICE_UNAVAILABLE => "Redis is unavailable",
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::PAYLOAD_TOO_LARGE => "Too large",
            StatusCode::BAD_REQUEST => "Invalid request",
            StatusCode::FORBIDDEN => "Refused",
            StatusCode::CONFLICT => "Too late",
            StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
            _ => "Error",
        }
    }
}

impl From<Error> for RequestError {
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

impl From<InvalidInput> for RequestError {
    fn from(problem: InvalidInput) -> Self {
        let failure = Self::new(StatusCode::BAD_REQUEST, "invalid", problem.to_string());
        Self { field: Some(problem.field), ..failure }
    }
}

impl IntoResponse for RequestError {
    /// Attaches the error to the response. [`dress`] renders it, because it knows the visitor.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Limits the time of each request, and renders errors.
pub(crate) async fn dress(State(app): State<App>, request: Request, next: Next) -> Response {
    let for_programs = is_for_programs(request.uri().path());
    let shell = request.extensions().get::<Visitor>().map(|visitor| Shell::new(&app, visitor, request.headers()));
    let had_flash = Flash::of(request.headers()).is_some();
    let late = || RequestError::from(Error::Away("no answer in time".to_owned())).into_response();
    let mut response = tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await.unwrap_or_else(|_| late());
    if let Some(failure) = response.extensions_mut().remove::<RequestError>() {
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

/// Whether the response is a page of the dashboard. A mail's frame has its own content security
/// policy.
fn is_page(headers: &HeaderMap) -> bool {
    let html = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    html && !headers.contains_key(header::CONTENT_SECURITY_POLICY)
}
