//! Actions of a person. Each redirects to a page that shows the result.

pub(crate) mod batch;
pub(crate) mod job;
pub(crate) mod login;
pub(crate) mod queue;

use axum::{
    http::header,
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};

use crate::flash::Flash;

/// Redirects to a page that shows the message.
fn back(path: &str, flash: &Flash) -> Response {
    (AppendHeaders([(header::SET_COOKIE, flash.header())]), Redirect::to(path)).into_response()
}
