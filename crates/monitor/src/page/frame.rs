//! HTML of a mail in a sandboxed frame.

use std::collections::HashMap;

use axum::{
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};

use crate::{handler_error::HandlerError, inert::inert};

/// Forbids loading, scripts and forms, and gives the content an opaque origin. Inline styles are
/// allowed, because mails use them.
const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'";
/// Policy for mails with embedded images.
const POLICY_WITH_IMAGES: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: 'self'; frame-ancestors 'self'";

/// Embedded images of a mail.
#[derive(Debug)]
pub(super) enum Images {
    None,
    /// Addresses by Content-ID.
    At(HashMap<String, String>),
}

impl Images {
    fn address(&self, content_id: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::At(addresses) => addresses.get(content_id).cloned(),
        }
    }

    fn policy(&self) -> &'static str {
        match self {
            Self::At(addresses) if !addresses.is_empty() => POLICY_WITH_IMAGES,
            Self::None | Self::At(_) => POLICY,
        }
    }
}

/// Sanitizes the HTML of a mail, and responds with it under a sandbox policy.
pub(super) async fn sandboxed(html: String, images: Images) -> Result<Response, HandlerError> {
    let policy = images.policy();
    let sanitized = tokio::task::spawn_blocking(move || inert(&html, |content_id| images.address(content_id)));
    let html =
        sanitized.await.map_err(HandlerError::defect)?.map_err(|_| HandlerError::too_large("the HTML of this mail"))?;
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((headers, html).into_response())
}
