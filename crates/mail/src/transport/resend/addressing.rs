//! Whom one request names. Resend has no envelope: who is named gets the mail, and sees who else is in `to` and `cc`.

use postroom_core::{EmailAddress, Mail, Mailbox};
use sha2::{Digest, Sha256};

use crate::Message;

/// So many recipients are taken in one request.
const MOST: usize = 50;

/// The recipients of one request, and those who are left for the next.
///
/// Only those who are still open are named, so a try that goes to some of a mail's recipients does not show the others. `to`
/// may not be empty: without anybody there those in `cc` move up, who see each other anyway; of those in `bcc` only one, and
/// the others get a request of their own.
#[derive(Debug, PartialEq)]
pub(super) struct Addressing<'a> {
    pub(super) to: Vec<&'a Mailbox>,
    pub(super) cc: Vec<&'a Mailbox>,
    pub(super) bcc: Vec<&'a Mailbox>,
    /// Everybody it was asked for, in the mail's order.
    pub(super) asked: &'a [EmailAddress],
}

impl<'a> Addressing<'a> {
    pub(super) fn of(mail: &'a Mail, asked: &'a [EmailAddress]) -> Self {
        let mut named: Vec<&EmailAddress> = Vec::new();
        let mut open = |list: &'a [Mailbox]| {
            let mut chosen = Vec::new();
            for mailbox in list {
                let fits = named.len() < MOST && asked.contains(&mailbox.address);
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
        Self { to, cc, bcc, asked }
    }

    /// Whether this request goes to that address.
    pub(super) fn names(&self, address: &EmailAddress) -> bool {
        self.everybody().any(|mailbox| mailbox.address == *address)
    }

    /// What the provider knows the request by: the job and how often a person had it sent again; where it does not go to all
    /// of the mail's recipients, also to whom it goes, for it is another mail then.
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
    fn only_the_open_are_named_and_the_hidden_stay_hidden() {
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
            let asked: Vec<EmailAddress> =
                open.chars().map(|local| format!("{local}@x.org").parse().expect("an address")).collect();
            let addressing = Addressing::of(&mail, &asked);
            assert_eq!([shown(&addressing.to), shown(&addressing.cc), shown(&addressing.bcc)], [to, cc, bcc], "{open}");
        }
    }

    #[test]
    fn no_more_than_the_provider_takes() {
        let many: Vec<String> = (0..60).map(|n| format!("u{n}@x.org")).collect();
        let mail: Mail = serde_json::from_value(json!({"to": many})).expect("a mail");
        let asked: Vec<EmailAddress> = mail.recipients().into_iter().cloned().collect();
        let first = Addressing::of(&mail, &asked);
        assert_eq!((first.to.len(), first.names(&asked[49]), first.names(&asked[50])), (50, true, false));
    }
}
