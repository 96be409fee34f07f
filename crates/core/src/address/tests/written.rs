//! Properties: what is written is read back equal, and any text is read without a panic.

use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{EmailAddress, Mailbox, MailboxList};

/// Returns texts made of pieces of the grammar.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "ann",
            "Lee",
            "@",
            "example.org",
            "<",
            ">",
            "\"",
            "\\",
            "(",
            ")",
            ",",
            ";",
            ":",
            ".",
            " ",
            "\t",
            "\r\n ",
            "mailto:",
            "=?utf-8?q?=C5=BB?=",
            "=?utf-8?b?xbs=?=",
            "[192.0.2.5]",
            "[",
            "]",
            "%40",
            "\u{feff}",
            "\u{200b}",
            "\u{a0}",
            "żółw.pl",
            "ann@example.org",
            "Ann <ann@example.org>",
            "\u{0}",
            "\n",
            "{id}",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

/// Returns names without control characters.
fn names() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "Ann",
            " ",
            "  ",
            "\"",
            "\\",
            ",",
            "<",
            ">",
            "@",
            "=?utf-8?q?x?=",
            "\u{200b}",
            "\u{a0}",
            "(",
            "ż",
            ":",
            ";",
            "李",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_filter("no control character", |c| !c.is_control()).prop_map(String::from),
    ];
    prop::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

fn addresses() -> impl Strategy<Value = EmailAddress> {
    prop_oneof![
        "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\\.[a-z0-9]{1,5})?@[a-z0-9]{1,9}\\.(org|pl)",
        "\"[ -!#-\\[\\]-~]{1,20}\"@\\[192\\.0\\.2\\.[0-9]\\]",
        "[ąćęłńóśźża-z]{1,20}@[a-z]{1,9}\\.[a-z]{2,4}",
    ]
    .prop_filter_map("an address", |text| text.parse().ok())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mailbox_is_read_back_from_its_written_form(name in prop::option::of(names()), address in addresses()) {
        let mailbox = Mailbox { name, address };
        let written = mailbox.to_string();
        prop_assert_eq!(written.parse(), Ok(mailbox.clone()), "{:?}", written);
        let json = serde_json::to_string(&mailbox).expect("JSON");
        prop_assert_eq!(&serde_json::from_str::<Mailbox>(&json).expect("a mailbox"), &mailbox);
    }

    #[test]
    fn a_list_is_read_back_from_its_written_form(
        list in prop::collection::vec((prop::option::of(names()), addresses()), 1..6),
    ) {
        let list: Vec<Mailbox> = list.into_iter().map(|(name, address)| Mailbox { name, address }).collect();
        let written = list.iter().map(Mailbox::to_string).collect::<Vec<_>>();
        for separator in [", ", ",", ";"] {
            prop_assert_eq!(written.join(separator).parse::<MailboxList>(), Ok(MailboxList(list.clone())));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in pieces()) {
        let single = text.parse::<Mailbox>();
        let list = text.parse::<MailboxList>();
        if let Ok(mailbox) = &single {
            prop_assert_eq!(mailbox.to_string().parse(), Ok(mailbox.clone()));
            prop_assert_eq!(list.as_ref(), Ok(&MailboxList(vec![mailbox.clone()])));
        }
        for mailbox in list.iter().flat_map(|list| &list.0) {
            prop_assert_eq!(mailbox.to_string().parse(), Ok(mailbox.clone()));
            let address = mailbox.address.as_str();
            prop_assert!(!address.chars().any(char::is_control) && address.len() <= 254, "{:?}", address);
        }
    }
}
