//! Texts that are not one mailbox, each with words of its error.

use super::{EmailAddress, MailboxList, refusal};

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, words) in cases {
        let problem = refusal(text);
        assert!(problem.contains(words), "{text:?}: {problem}");
        assert!(problem.len() < 400 && !problem.contains(['\r', '\n', '\0', '\u{200b}']), "{problem:?}");
    }
}

#[test]
fn texts_without_an_address() {
    check(&[
        ("", "it has no @"),
        (" ", "it has no @"),
        (";", "it has no @"),
        ("\u{feff}", "it has no @"),
        ("ann", "\"ann\" is not an e-mail address: it has no @"),
        ("Ann Lee", "it has no @"),
        ("Ann <ann>", "it has no @ between < and >"),
        ("Ann <>", "there is no address between < and >"),
        ("< >", "there is no address between < and >"),
        ("\"ann@example.org\"", "it has no @"),
        ("undisclosed-recipients:;", "names no address"),
        ("Ann, Ben", "it has no @"),
        ("(ann@example.org)", "it has no @"),
    ]);
}

#[test]
fn two_addresses_where_one_may_be() {
    for text in [
        "Ann <ann@example.org>, Ben <ben@example.org>",
        "ann@example.org, ben@example.org",
        "ann@example.org,ben@example.org",
        "ann@example.org; ben@example.org",
        "ann@example.org ben@example.org",
        "Ann <ann@example.org> Ben <ben@example.org>",
        "Ann <ann@example.org> ben@example.org",
        "ann@example.org <ben@example.org>",
        "ann@example.org, Acme, Inc. <info@example.org>",
        "Team: ann@example.org, ben@example.org;",
        "a@example.org,b@example.org,c@example.org",
        "ann@example.org,ann@example.org",
        "mailto:ann@example.org,ben@example.org",
        "ann@example.org/ben@example.org",
    ] {
        let problem = refusal(text);
        assert!(problem.contains("two addresses") || text.contains('/'), "{text:?}: {problem}");
    }
}

#[test]
fn malformed_local_parts() {
    let long = format!("{}@example.org", "a".repeat(65));
    let long_quoted = format!("\"{} \"@example.org", "a".repeat(62));
    check(&[
        ("@example.org", "the part before the @ is empty"),
        ("\"\"@example.org", "the part before the @ is empty"),
        ("<@example.org>", "the part before the @ is empty"),
        (".ann@example.org", "a dot"),
        ("ann.@example.org", "a dot"),
        ("ann..lee@example.org", "two in a row; then it needs quotes"),
        ("ann lee@example.org", "a blank before the @; it needs quotes"),
        ("Dr. ann@example.org", "a blank before the @"),
        ("ann . lee@example.org", "a blank before the @"),
        ("E-mail: ann@example.org", "a blank before the @"),
        ("ann\"lee\"@example.org", "has quotes within it"),
        ("\"ann\"\"lee\"@example.org", "has quotes within it"),
        ("ann[1]@example.org", "a character that is not allowed"),
        ("ann\\lee@example.org", "a character that is not allowed"),
        ("\"a\tb\"@example.org", "a control character"),
        ("\"a\r\nb\"@example.org", "a control character"),
        ("a\0b@example.org", "a character that is not allowed"),
        (&long, "longer than 64"),
        (&long_quoted, "longer than 64"),
    ]);
}

#[test]
fn malformed_domains() {
    let long = format!("{}@{}.org", "a".repeat(60), vec!["b".repeat(60); 4].join("."));
    check(&[
        ("ann@", "not a host name"),
        ("Ann <ann@>", "not a host name"),
        ("ann@.", "not a host name"),
        ("ann@example..org", "not a host name"),
        ("ann@example.org..", "not a host name"),
        ("ann@-b.org", "not a host name"),
        ("ann@exa mple.org", "text follows the address"),
        ("ann@example!org", "not a host name"),
        ("ann@example.org/path", "not a host name"),
        ("ann@[192.0.2.500]", "may contain an IP address"),
        ("ann@[example.org]", "may contain an IP address"),
        ("ann@[]", "may contain an IP address"),
        ("ann@[192.0.2.5", "the bracket after the @ is not closed"),
        ("ann@@example.org", "more than one @"),
        ("ann@ben@example.org", "more than one @"),
        ("'ann@example.org'", "not a host name"),
        ("ann@exa\0mple.org", "not a host name"),
        ("mailto:ann@", "not a host name"),
        ("mailto:ann", "it has no @"),
        ("mailto:%FF@example.org", "percent-encoding is not UTF-8"),
        (&long, "longer than 254"),
    ]);
}

#[test]
fn malformed_names_and_brackets() {
    let long = format!("{} <c@example.org>", "x".repeat(256));
    check(&[
        ("x <y", "it has no @ between < and >"),
        ("x <y@example.org", "does not end with >"),
        ("x y>", "> without <"),
        ("ann@example.org>", "text follows the address"),
        ("Ann) <ann@example.org>", ") without ("),
        ("a <b> <c>", "it has no @ between < and >"),
        ("<<ann@example.org>>", "it has no @ between < and >"),
        ("Ann <ann@example.org> Lee", "text follows the address"),
        ("Ann \"Lee <ann@example.org>", "a quote is not closed"),
        ("Ann :( <ann@example.org>", "( is not closed"),
        ("Ann @ Acme <ann@example.org>", "put quotes around a name that contains @"),
        ("a\nb <c@example.org>", "line break or control character"),
        ("\"a\u{1}b\" <c@example.org>", "line break or control character"),
        ("\"a\r\n b\" <c@example.org>", "line break or control character"),
        ("=?utf-8?q?a=0Ab?= <c@example.org>", "line break or control character"),
        ("=?koi8-r?q?a?= <c@example.org>", "in koi8-r; it may be in utf-8"),
        ("=?utf-8?q?=FF?= <c@example.org>", "not valid UTF-8"),
        ("=?utf-8?b?a===?= <c@example.org>", "not base64"),
        (&long, "has 256 octets"),
        ("Team: ann@example.org; ben@example.org", "two addresses"),
        ("Team: ann@example.org Ben;", "text follows an address of the group"),
        ("a@example.org\r\nRCPT TO:<b@example.org>", "the control character U+000D after the @"),
        ("a\r\nRCPT TO:<b@c>@example.org", "line break or control character"),
    ]);
}

#[test]
fn characters_inside_an_address_that_are_not_seen() {
    check(&[
        ("ann\u{200b}lee@example.org", "the invisible character U+200B before the @"),
        ("ann\u{200b}@example.org", "U+200B before the @"),
        ("ann@\u{200b}example.org", "U+200B after the @"),
        ("ann@exam\u{200b}ple.org", "the invisible character U+200B after the @"),
        ("ann@exam\u{ad}ple.org", "U+00AD after the @"),
        ("ann@example\u{feff}.org", "U+FEFF after the @"),
        ("ann\u{a0}lee@example.org", "the blank U+00A0 before the @"),
        ("ann@example\u{3000}.org", "the blank U+3000 after the @"),
        ("a\u{202e}b@example.org", "U+202E"),
        ("a\u{200d}b@example.org", "U+200D"),
        ("ann@exam\u{200c}ple.org", "U+200C after the @"),
        ("\"ann \u{2060}lee\"@example.org", "U+2060"),
        ("a\u{e0041}b@example.org", "U+E0041"),
    ]);
}

#[test]
fn long_texts_are_read_once() {
    for text in [
        "(".repeat(1 << 18),
        "a,".repeat(1 << 18),
        "a:".repeat(1 << 18),
        "\"".repeat(1 << 18),
        "=?a?q?".repeat(1 << 16),
        "=?a?q? ".repeat(1 << 16),
        "a, ".repeat(1 << 18) + "<a@example.org>",
        "a:".repeat(1 << 18) + ";",
        "\u{200b}".repeat(1 << 18),
        "(a)".repeat(1 << 18),
        "a@b.org ".repeat(1 << 18),
        "<".repeat(1 << 18),
    ] {
        assert!(text.parse::<MailboxList>().is_err() && text.parse::<EmailAddress>().is_err());
    }
}
