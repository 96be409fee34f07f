//! Check of requests that other sites initiate in a browser (Fetch Metadata).

use axum::http::{HeaderMap, Method};

/// Whether the origin of a request is acceptable. Programs send none of these headers. Another site
/// may only link here: a navigation of a whole tab.
pub(crate) fn is_allowed(method: &Method, headers: &HeaderMap) -> bool {
    let word = |name: &str| headers.get(name).map(|word| word.to_str().unwrap_or("unreadable"));
    match word("sec-fetch-site") {
        None | Some("none" | "same-origin") => true,
        Some(_) => {
            let is_navigation =
                word("sec-fetch-mode") == Some("navigate") && matches!(word("sec-fetch-dest"), None | Some("document"));
            method.is_safe() && is_navigation
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_sites_may_only_link_here() {
        for (method, site, mode, dest, allowed) in [
            (Method::GET, "", "", "", true),
            (Method::POST, "same-origin", "cors", "empty", true),
            (Method::GET, "none", "navigate", "document", true),
            (Method::GET, "cross-site", "navigate", "document", true),
            (Method::GET, "same-site", "navigate", "document", true),
            (Method::GET, "cross-site", "navigate", "", true),
            (Method::GET, "cross-site", "navigate", "iframe", false),
            (Method::GET, "cross-site", "no-cors", "image", false),
            (Method::GET, "same-site", "cors", "empty", false),
            (Method::GET, "cross-site", "", "", false),
            (Method::GET, "odd", "cors", "empty", false),
            (Method::POST, "cross-site", "navigate", "document", false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)] {
                if !value.is_empty() {
                    headers.insert(name, value.parse().expect("a value"));
                }
            }
            assert_eq!(is_allowed(&method, &headers), allowed, "{method} {site} {mode} {dest}");
        }
    }
}
