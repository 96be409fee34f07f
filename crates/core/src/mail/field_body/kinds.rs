//! Kinds of headers, by name.

use HeaderKind::{ListId, Literal, Mailbox, Mailboxes, MessageIds, Text, Urls};

/// Kind of a header's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderKind {
    /// One address.
    Mailbox,
    /// Addresses, separated by commas.
    Mailboxes,
    /// URLs in angle brackets (RFC 2369).
    Urls,
    /// Message-IDs in angle brackets (RFC 5322 §3.6.4).
    MessageIds,
    /// Text and an identifier in angle brackets (RFC 2919).
    ListId,
    /// Other values that programs read.
    Literal,
    /// Text that people read.
    Text,
}

/// Headers that are not text, in lower case. Headers that begin with `list-` are structured too.
const KINDS: [(&str, HeaderKind); 90] = [
    ("accept-language", Literal),
    ("apparently-to", Mailboxes),
    ("arc-authentication-results", Literal),
    ("arc-message-signature", Literal),
    ("arc-seal", Literal),
    ("archived-at", Urls),
    ("authentication-results", Literal),
    ("auto-submitted", Literal),
    ("autocrypt", Literal),
    ("bimi-location", Literal),
    ("bimi-selector", Literal),
    ("content-id", MessageIds),
    ("content-language", Literal),
    ("content-location", Literal),
    ("deferred-delivery", Literal),
    ("delivered-to", Mailboxes),
    ("disposition-notification-options", Literal),
    ("disposition-notification-to", Mailboxes),
    ("dkim-signature", Literal),
    ("domainkey-signature", Literal),
    ("errors-to", Mailboxes),
    ("expires", Literal),
    ("expiry-date", Literal),
    ("face", Literal),
    ("feedback-id", Literal),
    ("importance", Literal),
    ("in-reply-to", MessageIds),
    ("list-archive", Urls),
    ("list-help", Urls),
    ("list-id", ListId),
    ("list-owner", Urls),
    ("list-post", Urls),
    ("list-subscribe", Urls),
    ("list-unsubscribe", Urls),
    ("mail-followup-to", Mailboxes),
    ("mail-reply-to", Mailboxes),
    ("mt-priority", Literal),
    ("newsgroups", Literal),
    ("obsoletes", MessageIds),
    ("original-message-id", MessageIds),
    ("precedence", Literal),
    ("priority", Literal),
    ("read-receipt-to", Mailboxes),
    ("received", Literal),
    ("received-spf", Literal),
    ("references", MessageIds),
    ("reply-by", Literal),
    ("require-recipient-valid-since", Literal),
    ("resent-cc", Mailboxes),
    ("resent-date", Literal),
    ("resent-from", Mailboxes),
    ("resent-message-id", MessageIds),
    ("resent-reply-to", Mailboxes),
    ("resent-sender", Mailbox),
    ("resent-to", Mailboxes),
    ("return-receipt-to", Mailboxes),
    ("sender", Mailbox),
    ("sensitivity", Literal),
    ("supersedes", MessageIds),
    ("thread-index", Literal),
    ("tls-required", Literal),
    ("x-auto-response-suppress", Literal),
    ("x-beenthere", Literal),
    ("x-confirm-reading-to", Mailboxes),
    ("x-csa-complaints", Literal),
    ("x-entity-ref-id", Literal),
    ("x-face", Literal),
    ("x-feedback-id", Literal),
    ("x-gm-message-state", Literal),
    ("x-google-dkim-signature", Literal),
    ("x-list-unsubscribe", Urls),
    ("x-mailgun-recipient-variables", Literal),
    ("x-mailgun-variables", Literal),
    ("x-mc-mergevars", Literal),
    ("x-mc-metadata", Literal),
    ("x-mj-customid", Literal),
    ("x-mj-vars", Literal),
    ("x-msmail-priority", Literal),
    ("x-msys-api", Literal),
    ("x-no-archive", Literal),
    ("x-originating-ip", Literal),
    ("x-pm-message-stream", Literal),
    ("x-priority", Literal),
    ("x-report-abuse-to", Mailboxes),
    ("x-ses-configuration-set", Literal),
    ("x-ses-list-management-options", Literal),
    ("x-ses-message-tags", Literal),
    ("x-smtpapi", Literal),
    ("x-spam-flag", Literal),
    ("xref", Literal),
];

/// Returns the kind of a header; unknown headers are text.
pub(super) fn kind_of(name: &str) -> HeaderKind {
    let known = KINDS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    let is_list = || name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("list-"));
    match known {
        Some((_, kind)) => *kind,
        None if is_list() => Literal,
        None => Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_occurs_once_in_order_and_in_lower_case() {
        assert!(KINDS.is_sorted_by(|(one, _), (next, _)| one < next));
        assert!(KINDS.iter().all(|(name, kind)| name.to_lowercase() == *name && *kind != Text));
        for (name, kind) in [("List-Unsubscribe-Post", Literal), ("LIST-HELP", Urls), ("x-foo", Text), ("list", Text)] {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }
}
