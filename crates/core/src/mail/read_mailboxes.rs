//! Reads addresses from JSON: texts, objects, and lists of them.

use serde_json::{Map, Value};

use crate::{
    InvalidInput, Mailbox, MailboxList,
    bounds::check_name,
    json::{Field, is_absent, missing, read_fields, read_text, wrong_form},
};

const MAY_BE: &str = "an address, such as \"Ann <ann@example.org>\" or {\"name\": \"Ann\", \"email\": \
                      \"ann@example.org\"}";

const MAILBOX: [Field; 2] = [
    Field { name: "email", others: &["address"], hints: &["mail", "to"], read: read_text },
    Field { name: "name", others: &[], hints: &["displayname", "fullname"], read: read_text },
];

/// Reads addresses from JSON: a text, an object with name and address, or a list of them. A value
/// that is absent has none. `path` is its place in the input, such as `to`.
///
/// # Errors
///
/// Returns the first entry that is not an address.
pub fn mailboxes_from_json(path: &str, value: Value) -> Result<Vec<Mailbox>, InvalidInput> {
    let Value::Array(items) = value else { return entry(path, value) };
    let mut all = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let path = format!("{path}[{at}]");
        match item {
            Value::Array(_) => return Err(wrong_form(&path, &item, MAY_BE)),
            item => all.extend(entry(&path, item)?),
        }
    }
    Ok(all)
}

/// Reads the addresses of one text or object.
fn entry(path: &str, value: Value) -> Result<Vec<Mailbox>, InvalidInput> {
    match value {
        absent if is_absent(&absent) => Ok(Vec::new()),
        Value::String(text) => {
            text.parse().map(|list: MailboxList| list.0).map_err(|error: InvalidInput| error.at(path))
        }
        Value::Object(object) => Ok(named(path, object)?.into_iter().collect()),
        other => Err(wrong_form(path, &other, MAY_BE)),
    }
}

/// Reads an address with its name; an object without both is absent.
fn named(path: &str, object: Map<String, Value>) -> Result<Option<Mailbox>, InvalidInput> {
    let mut fields = read_fields(path, object, &MAILBOX)?;
    let (address, name) = (fields.remove("email"), fields.remove("name"));
    let Some(address) = address.as_ref().and_then(Value::as_str) else {
        return if name.is_some() {
            Err(missing(path, "email", "an address, such as ann@example.org"))
        } else {
            Ok(None)
        };
    };
    let mailbox: Mailbox = address.parse().map_err(|error: InvalidInput| error.at(format!("{path}.email")))?;
    let Some(Value::String(name)) = name else { return Ok(Some(mailbox)) };
    check_name(&format!("{path}.name"), "the name", &name)?;
    Ok(Some(Mailbox { name: Some(name), ..mailbox }))
}
