//! Validation of the body of a send request.

use super::ledger::address_of;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

/// Name and message of the error for an invalid body.
pub(super) type ValidationError = (&'static str, String);

const FIELDS: [&str; 12] = [
    "from",
    "to",
    "cc",
    "bcc",
    "reply_to",
    "subject",
    "html",
    "text",
    "headers",
    "attachments",
    "tags",
    "scheduled_at",
];
const FILE_FIELDS: [&str; 5] = ["filename", "content", "path", "content_type", "content_id"];

/// Maximum number of recipients of a mail.
const MAX_RECIPIENTS: usize = 50;

/// Validates the body of a request.
pub(super) fn check(body: &Value) -> Result<(), ValidationError> {
    let fields = body.as_object().ok_or_else(|| invalid("the body is no object"))?;
    known(fields, &FIELDS)?;
    for field in ["from", "to", "subject"] {
        present(fields, field)?;
    }
    if !["html", "text"].iter().any(|field| fields.get(*field).is_some_and(Value::is_string)) {
        return Err(("missing_required_field", "Missing `html` or `text` field.".to_owned()));
    }
    if !is_mailbox(&fields["from"]) {
        return Err(("invalid_from_address", "Invalid `from` field.".to_owned()));
    }
    let lists = ["to", "cc", "bcc", "reply_to"].into_iter().map(|field| mailboxes(fields, field));
    let counts = lists.collect::<Result<Vec<usize>, _>>()?;
    if counts[0] == 0 || counts[..3].iter().sum::<usize>() > MAX_RECIPIENTS {
        return Err(invalid("The `to` field must have 1 to 50 addresses."));
    }
    texts(fields.get("headers"))?;
    let files = fields.get("attachments").and_then(Value::as_array).cloned().unwrap_or_default();
    files.iter().try_for_each(file)
}

fn invalid(message: &str) -> ValidationError {
    ("validation_error", message.to_owned())
}

fn known(fields: &Map<String, Value>, known: &[&str]) -> Result<(), ValidationError> {
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(field) => Err(invalid(&format!("Unknown field `{field}`."))),
        None => Ok(()),
    }
}

fn present(fields: &Map<String, Value>, field: &str) -> Result<(), ValidationError> {
    match fields.get(field) {
        Some(_) => Ok(()),
        None => Err(("missing_required_field", format!("Missing `{field}` field."))),
    }
}

/// Validates a list of mailboxes and returns its length.
fn mailboxes(fields: &Map<String, Value>, field: &str) -> Result<usize, ValidationError> {
    let Some(list) = fields.get(field) else { return Ok(0) };
    let list = list.as_array().ok_or_else(|| invalid(&format!("The `{field}` field must be an array.")))?;
    match list.iter().all(is_mailbox) {
        true => Ok(list.len()),
        false => Err(invalid(&format!("Invalid `{field}` field. The email address needs to follow the format."))),
    }
}

fn is_mailbox(value: &Value) -> bool {
    value.as_str().map(address_of).is_some_and(|address| {
        address.is_ascii()
            && address.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
    })
}

fn texts(headers: Option<&Value>) -> Result<(), ValidationError> {
    match headers.map(Value::as_object) {
        None => Ok(()),
        Some(Some(headers)) if headers.values().all(Value::is_string) => Ok(()),
        Some(_) => Err(invalid("The `headers` field must be an object of strings.")),
    }
}

fn file(file: &Value) -> Result<(), ValidationError> {
    let fields = file.as_object().ok_or_else(|| invalid("An attachment must be an object."))?;
    known(fields, &FILE_FIELDS)?;
    let content = fields.get("content").and_then(Value::as_str).and_then(|content| STANDARD.decode(content).ok());
    let named = fields.get("filename").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    if content.is_some() && named {
        return Ok(());
    }
    Err(("invalid_attachment", "Attachment must have either a `content` or `path`.".to_owned()))
}
