//! Fuzz target: values of headers, as applications supply them.

use postroom_testkit::fuzz::{Case, Fuzz};

use super::{FieldBody, foldable_pieces};
use crate::bounds;

const SEEDS: [&str; 12] = [
    "\"Acme, Inc.\" <a@example.org>, Żółć <b@żółw.pl>",
    "a@example.org, (comment) \"b\\\"\" <c@d>",
    "<https://żółw.pl:8080/ü?q=a b#c>, <mailto:ü@żółw.pl?subject=für>",
    "https://example.org/u?a=1,2, mailto:u@example.org",
    "<https://[2001:db8::1]/>,<tel:+48123>",
    "NO (read only)",
    "<a@example.org> <b@żółw.pl>, c@example.org",
    "\"Żółta, lista\" <list.żółw.pl>",
    "{\"to\": [\"a@example.org\"], \"category\": \"x\"}",
    "List-Unsubscribe=One-Click",
    "campaign:customer:=?utf-8?q?x?=:sender",
    "word word  word\tword",
];

const NAMES: [&str; 9] = [
    "Sender",
    "Resent-To",
    "List-Unsubscribe",
    "List-Post",
    "List-Id",
    "References",
    "Precedence",
    "X-SMTPAPI",
    "Comments",
];

/// Each value has one written form, which can be folded and is read as the same value.
#[test]
fn header() {
    let tokens =
        ["<", ">", ",", "@", ":", "//", "%", "\"", "\\", "(", ")", " ", "\t", "\r\n", "\0", "?", "xn--", "mailto:"];
    Fuzz::target("header").seeds(SEEDS).tokens(&tokens).run(|case: &mut Case<'_>| {
        let text = if case.one_in(9) { case.text().repeat(40) } else { case.text() };
        for name in NAMES {
            let Ok(body) = FieldBody::of(name, &text) else { continue };
            if let FieldBody::Literal(value) = &body {
                check_literal(name, value);
            }
        }
    });
}

fn check_literal(name: &str, value: &str) {
    assert!(value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) && value.trim() == value, "{value:?}");
    assert_eq!(foldable_pieces(value).collect::<String>(), value);
    for piece in foldable_pieces(value) {
        assert!(piece.len() <= bounds::HEADER_WORD + 1 && !piece.trim().is_empty(), "{piece:?}");
    }
    // Percent-encoding may exceed the bound of a value.
    if value.len() <= bounds::HEADER_VALUE {
        assert_eq!(FieldBody::of(name, value), Ok(FieldBody::Literal(value.into())), "{name}");
    }
}
