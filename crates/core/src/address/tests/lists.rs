//! Texts that are a list of mailboxes.

use super::{MailboxList, shown};

#[test]
fn lists_are_read_in_order() {
    let cases: [(&str, &[&str]); 18] = [
        ("ann@example.org", &["ann@example.org"]),
        ("Ann <ann@example.org>, Ben <ben@example.org>", &["Ann|ann@example.org", "Ben|ben@example.org"]),
        ("ann@example.org,ben@example.org", &["ann@example.org", "ben@example.org"]),
        ("ann@example.org; ben@example.org;", &["ann@example.org", "ben@example.org"]),
        (",, ann@example.org ,\u{a0}, ben@example.org ,", &["ann@example.org", "ben@example.org"]),
        ("ann@example.org,\r\n ben@example.org", &["ann@example.org", "ben@example.org"]),
        ("\"Lee, Ann\" <ann@example.org>, ben@example.org", &["Lee, Ann|ann@example.org", "ben@example.org"]),
        ("ben@example.org, Acme, Inc. <info@example.org>", &["ben@example.org", "Acme, Inc.|info@example.org"]),
        (
            "Lee, Ann <ann@example.org>; Lee, Ben <ben@example.org>",
            &["Lee, Ann|ann@example.org", "Lee, Ben|ben@example.org"],
        ),
        ("Lee, Ann <ann@example.org>, ben@example.org", &["Lee, Ann|ann@example.org", "ben@example.org"]),
        ("ann@example.org (Ann), ben@example.org (Ben)", &["Ann|ann@example.org", "Ben|ben@example.org"]),
        ("\"a, b\"@example.org, ann@[192.0.2.5]", &["\"a, b\"@example.org", "ann@[192.0.2.5]"]),
        ("undisclosed-recipients:;", &[]),
        ("Undisclosed recipients: ;", &[]),
        ("Team: Ann <ann@example.org>, ben@example.org;", &["Ann|ann@example.org", "ben@example.org"]),
        ("a@example.org, Team: b@example.org;, c@example.org", &["a@example.org", "b@example.org", "c@example.org"]),
        ("Team: b@example.org; c@example.org", &["b@example.org", "c@example.org"]),
        ("Max: News <max@example.org>", &["Max: News|max@example.org"]),
    ];
    for (text, expected) in cases {
        let list = text.parse::<MailboxList>().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(list.0.iter().map(shown).collect::<Vec<_>>(), expected, "{text:?}");
    }
}

#[test]
fn the_error_names_the_entry() {
    for (text, problem) in [
        ("ann@example.org, ben", "\"ben\" is not an e-mail address: it has no @"),
        ("ann@example.org, Ben, carl@example.org", "\"Ben\" is not an e-mail address: it has no @"),
        ("Ann; Ben <ben@example.org>", "\"Ann\" is not an e-mail address: it has no @"),
        (
            "ann@example.org ben@example.org",
            "\"ann@example.org ben@example.org\" is not an e-mail address: it has two addresses without a comma \
             between them",
        ),
        ("Team: ann@example.org, Ben;", "\"Team: ann@example.org, Ben\" is not an e-mail address: it has no @"),
        ("", "\"\" is not an e-mail address: it has no @"),
        (", ;", "\", ;\" is not an e-mail address: it has no @"),
    ] {
        let error = text.parse::<MailboxList>().expect_err(text);
        assert_eq!((error.field.as_str(), error.problem.as_str()), ("address", problem), "{text:?}");
    }
}
