//! Requests that another site makes a browser send, by the browser's own word (Fetch Metadata).

use axum::http::{HeaderMap, Method};

/// Whether a request may be answered for where it comes from. Programs send none of these headers. Another site may only
/// lead a person here: a whole page in a tab of its own.
pub(super) fn may_ask(method: &Method, headers: &HeaderMap) -> bool {
    let word = |name: &str| headers.get(name).map(|word| word.to_str().unwrap_or("unreadable"));
    match word("sec-fetch-site") {
        None | Some("none" | "same-origin") => true,
        Some(_) => {
            let leads_here =
                word("sec-fetch-mode") == Some("navigate") && matches!(word("sec-fetch-dest"), None | Some("document"));
            method.is_safe() && leads_here
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_sites_may_only_lead_here() {
        for (method, site, mode, dest, may) in [
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
            assert_eq!(may_ask(&method, &headers), may, "{method} {site} {mode} {dest}");
        }
    }
}
