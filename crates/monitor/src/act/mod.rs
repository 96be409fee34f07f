//! What a person may do. Each act leads back to a page that says what became of it.

pub(crate) mod batch;
pub(crate) mod job;
pub(crate) mod login;
pub(crate) mod queue;

use axum::{
    http::header,
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};

use crate::flash::Flash;

/// Back to a page, with a word on it.
fn back(place: &str, flash: &Flash) -> Response {
    (AppendHeaders([(header::SET_COOKIE, flash.header())]), Redirect::to(place)).into_response()
}
