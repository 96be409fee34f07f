//! Middleware that limits the time of requests and renders errors: as pages for people, as JSON for
//! programs.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use postroom_core::Error;

use crate::{
    app::{ANSWER_LIMIT, App},
    flash::Flash,
    guard::Visitor,
    handler_error::{HandlerError, is_for_programs},
    page::{self, Shell},
};

/// Limits the time of a request.
pub(crate) async fn limit_time(request: Request, next: Next) -> Response {
    let late = |_| HandlerError::from(Error::Away("no reply in time".to_owned())).into_response();
    tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await.unwrap_or_else(late)
}

/// Renders the error of a response: as a page if the response carries a visitor, otherwise as JSON.
/// Deletes the one-time message that a page has shown.
pub(crate) async fn render(State(app): State<App>, request: Request, next: Next) -> Response {
    let for_programs = is_for_programs(request.uri().path());
    let flash = Flash::of(request.headers());
    let had_flash = flash.is_some();
    let mut response = next.run(request).await;
    let visitor = response.extensions_mut().remove::<Visitor>();
    if let Some(error) = response.extensions_mut().remove::<HandlerError>() {
        response = match visitor {
            Some(visitor) if !for_programs => page::error(Shell::new(&app, &visitor, flash), &error),
            _ => error.as_json(),
        };
    }
    if had_flash && is_page(response.headers()) {
        Flash::forget(response.headers_mut());
    }
    response
}

/// Whether the response is a page of the dashboard. A mail's frame has its own content security
/// policy.
fn is_page(headers: &HeaderMap) -> bool {
    let html = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    html && !headers.contains_key(header::CONTENT_SECURITY_POLICY)
}
