//! Elements whose content is text to a parser, not HTML.

use html5ever::tokenizer::{
    TokenSinkResult,
    states::RawKind::{self, Rawtext, Rcdata},
};

/// `script` is treated as raw text. Its content is never shown, so its own tokenizer states are not
/// needed.
const RAW: [(&str, RawKind); 8] = [
    ("style", Rawtext),
    ("script", Rawtext),
    ("title", Rcdata),
    ("textarea", Rcdata),
    ("xmp", Rawtext),
    ("iframe", Rawtext),
    ("noembed", Rawtext),
    ("noframes", Rawtext),
];

/// Element that ends HTML parsing: everything after it is text.
pub(super) const PLAINTEXT: &str = "plaintext";

/// Next state of a tokenizer after the start tag of an element.
pub(super) fn after(name: &str) -> TokenSinkResult<()> {
    if name == PLAINTEXT {
        return TokenSinkResult::Plaintext;
    }
    kind(name).map_or(TokenSinkResult::Continue, TokenSinkResult::RawData)
}

/// Whether the content of an element is text; case-insensitive.
pub(crate) fn is_raw(name: &str) -> bool {
    RAW.iter().any(|(raw, _)| raw.eq_ignore_ascii_case(name))
}

fn kind(name: &str) -> Option<RawKind> {
    RAW.iter().find(|(raw, _)| *raw == name).map(|(_, kind)| *kind)
}
