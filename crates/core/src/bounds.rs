//! Upper bounds of what a mail may hold. A mail beyond one is refused before it is stored; README lists them.

use crate::InvalidInput;

/// Octets of a subject, before it is encoded; also of one that a template makes.
pub const SUBJECT: usize = 998;
/// Octets of the value of one of the mail's own headers, before it is encoded.
pub const HEADER_VALUE: usize = 998;
/// Octets of a header's name, which stands in one line with the first word of its value.
pub const HEADER_NAME: usize = 76;
/// Number of the mail's own headers.
pub const HEADERS: usize = 100;
/// Octets of a name: a display name, a file name, a MIME type, a content id, a template's or a batch's name, a key.
pub const NAME: usize = 255;
/// Number of recipients: to, cc and bcc together.
pub const RECIPIENTS: usize = 1_000;
/// Number of addresses in Reply-To.
pub const REPLY_TO: usize = 100;
/// Number of attachments.
pub const ATTACHMENTS: usize = 200;
/// Levels of lists and objects within a variable. JSON parsers, those of other languages too, stop at about 128.
pub const VARIABLE_DEPTH: usize = 100;
/// Octets of all variables together.
pub const VARIABLES: usize = 16 << 20;

/// Checks a name: one line of at most [`NAME`] octets, without control characters.
///
/// # Errors
///
/// `field`, with `what` as the subject of the sentence.
pub fn check_name(field: &str, what: &str, name: &str) -> Result<(), InvalidInput> {
    check_octets(field, what, name, NAME)?;
    if name.chars().any(char::is_control) {
        return Err(InvalidInput::new(
            field,
            format!("{what} {} holds a line break or control character; it may be one line", quoted(name)),
        ));
    }
    Ok(())
}

/// Checks a length in octets.
pub(crate) fn check_octets(field: &str, what: &str, text: &str, limit: usize) -> Result<(), InvalidInput> {
    if text.len() <= limit {
        return Ok(());
    }
    Err(InvalidInput::new(field, format!("{what} {} has {} octets; it may have {limit}", quoted(text), text.len())))
}

/// Checks how many there are of something.
pub(crate) fn check_number(field: &str, what: &str, number: usize, limit: usize) -> Result<(), InvalidInput> {
    if number <= limit {
        return Ok(());
    }
    Err(InvalidInput::new(field, format!("the mail has {number} {what}; it may have {limit}")))
}

/// A text in an error message: escaped, and cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}
