//! A row of a bulk, whatever its source.

use postroom_core::{InvalidInput, Mail, Mailbox};
use serde_json::{Map, Value};

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

/// Columns that are fields of the mail, as in its JSON form.
const MAIL_FIELDS: [&str; 7] = ["from", "envelope_from", "cc", "bcc", "reply_to", "subject", "locale"];
/// Further keys of JSON lines that are fields of the mail.
const JSON_FIELDS: [&str; 2] = ["headers", "attachments"];

/// Returns true if a column of this name is a field of the mail. Other spellings are variables.
pub(super) fn is_mail_field(name: &str) -> bool {
    MAIL_FIELDS.contains(&name)
}

/// Moves the fields of the mail out of the keys of an object.
pub(super) fn take_mail_fields(keys: &mut Map<String, Value>) -> Map<String, Value> {
    let names = MAIL_FIELDS.iter().chain(&JSON_FIELDS);
    names.filter_map(|name| keys.remove_entry(*name)).collect()
}

/// Returns one row for each address; the line is the address's position.
pub(super) fn from_addresses(addresses: &[Mailbox]) -> Rows {
    let mail = |address: &Mailbox| Mail { to: vec![address.clone()], ..Mail::default() };
    let mails: Vec<Mail> = addresses.iter().map(mail).collect();
    Box::new((1..).zip(mails).map(|(line, mail)| Ok(BulkRow { line, mail })))
}
