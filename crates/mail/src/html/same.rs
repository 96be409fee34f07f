//! Comparison of documents.

use std::cell::RefCell;

use html5ever::tokenizer::{TagKind, Token, TokenSink, TokenSinkResult};

use super::{Reader, raw, read};

/// Whether two documents have the same tokens, apart from `style` attributes.
pub(crate) fn differs_only_in_styles(one: &str, other: &str) -> bool {
    tokens_of(one) == tokens_of(other)
}

fn tokens_of(html: &str) -> String {
    read(html, TokenReader::default()).0.into_inner()
}

/// Writer of tokens without `style` attributes.
#[derive(Debug, Default)]
struct TokenReader(RefCell<String>);

impl Reader for TokenReader {
    fn is_done(&self) -> bool {
        false
    }
}

impl TokenSink for TokenReader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut text = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) => {
                let mark = if tag.kind == TagKind::StartTag { '\0' } else { '\u{1}' };
                text.push(mark);
                text.push_str(&tag.name);
                for attribute in tag.attrs.iter().filter(|attribute| &*attribute.name.local != "style") {
                    text.extend(["\u{2}", &attribute.name.local, "=", &attribute.value]);
                }
                text.push('\u{3}');
                if tag.kind == TagKind::StartTag {
                    return raw::after(&tag.name);
                }
            }
            Token::CharacterTokens(words) => text.push_str(&words),
            Token::CommentToken(comment) => text.extend(["\u{4}", &comment]),
            Token::DoctypeToken(doctype) => text.push_str(&format!("\u{5}{doctype:?}")),
            Token::NullCharacterToken => text.push('\u{6}'),
            Token::EOFToken | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_styles_may_differ() {
        let one = "<!DOCTYPE html><p class=a>x<br><!-- c --></p>";
        for (other, is_same) in [
            ("<!DOCTYPE html><p class=a style='b'>x<br style=c><!-- c --></p>", true),
            ("<!doctype HTML><p CLASS='a'>x<br><!-- c --></p>", true),
            ("<p class=a>x<br><!-- c --></p>", false),
            ("<!DOCTYPE html><p class=a>x<br><!-- c --></p></div>", false),
            ("<!DOCTYPE html><p class=a>x<br><!-- d --></p>", false),
            ("<!DOCTYPE html><p class=a>y<br><!-- c --></p>", false),
            ("<!DOCTYPE html><p class=b>x<br><!-- c --></p>", false),
        ] {
            assert_eq!(differs_only_in_styles(one, other), is_same, "{other}");
        }
    }
}
