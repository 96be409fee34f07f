//! A row of a bulk, whatever its source.

use postroom_core::{InvalidInput, Mail, Mailbox};

/// A row that was parsed: the mail without what all rows share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BulkRow {
    /// Line in the input, from 1.
    pub(crate) line: u64,
    pub(crate) mail: Mail,
}

/// Input that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// One invalid row; reading continues with the next one.
    Row {
        /// Line in the input, from 1.
        line: u64,
        /// The problem, for an error message.
        problem: String,
    },
    /// The input itself; reading ends here.
    Input(InvalidInput),
}

/// Rows of an input, in order.
pub(crate) type Rows = Box<dyn Iterator<Item = Result<BulkRow, Unreadable>>>;

/// Names of the column or key that holds the address.
const ADDRESS_NAMES: [&str; 2] = ["to", "email"];

/// Returns true if a column or key of this name holds the address.
pub(super) fn is_address(name: &str) -> bool {
    ADDRESS_NAMES.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// Returns one row for each address; the line is the address's position.
pub(super) fn from_addresses(addresses: &[Mailbox]) -> Rows {
    let mail = |address: &Mailbox| Mail { to: vec![address.clone()], ..Mail::default() };
    let mails: Vec<Mail> = addresses.iter().map(mail).collect();
    Box::new((1..).zip(mails).map(|(line, mail)| Ok(BulkRow { line, mail })))
}
