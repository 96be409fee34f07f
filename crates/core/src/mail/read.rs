//! Reads a mail from JSON as other programs write it.

use serde_json::{Map, Value};

use super::{Attachment, Mail, file_content, read_mailboxes::mailboxes_from_json};
use crate::{
    Body, EnvelopePattern, InvalidInput,
    json::{Field, is_absent, missing, parse_object, read_fields, read_text, wrong_form},
};

const FIELDS: [Field; 14] = [
    Field { name: "from", others: &[], hints: &["sender", "fromemail", "mailfrom"], read: one_mailbox },
    Field { name: "envelope_from", others: &[], hints: &["returnpath", "bounceto"], read: envelope_sender },
    Field { name: "to", others: &[], hints: &["email", "address", "recipient", "recipients"], read: mailboxes },
    Field { name: "cc", others: &[], hints: &[], read: mailboxes },
    Field { name: "bcc", others: &[], hints: &[], read: mailboxes },
    Field { name: "reply_to", others: &[], hints: &["replytos", "replytoaddresses"], read: mailboxes },
    Field { name: "headers", others: &[], hints: &["customheaders"], read: headers },
    Field { name: "subject", others: &[], hints: &["title"], read: read_text },
    Field { name: "text", others: &["textbody"], hints: &["body", "message", "plain", "plaintext"], read: body },
    Field { name: "html", others: &["htmlbody"], hints: &["htmlcontent"], read: body },
    Field { name: "template", others: &[], hints: &["templateid", "templatename"], read: read_text },
    Field {
        name: "vars",
        others: &["variables"],
        hints: &["data", "context", "params", "substitutions", "templatedata", "templatemodel", "dynamictemplatedata"],
        read: object,
    },
    Field { name: "locale", others: &[], hints: &["language", "lang"], read: read_text },
    Field { name: "attachments", others: &[], hints: &["files"], read: attachments },
];

const ATTACHMENT: [Field; 5] = [
    Field { name: "filename", others: &["name"], hints: &[], read: read_text },
    Field { name: "content_type", others: &["type", "mimetype"], hints: &["mime"], read: read_text },
    Field {
        name: "content_id",
        others: &["cid"],
        hints: &["id", "disposition", "contentdisposition"],
        read: read_text,
    },
    Field { name: "content", others: &[], hints: &["data", "path", "href", "url", "base64content"], read: any },
    Field { name: "encoding", others: &[], hints: &["contenttransferencoding"], read: read_text },
];

impl Mail {
    /// Reads a mail from the JSON that a program wrote. Beside the stored form it understands:
    ///
    /// - null, `""` and `[""]` for a field that is absent;
    /// - an address as `"Ann <ann@example.org>"` or `{"name", "email"}`, and lists of them;
    /// - the names of fields in any letter case, with or without underscores and hyphens;
    /// - the content of an attachment as base64 with line breaks, without padding or with the
    ///   alphabet of URLs, as a `data:` URL, as a buffer of Node.js, or as text with
    ///   `"encoding": "utf8"`.
    ///
    /// # Errors
    ///
    /// Returns the first field that is invalid, with its path, such as `attachments[1].content`. An
    /// error about a text that is not JSON names the line and the character.
    pub fn from_json(text: &[u8]) -> Result<Self, InvalidInput> {
        Self::from_json_at(text, 1)
    }

    /// Reads a mail as [`Mail::from_json`] does, from a text that begins at this line of its file.
    ///
    /// # Errors
    ///
    /// Returns the first field that is invalid.
    pub fn from_json_at(text: &[u8], first_line: u64) -> Result<Self, InvalidInput> {
        // The stored form is parsed directly, which takes a third of the time.
        if text.trim_ascii_start().starts_with(b"{")
            && let Ok(mail) = serde_json::from_slice::<Self>(text)
            && mail.has_stored_form()
        {
            return Ok(mail);
        }
        Self::from_json_object(parse_object(text, first_line)?)
    }

    /// Reads a mail as [`Mail::from_json`] does, from an object that was parsed already.
    ///
    /// # Errors
    ///
    /// Returns the first field that is invalid.
    pub fn from_json_object(object: Map<String, Value>) -> Result<Self, InvalidInput> {
        let mut form = read_fields("", object, &FIELDS)?;
        drop_empty_bodies(&mut form);
        let unreadable =
            |error: serde_json::Error| InvalidInput::new("JSON", format!("the mail can't be read: {error}"));
        serde_json::from_value(Value::Object(form)).map_err(unreadable)
    }

    /// Whether the mail was parsed from its stored form, without empty values and hashes.
    fn has_stored_form(&self) -> bool {
        let is_text = |text: &Option<String>| text.as_deref().is_none_or(|text| !text.trim().is_empty());
        let is_body = |body: &Option<Body>| body.as_ref().is_none_or(|body| body.is_inline() && !body.is_empty());
        let is_file = |file: &Attachment| {
            file.content.is_inline()
                && !file.filename.trim().is_empty()
                && is_text(&file.content_type)
                && is_text(&file.content_id)
        };
        [&self.subject, &self.template, &self.locale].into_iter().all(is_text)
            && [&self.text, &self.html].into_iter().all(is_body)
            && self.headers.values().all(Value::is_string)
            && self.attachments.iter().all(is_file)
    }
}

/// Removes an empty text or HTML if the mail has other content. A mail with no other content has an
/// empty body.
fn drop_empty_bodies(form: &mut Map<String, Value>) {
    for (name, others) in [("html", ["text", "template"]), ("text", ["html", "template"])] {
        let is_empty = form.get(name).is_some_and(|body| body == "");
        if is_empty && others.iter().any(|other| form.contains_key(*other)) {
            form.remove(name);
        }
    }
}

fn mailboxes(path: &str, value: Value) -> Result<Option<Value>, InvalidInput> {
    let all: Vec<Value> = mailboxes_from_json(path, value)?.iter().map(|mailbox| mailbox.to_string().into()).collect();
    Ok((!all.is_empty()).then_some(Value::Array(all)))
}

fn one_mailbox(path: &str, value: Value) -> Result<Option<Value>, InvalidInput> {
    let all = mailboxes_from_json(path, value)?;
    match &all[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.to_string().into())),
        more => Err(InvalidInput::new(path, format!("it has {} addresses; it may have one", more.len()))),
    }
}

fn envelope_sender(path: &str, value: Value) -> Result<Option<Value>, InvalidInput> {
    let Some(Value::String(text)) = read_text(path, value)? else { return Ok(None) };
    let sender: EnvelopePattern = text.parse().map_err(|error: InvalidInput| error.at(path))?;
    Ok(Some(sender.to_string().into()))
}

/// Reads a body, which may be empty.
fn body(path: &str, value: Value) -> Result<Option<Value>, InvalidInput> {
    if value.is_string() { Ok(Some(value)) } else { read_text(path, value) }
}

/// Reads an object. PHP writes an empty one as an empty list.
fn object(path: &str, value: Value) -> Result<Option<Value>, InvalidInput> {
    match value {
        Value::Object(object) => Ok(Some(Value::Object(object))),
        absent if is_absent(&absent) => Ok(None),
        other => Err(wrong_form(path, &other, "an object, such as {\"name\": \"Ann\"}")),
    }
}

fn headers(path: &str, value: Value) -> Result<Option<Value>, InvalidInput> {
    let Some(Value::Object(object)) = object(path, value)? else { return Ok(None) };
    let mut read = Map::new();
    for (name, value) in object {
        // An empty header of a row removes that of its batch.
        let value = if value == "" { Some(value) } else { read_text(&format!("{path}.{name}"), value)? };
        read.extend(value.map(|value| (name, value)));
    }
    Ok(Some(Value::Object(read)))
}

fn any(_: &str, value: Value) -> Result<Option<Value>, InvalidInput> {
    Ok((!value.is_null()).then_some(value))
}

fn attachments(path: &str, value: Value) -> Result<Option<Value>, InvalidInput> {
    let files: Vec<Value> = match value {
        Value::Array(items) => {
            let items = items.into_iter().enumerate().filter(|(_, item)| !is_absent(item));
            items.map(|(at, item)| attachment(&format!("{path}[{at}]"), item)).collect::<Result<_, _>>()?
        }
        absent if is_absent(&absent) => Vec::new(),
        one => vec![attachment(path, one)?],
    };
    Ok((!files.is_empty()).then_some(Value::Array(files)))
}

fn attachment(path: &str, value: Value) -> Result<Value, InvalidInput> {
    let Value::Object(object) = value else {
        let may_be = "an object, such as {\"filename\": \"a.pdf\", \"content\": \"base64 of the file\"}";
        return Err(wrong_form(path, &value, may_be));
    };
    let mut file = read_fields(path, object, &ATTACHMENT)?;
    let encoding = file.remove("encoding");
    let form = file_content::Encoding::named(&format!("{path}.encoding"), encoding.as_ref())?;
    let Some(content) = file.remove("content") else { return Err(missing(path, "content", file_content::MAY_BE)) };
    if !file.contains_key("filename") {
        return Err(missing(path, "filename", "the name that the recipient sees, such as report.pdf"));
    }
    let content = form.read(&format!("{path}.content"), content)?;
    if let Some(media_type) = content.media_type
        && !file.contains_key("content_type")
    {
        file.insert("content_type".to_owned(), media_type.into());
    }
    file.insert("content".to_owned(), content.base64.into());
    Ok(Value::Object(file))
}

#[cfg(test)]
mod tests;
