//! A mail's HTML, shut away.

use std::collections::HashMap;

use axum::{
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};

use crate::{failure::Failure, inert::inert};

/// Nothing is loaded, nothing runs, nothing is submitted, and what it says belongs to no site. Styles may stand in the
/// mail itself, since mail has them there.
const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'";
/// The same with images from here.
const POLICY_WITH_IMAGES: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: 'self'; frame-ancestors 'self'";

/// The images that a mail brings along.
#[derive(Debug)]
pub(super) enum Images {
    None,
    /// Their addresses by Content-ID.
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

/// A mail's HTML, made inert, to be shown in a frame of ours.
pub(super) async fn shut_away(html: String, images: Images) -> Result<Response, Failure> {
    let policy = images.policy();
    let made = tokio::task::spawn_blocking(move || inert(&html, |content_id| images.address(content_id)));
    let html = made.await.map_err(Failure::defect)?.map_err(|_| Failure::too_large("the HTML of this mail"))?;
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((headers, html).into_response())
}
