//! The rows of a bulk: from a CSV, JSON lines or addresses on the command line to mails, one after the other.

mod csv;
#[cfg(test)]
mod fuzz;
mod input;
mod jsonl;
mod lines;
mod records;
mod seen;
mod sieve;

use postroom_core::{InvalidInput, Mail, Mailbox};

pub(crate) use self::{
    input::{Input, Place, Source},
    jsonl::Kind as JsonKind,
    sieve::Sieve,
};

/// A row that is a mail: what is its own, beside what all share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) line: u64,
    pub(crate) mail: Mail,
}

/// What can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// One row; the next may be sound.
    Row {
        /// Where.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// The input itself.
    Input(InvalidInput),
}

/// Rows as they come.
pub(crate) type Rows = Box<dyn Iterator<Item = Result<Row, Unreadable>>>;

/// The columns or keys that hold the address.
const ADDRESS: [&str; 2] = ["to", "email"];

fn is_address(name: &str) -> bool {
    ADDRESS.iter().any(|own| name.eq_ignore_ascii_case(own))
}

fn of_addresses(addresses: &[Mailbox]) -> Rows {
    let mail = |address: &Mailbox| Mail { to: vec![address.clone()], ..Mail::default() };
    let mails: Vec<Mail> = addresses.iter().map(mail).collect();
    Box::new((1..).zip(mails).map(|(line, mail)| Ok(Row { line, mail })))
}
