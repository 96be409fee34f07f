//! Errors of requests.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use postroom_core::{Error, InvalidInput};
use serde_json::json;

/// An error of a request.
#[derive(Debug, Clone)]
pub(crate) struct HandlerError {
    pub(crate) status: StatusCode,
    code: &'static str,
    pub(crate) message: String,
    field: Option<String>,
    retry_after: Option<Duration>,
}

impl HandlerError {
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

    /// Returns the error as JSON.
    pub(crate) fn as_json(&self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message, "field": self.field } });
        self.with_retry_after((self.status, Json(body)).into_response())
    }

    /// Adds the `Retry-After` header, if there is a pause.
    pub(crate) fn with_retry_after(&self, mut response: Response) -> Response {
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

impl From<Error> for HandlerError {
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

impl From<InvalidInput> for HandlerError {
    fn from(problem: InvalidInput) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, "invalid", problem.to_string());
        Self { field: Some(problem.field), ..error }
    }
}

impl IntoResponse for HandlerError {
    /// Attaches the error to the response. The middleware in `error_pages.rs` renders it, because
    /// it knows the visitor.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Whether a path is for programs, which get errors as JSON.
pub(crate) fn is_for_programs(path: &str) -> bool {
    path.starts_with("/api/") || path == "/metrics"
}
