//! Elements whose content is text to a parser, not HTML.

use html5ever::tokenizer::{
    TokenSinkResult,
    states::RawKind::{self, Rawtext, Rcdata},
};

/// `script` is among them: what stands in it is never shown, so its own states of parsing are of no use here.
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

/// Its name ends all parsing: what follows is text.
pub(super) const PLAINTEXT: &str = "plaintext";

/// How a tokenizer goes on after the start of an element.
pub(super) fn after(name: &str) -> TokenSinkResult<()> {
    if name == PLAINTEXT {
        return TokenSinkResult::Plaintext;
    }
    kind(name).map_or(TokenSinkResult::Continue, TokenSinkResult::RawData)
}

/// Whether an element's content is text, in any case of letters.
pub(super) fn is_raw(name: &str) -> bool {
    RAW.iter().any(|(raw, _)| raw.eq_ignore_ascii_case(name))
}

fn kind(name: &str) -> Option<RawKind> {
    RAW.iter().find(|(raw, _)| *raw == name).map(|(_, kind)| *kind)
}
