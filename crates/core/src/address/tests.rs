//! Tables of inputs of address fields, each with its exact result.

mod lists;
mod refused;
mod singles;
mod written;

use super::{EmailAddress, EnvelopePattern, Mailbox, MailboxList};

/// Formats a mailbox as `name|address`, or only the address.
fn shown(mailbox: &Mailbox) -> String {
    let name = mailbox.name.as_deref().map(|name| format!("{name}|")).unwrap_or_default();
    format!("{name}{}", mailbox.address)
}

/// Parses one mailbox and checks that it is read back from its written form.
#[track_caller]
fn single(text: &str) -> String {
    let mailbox: Mailbox = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let written = mailbox.to_string();
    assert_eq!(written.parse::<Mailbox>().as_ref(), Ok(&mailbox), "{text:?} written as {written:?}");
    assert_eq!(written.parse::<MailboxList>(), Ok(MailboxList(vec![mailbox.clone()])), "{text:?} in a list");
    let bare = mailbox.address.to_string().parse::<EmailAddress>();
    assert_eq!(bare.as_ref(), Ok(&mailbox.address), "{text:?}");
    shown(&mailbox)
}

#[track_caller]
fn refusal(text: &str) -> String {
    match text.parse::<Mailbox>() {
        Ok(mailbox) => panic!("{text:?} was read as {mailbox:?}"),
        Err(error) => error.problem,
    }
}

#[test]
fn envelope_senders_are_parsed_and_filled() {
    let of =
        |text: &str| text.parse::<EnvelopePattern>().map(|pattern| pattern.of_job("emails-01A").map(|s| s.to_string()));
    let ok = |sender: &str| Ok(Ok(sender.to_owned()));
    assert_eq!(of("<>"), ok("<>"));
    assert_eq!(of(" <>\u{feff} "), ok("<>"));
    assert_eq!(of("bounces@EXAMPLE.org"), ok("bounces@example.org"));
    assert_eq!(of("<bounces@example.org>"), ok("bounces@example.org"));
    assert_eq!(of("bounces+{id}@example.org"), ok("bounces+emails-01A@example.org"));
    assert_eq!(of("{id}@bounces.example.org"), ok("emails-01A@bounces.example.org"));
    assert_eq!(of("{id}.{id}@example.org"), ok("emails-01A.emails-01A@example.org"));
    for (text, words) in [
        ("bounces+{job}@example.org", "a placeholder other than {id}"),
        ("bounces+{id@example.org", "a placeholder other than {id}"),
        ("bounces@{id}.example.org", "not a host name"),
        ("", "it may be an address or <>"),
        ("null", "it may be an address or <>"),
        ("a@example.org, b@example.org", "two addresses"),
    ] {
        let error = text.parse::<EnvelopePattern>().expect_err(text);
        assert!(error.field == "envelope_from" && error.problem.contains(words), "{text}: {error}");
    }
    let long = format!("{}+{{id}}@example.org", "b".repeat(40)).parse::<EnvelopePattern>().expect("a pattern");
    assert!(long.of_job(&"x".repeat(23)).is_ok());
    let error = long.of_job(&"x".repeat(24)).expect_err("65 characters");
    assert!(error.problem.contains("longer than 64"), "{error}");
}

#[test]
fn masked_addresses_show_one_character_and_the_domain() {
    for (text, masked) in [("ann@example.org", "a***@example.org"), ("\"ann lee\"@example.org", "a***@example.org")] {
        assert_eq!(text.parse::<EmailAddress>().map(|address| address.masked()).as_deref(), Ok(masked));
    }
}

#[test]
fn addresses_that_differ_in_case_have_one_key() {
    for (text, key) in [
        ("ann@example.org", "ann@example.org"),
        ("Ann.Lee@EXAMPLE.org", "ann.lee@example.org"),
        ("Żółw@example.org", "żółw@example.org"),
    ] {
        let address: EmailAddress = text.parse().expect(text);
        assert_eq!(address.without_case(), key);
    }
    assert_eq!("Ann@Example.ORG".parse::<EmailAddress>().expect("an address").as_str(), "Ann@example.org");
}
