//! A mail's HTML, shut away.

use axum::{
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};

/// Nothing is loaded, nothing runs, nothing is submitted, and what it says belongs to no site. Styles may stand in the
/// mail itself, since mail has them there.
const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'";

/// A mail's HTML, to be shown in a frame of ours.
pub(crate) fn shut_away(html: String) -> Response {
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, html).into_response()
}
