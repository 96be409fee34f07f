//! Recipients of one request. Resend has no envelope: everyone named gets the mail and sees the
//! others in `to` and `cc`.

use postroom_core::{EmailAddress, Mail, Mailbox};
use sha2::{Digest, Sha256};

use crate::Message;

/// Maximum number of recipients of one request.
const MOST: usize = 50;

/// Recipients of one request; the others are left for the next request.
///
/// Only open recipients are named, so a mail to some recipients does not reveal the others. `to`
/// must not be empty. Without an open recipient there, those in `cc` move to `to`; they see each
/// other anyway. Recipients in `bcc` are sent one request each.
#[derive(Debug, PartialEq)]
pub(super) struct Addressing<'a> {
    pub(super) to: Vec<&'a Mailbox>,
    pub(super) cc: Vec<&'a Mailbox>,
    pub(super) bcc: Vec<&'a Mailbox>,
    /// Requested recipients, in the order of the mail.
    pub(super) requested: &'a [EmailAddress],
}

impl<'a> Addressing<'a> {
    pub(super) fn of(mail: &'a Mail, requested: &'a [EmailAddress]) -> Self {
        let mut named: Vec<&EmailAddress> = Vec::new();
        let mut open = |list: &'a [Mailbox]| {
            let mut chosen = Vec::new();
            for mailbox in list {
                let fits = named.len() < MOST && requested.contains(&mailbox.address);
                if fits && !named.contains(&&mailbox.address) {
                    named.push(&mailbox.address);
                    chosen.push(mailbox);
                }
            }
            chosen
        };
        let (mut to, mut cc, mut bcc) = (open(&mail.to), open(&mail.cc), open(&mail.bcc));
        if to.is_empty() {
            to = std::mem::take(&mut cc);
        }
        if to.is_empty() {
            bcc.truncate(1);
            to = std::mem::take(&mut bcc);
        }
        Self { to, cc, bcc, requested }
    }

    /// Whether the request is addressed to this recipient.
    pub(super) fn names(&self, address: &EmailAddress) -> bool {
        self.everybody().any(|mailbox| mailbox.address == *address)
    }

    /// Idempotency key of the request: the job id and the generation. If the request is addressed
    /// to some of the mail's recipients only, a hash of their addresses is appended, since it is a
    /// different mail.
    pub(super) fn key(&self, message: &Message) -> String {
        let job = message.message_id.split('@').next().unwrap_or_default();
        let key = format!("{job}/{}", message.generation);
        if message.envelope.rcpt_to.iter().all(|address| self.names(address)) {
            return key;
        }
        let mut hash = Sha256::new();
        for mailbox in self.everybody() {
            hash.update(mailbox.address.as_str());
            hash.update("\n");
        }
        let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{key}/{hash}")
    }

    fn everybody(&self) -> impl Iterator<Item = &'a Mailbox> {
        self.to.iter().chain(&self.cc).chain(&self.bcc).copied()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(list: &[&Mailbox]) -> Vec<String> {
        list.iter().map(|mailbox| mailbox.address.local().to_owned()).collect()
    }

    #[test]
    fn only_open_recipients_are_named_and_bcc_stays_hidden() {
        let words = |list: &str| -> Vec<String> { list.split_whitespace().map(str::to_owned).collect() };
        let lists = |to, cc, bcc| [to, cc, bcc].map(words);
        for (mail, open, [to, cc, bcc]) in [
            (json!({"to": ["a@x.org", "b@x.org"], "cc": "c@x.org", "bcc": "d@x.org"}), "abcd", lists("a b", "c", "d")),
            (json!({"to": ["a@x.org", "b@x.org"], "cc": "c@x.org", "bcc": "d@x.org"}), "bd", lists("b", "", "d")),
            (json!({"to": "a@x.org", "cc": ["c@x.org", "e@x.org"], "bcc": "d@x.org"}), "ced", lists("c e", "", "d")),
            (json!({"to": "a@x.org", "bcc": ["d@x.org", "e@x.org"]}), "de", lists("d", "", "")),
            (json!({"bcc": ["d@x.org", "e@x.org"]}), "de", lists("d", "", "")),
            (json!({"to": ["a@x.org", "A <a@x.org>"], "bcc": "a@x.org"}), "a", lists("a", "", "")),
        ] {
            let mail: Mail = serde_json::from_value(mail).expect("a mail");
            let requested: Vec<EmailAddress> =
                open.chars().map(|local| format!("{local}@x.org").parse().expect("an address")).collect();
            let addressing = Addressing::of(&mail, &requested);
            assert_eq!([shown(&addressing.to), shown(&addressing.cc), shown(&addressing.bcc)], [to, cc, bcc], "{open}");
        }
    }

    #[test]
    fn a_request_has_at_most_fifty_recipients() {
        let many: Vec<String> = (0..60).map(|n| format!("u{n}@x.org")).collect();
        let mail: Mail = serde_json::from_value(json!({"to": many})).expect("a mail");
        let requested: Vec<EmailAddress> = mail.recipients().into_iter().cloned().collect();
        let first = Addressing::of(&mail, &requested);
        assert_eq!((first.to.len(), first.names(&requested[49]), first.names(&requested[50])), (50, true, false));
    }
}
