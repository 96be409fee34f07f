//! Style sheet, script and icon, embedded in the binary.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use ring::digest;

/// Browsers may cache a file forever, because its address contains a hash of the content.
const CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

const FILES: [(&str, &str, &str); 3] = [
    ("style.css", "text/css; charset=utf-8", include_str!("../assets/style.css")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("../assets/live.js")),
    ("icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
];

/// Short hash of all files, part of their addresses.
pub(crate) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut all = digest::Context::new(&digest::SHA256);
    FILES.iter().for_each(|(_, _, text)| all.update(text.as_bytes()));
    all.finish().as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

pub(crate) async fn show(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, text)) => {
            ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, CACHE_CONTROL)], *text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
