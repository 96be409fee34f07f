//! Upper bounds of the fields of a mail. A mail beyond one is refused before it is stored.

use std::fmt;

use crate::InvalidInput;

/// Octets of a subject before encoding, including one that a template renders.
pub const SUBJECT: usize = 998;
/// Octets of an additional header's value, before encoding.
pub const HEADER_VALUE: usize = 998;
/// Octets of a word in a structured header, which can't be folded. A line has at most 998 octets
/// (RFC 5322 §2.1.1), and begins with a blank.
pub const HEADER_WORD: usize = 997;
/// Octets of a header's name. It shares a line with the first word of the value.
pub const HEADER_NAME: usize = 76;
/// Number of additional headers.
pub const HEADERS: usize = 100;
/// Octets of a name: display name, file name, MIME type, content id, template, batch or idempotency
/// key.
pub const NAME: usize = 255;
/// Number of recipients in to, cc and bcc together.
pub const RECIPIENTS: usize = 1_000;
/// Number of addresses in Reply-To.
pub const REPLY_TO: usize = 100;
/// Number of attachments.
pub const ATTACHMENTS: usize = 200;
/// Levels of lists and objects within a variable. Many JSON parsers stop at about 128.
pub const VARIABLE_DEPTH: usize = 100;
/// Octets of all variables together.
pub const VARIABLES: usize = 16 << 20;

/// Checks a name: one line of at most [`NAME`] octets, without control characters.
///
/// # Errors
///
/// Returns an error about `field`. `what` is the subject of its message.
pub fn check_name(field: &str, what: &str, name: &str) -> Result<(), InvalidInput> {
    check_octets(field, what, name, NAME)?;
    if name.chars().any(char::is_control) {
        return Err(InvalidInput::new(
            field,
            format!("{what} {} contains a line break or control character; it may be one line", quoted(name)),
        ));
    }
    Ok(())
}

/// Checks a length in octets.
pub(crate) fn check_octets(field: &str, what: impl fmt::Display, text: &str, limit: usize) -> Result<(), InvalidInput> {
    if text.len() <= limit {
        return Ok(());
    }
    Err(InvalidInput::new(field, format!("{what} {} has {} octets; it may have {limit}", quoted(text), text.len())))
}

/// Checks a number of items.
pub(crate) fn check_number(field: &str, what: &str, number: usize, limit: usize) -> Result<(), InvalidInput> {
    if number <= limit {
        return Ok(());
    }
    Err(InvalidInput::new(field, format!("the mail has {number} {what}; it may have {limit}")))
}

/// Quotes a text for an error message: escaped, and shortened if it is long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}
