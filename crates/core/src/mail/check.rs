//! Checks of a mail that need no rendering.
//!
//! The enqueueing application and the worker both call [`Mail::check`]. Composing a mail that
//! passed it can't fail.

use serde_json::{Map, Value};

use super::{Attachment, Mail, MediaType, check_locale, header_fields};
use crate::{
    InvalidInput, Mailbox,
    bounds::{self, check_name, check_number, check_octets, quoted},
};

impl Mail {
    /// Checks everything that needs no rendering: recipients, content, and valid fields within
    /// their [`bounds`].
    ///
    /// # Errors
    ///
    /// Returns the first invalid field, and what it may be.
    pub fn check(&self) -> Result<(), InvalidInput> {
        let recipients = self.named_recipients();
        if recipients == 0 {
            return Err(InvalidInput::new("to", "the mail has no recipient"));
        }
        check_number("to", "recipients in to, cc and bcc", recipients, bounds::RECIPIENTS)?;
        self.check_content()
    }

    /// Checks the mail except for its recipients, for content that each recipient gets in a
    /// separate mail.
    ///
    /// # Errors
    ///
    /// Returns the first invalid field, and what it may be.
    pub fn check_content(&self) -> Result<(), InvalidInput> {
        self.check_bodies()?;
        self.check_parts()
    }

    /// Checks the fields of a mail that may be incomplete, such as the shared part of a batch.
    ///
    /// # Errors
    ///
    /// Returns the first invalid field, and what it may be.
    pub fn check_parts(&self) -> Result<(), InvalidInput> {
        if let Some((name, _)) = self.bodies().find(|(_, body)| !body.is_inline()) {
            let problem = format!("the {name} names a hash without its content; it may be a string");
            return Err(InvalidInput::new(name, problem));
        }
        if let Some(subject) = &self.subject {
            check_subject(subject)?;
        }
        self.check_mailboxes()?;
        self.check_template()?;
        check_number("attachments", "attachments", self.attachments.len(), bounds::ATTACHMENTS)?;
        self.attachments.iter().try_for_each(Attachment::check)?;
        self.check_headers()
    }

    fn check_headers(&self) -> Result<(), InvalidInput> {
        check_number("headers", "additional headers", self.headers.len(), bounds::HEADERS)?;
        for (at, name) in self.headers.keys().enumerate() {
            check_header_name(name)?;
            if let Some(same) = self.headers.keys().take(at).find(|other| other.eq_ignore_ascii_case(name)) {
                let problem = format!("{name} is set twice, as {same} and {name}; case makes no difference");
                return Err(InvalidInput::new("headers", problem));
            }
        }
        header_fields(&self.headers).try_for_each(|field| field.map(|_| ()))
    }

    fn check_bodies(&self) -> Result<(), InvalidInput> {
        let refuse = |field: &str, problem: &str| Err(InvalidInput::new(field, problem));
        match (&self.template, &self.text, &self.html) {
            (Some(_), None, None) => Ok(()),
            (Some(_), _, _) => refuse("template", "a mail has either a template or a text and HTML, not both"),
            (None, None, None) => refuse("text", "the mail has no content; it needs a template, a text or HTML"),
            (None, _, _) if self.subject.is_none() => refuse("subject", "a mail without a template needs a subject"),
            (None, _, _) => Ok(()),
        }
    }

    fn check_mailboxes(&self) -> Result<(), InvalidInput> {
        check_number("reply_to", "addresses in reply_to", self.reply_to.len(), bounds::REPLY_TO)?;
        let lists = [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc), ("reply_to", &self.reply_to)];
        let from = self.from.iter().map(|mailbox| ("from", mailbox));
        let listed = lists.into_iter().flat_map(|(field, list)| list.iter().map(move |mailbox| (field, mailbox)));
        from.chain(listed).try_for_each(|(field, mailbox)| mailbox.check(field))
    }

    fn check_template(&self) -> Result<(), InvalidInput> {
        if let Some(template) = &self.template {
            check_octets("template", "the template's name", template, bounds::NAME)?;
        }
        self.locale.as_deref().map_or(Ok(()), check_locale)?;
        check_vars(&self.vars)
    }
}

impl Mailbox {
    /// Checks that the display name is one line within its bound. The address was checked when it
    /// was parsed.
    ///
    /// # Errors
    ///
    /// Returns an error about `field` if the name is invalid.
    pub fn check(&self, field: &str) -> Result<(), InvalidInput> {
        self.name.as_deref().map_or(Ok(()), |name| check_name(field, "the name", name))
    }
}

fn check_subject(subject: &str) -> Result<(), InvalidInput> {
    if has_break(subject) {
        return Err(InvalidInput::new("subject", "the subject contains a line break; it may be one line"));
    }
    check_octets("subject", "the subject", subject, bounds::SUBJECT)
}

impl Attachment {
    fn check(&self) -> Result<(), InvalidInput> {
        let field = "attachments";
        let refuse = |problem: String| Err(InvalidInput::new(field, problem));
        if self.filename.is_empty() {
            return refuse("an attachment needs a file name".to_owned());
        }
        check_octets(field, "the file name", &self.filename, bounds::NAME)?;
        let shown = quoted(&self.filename);
        if has_break(&self.filename) {
            return refuse(format!("the file name {shown} contains a line break; it may be one line"));
        }
        if matches!(&*self.sent_name(), "" | "." | "..") {
            return refuse(format!("the file name {shown} is empty behind its last / or \\; it may be report.pdf"));
        }
        if let Some(media_type) = &self.content_type {
            check_octets(field, "the MIME type", media_type, bounds::NAME)?;
            if MediaType::parse(media_type).is_none() {
                let found = quoted(media_type);
                return refuse(format!(
                    "the content_type {found} of {shown} is not a MIME type; it may be application/pdf, for example"
                ));
            }
        }
        if let Some(id) = self.bare_content_id() {
            check_octets(field, "the content id", id, bounds::NAME)?;
            if id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>') {
                let shown = quoted(id);
                return refuse(format!("the content id {shown} may contain visible ASCII characters except < and >"));
            }
        }
        if !self.content.is_inline() {
            return refuse(format!("the attachment {} names a hash without its content", self.filename));
        }
        self.check_calendar()
    }

    /// Returns the content id without angle brackets, as the HTML refers to it after `cid:`.
    #[must_use]
    pub fn bare_content_id(&self) -> Option<&str> {
        self.content_id.as_deref().map(|id| id.trim().trim_start_matches('<').trim_end_matches('>'))
    }
}

/// Headers that Postroom writes itself, each with its source.
const OWN_HEADERS: [(&str, &str); 13] = [
    ("from", "from"),
    ("to", "to"),
    ("cc", "cc"),
    ("bcc", "bcc"),
    ("reply-to", "reply_to"),
    ("subject", "subject"),
    ("date", "the first attempt"),
    ("message-id", "the job's id"),
    ("mime-version", "the content"),
    ("content-type", "the content"),
    ("content-transfer-encoding", "the content"),
    ("resent-bcc", "bcc"),
    ("return-path", "the next server"),
];

/// Checks the name of an additional header.
///
/// # Errors
///
/// Returns an error if it is no header name, or one that Postroom writes itself.
pub fn check_header_name(name: &str) -> Result<(), InvalidInput> {
    let refuse = |why: String| Err(InvalidInput::new("headers", why));
    check_octets("headers", "the header name", name, bounds::HEADER_NAME)?;
    // RFC 5322, 3.6.8: printable ASCII without the colon.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return refuse(format!("{name:?} is not a header name; it may contain letters, digits and -"));
    }
    match OWN_HEADERS.iter().find(|(own, _)| name.eq_ignore_ascii_case(own)) {
        Some((_, source)) => refuse(format!("{name} can't be set as a header; its source is {source}")),
        None => Ok(()),
    }
}

fn has_break(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0'))
}

fn check_vars(vars: &Map<String, Value>) -> Result<(), InvalidInput> {
    let too_deep = |name: &str| {
        let limit = bounds::VARIABLE_DEPTH;
        InvalidInput::new("vars", format!("the variable {} is nested deeper than {limit} levels", quoted(name)))
    };
    let mut octets = 0;
    for (name, value) in vars {
        octets += name.len() + octets_of(value, bounds::VARIABLE_DEPTH).ok_or_else(|| too_deep(name))?;
    }
    if octets <= bounds::VARIABLES {
        return Ok(());
    }
    let limit = bounds::VARIABLES;
    Err(InvalidInput::new("vars", format!("the variables have about {octets} octets; they may have {limit}")))
}

/// Approximate size of a value in octets; `None` if it is nested deeper than `levels`.
fn octets_of(value: &Value, levels: usize) -> Option<usize> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(8),
        Value::String(text) => Some(text.len()),
        Value::Array(items) => {
            let levels = levels.checked_sub(1)?;
            items.iter().try_fold(0, |sum, item| Some(sum + 1 + octets_of(item, levels)?))
        }
        Value::Object(fields) => {
            let levels = levels.checked_sub(1)?;
            fields.iter().try_fold(0, |sum, (name, item)| Some(sum + name.len() + octets_of(item, levels)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mail(value: Value) -> Mail {
        serde_json::from_value(value).expect("a mail")
    }

    fn changed(change: &Value) -> Mail {
        let mut value = json!({"to": "a@example.org", "subject": "s", "text": "t"});
        value.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        mail(value)
    }

    #[track_caller]
    fn refused(change: &Value, field: &str) -> String {
        let error = changed(change).check().expect_err(&change.to_string());
        assert_eq!(error.field, field, "{change}: {error}");
        error.problem
    }

    #[test]
    fn invalid_fields_are_refused() {
        assert_eq!(changed(&json!({})).check(), Ok(()));
        for (change, field) in [
            (json!({"to": []}), "to"),
            (json!({"subject": "a\nb"}), "subject"),
            (json!({"subject": null}), "subject"),
            (json!({"text": null}), "text"),
            (json!({"template": "x"}), "template"),
            (json!({"headers": {"X-A": "b\r\nBcc: c"}}), "headers"),
            (json!({"headers": {"X A": "b"}}), "headers"),
            (json!({"headers": {"": "b"}}), "headers"),
            (json!({"headers": {"Subject": "b"}}), "headers"),
            (json!({"headers": {"X-A": 1}}), "headers"),
            (json!({"headers": {"X-Foo": "a", "x-foo": "b"}}), "headers"),
            (json!({"headers": {"Resent-Bcc": "a@example.org"}}), "headers"),
            (json!({"headers": {"Precedence": "ü"}}), "headers"),
            (json!({"headers": {"List-Unsubscribe": "<u@example.org>"}}), "headers"),
            (json!({"attachments": [{"filename": "", "content": ""}]}), "attachments"),
            (json!({"attachments": [{"filename": "a\r\nb", "content": ""}]}), "attachments"),
            (json!({"attachments": [{"filename": "a/", "content": ""}]}), "attachments"),
            (json!({"attachments": [{"filename": "..", "content": ""}]}), "attachments"),
            (json!({"attachments": [{"filename": "\u{200b}", "content": ""}]}), "attachments"),
            (json!({"attachments": [{"filename": "a", "content_type": "text/", "content": ""}]}), "attachments"),
            (json!({"attachments": [{"filename": "a", "content_type": "nonsense", "content": ""}]}), "attachments"),
            (json!({"attachments": [{"filename": "a", "content_id": "x> y", "content": ""}]}), "attachments"),
            (json!({"attachments": [{"filename": "a", "content_id": "<>", "content": ""}]}), "attachments"),
        ] {
            refused(&change, field);
        }
    }

    #[test]
    fn each_bound_is_enforced_and_reported() {
        let text = |octets: usize| "ż".repeat(octets / 2) + &"a".repeat(octets % 2);
        let file = |key: &str, value: String| {
            let mut file = json!({"filename": "a", "content": ""});
            file[key] = json!(value);
            json!({"attachments": [file]})
        };
        let many = |number: usize| (0..number).map(|n| format!("a{n}@example.org")).collect::<Vec<_>>();
        let headers = |number: usize| (0..number).map(|n| (format!("X-{n}"), json!("v"))).collect::<Map<_, _>>();
        let deep = |levels: usize| (0..levels).fold(json!("x"), |inner, _| json!([inner]));
        type Make<'a> = Box<dyn Fn(usize) -> Value + 'a>;
        let cases: [(&str, usize, Make<'_>); 12] = [
            ("subject", bounds::SUBJECT, Box::new(|n| json!({"subject": text(n)}))),
            ("headers", bounds::HEADER_VALUE, Box::new(|n| json!({"headers": {"X-A": text(n)}}))),
            ("headers", bounds::HEADER_NAME, Box::new(|n| json!({"headers": {"X".repeat(n): "v"}}))),
            ("headers", bounds::HEADERS, Box::new(|n| json!({"headers": headers(n)}))),
            ("to", bounds::RECIPIENTS, Box::new(|n| json!({"to": [], "cc": many(n - 1), "bcc": "b@example.org"}))),
            ("reply_to", bounds::REPLY_TO, Box::new(|n| json!({"reply_to": many(n)}))),
            ("attachments", bounds::NAME, Box::new(|n| file("filename", text(n)))),
            ("attachments", bounds::NAME, Box::new(|n| file("content_type", "a/".to_owned() + &"b".repeat(n - 2)))),
            ("attachments", bounds::NAME, Box::new(|n| file("content_id", "a".repeat(n)))),
            (
                "attachments",
                bounds::ATTACHMENTS,
                Box::new(|n| json!({"attachments": vec![json!({"filename": "a", "content": ""}); n]})),
            ),
            ("vars", bounds::VARIABLE_DEPTH, Box::new(|n| json!({"vars": {"list": deep(n)}}))),
            ("vars", bounds::VARIABLES, Box::new(|n| json!({"vars": {"a": "x".repeat(n - 1)}}))),
        ];
        for (field, limit, make) in &cases {
            assert_eq!(changed(&make(*limit)).check(), Ok(()), "{field}, {limit}");
            let problem = refused(&make(limit + 1), field);
            assert!(problem.contains(&limit.to_string()), "{problem}");
        }
    }

    #[test]
    fn a_display_name_that_was_never_parsed_is_checked() {
        for name in ["a\r\nBcc: evil@example.org", "a\u{1}", "a\u{85}b", &"a".repeat(bounds::NAME + 1)] {
            for field in ["from", "to", "reply_to"] {
                let mut mail = changed(&json!({"from": "f@example.org", "reply_to": "r@example.org"}));
                let list = match field {
                    "to" => &mut mail.to,
                    _ => &mut mail.reply_to,
                };
                let mailbox = if field == "from" { mail.from.as_mut() } else { list.first_mut() };
                mailbox.expect("a mailbox").name = Some(name.to_owned());
                assert_eq!(mail.check().expect_err(name).field, field);
            }
        }
    }

    #[test]
    fn a_long_value_is_cut_in_its_error() {
        let problem = refused(&json!({"subject": "x".repeat(10_000)}), "subject");
        assert!(problem.len() < 200 && problem.contains("10000"), "{problem}");
    }

    #[test]
    fn each_of_many_recipients_is_listed_once() {
        let to: Vec<String> = (0..200_000).map(|n| format!("a{}@example.org", n % 100_000)).collect();
        let mail = changed(&json!({"to": to}));
        let recipients = mail.recipients();
        assert_eq!((recipients.len(), recipients[99_999].as_str()), (100_000, "a99999@example.org"));
    }
}
