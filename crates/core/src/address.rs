//! E-mail addresses and mailboxes, each in a single normal form, and the parser of all address
//! fields: JSON, CSV, flags and settings.

mod email_address;
mod encoded_word;
mod envelope_sender;
mod from_text;
mod invisible;
mod mailbox;
mod normal;
mod parser;
mod percent;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use self::normal::normal_domain;
pub use self::{
    email_address::EmailAddress,
    envelope_sender::{EnvelopePattern, EnvelopeSender},
    mailbox::{Mailbox, MailboxList},
};
