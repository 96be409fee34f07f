//! One mail, as an application hands it over.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{Body, Content, ContentHash, InvalidInput, Mailbox};

/// A mail, or the part of it that a batch's mails share. Rendering and MIME come later, in the worker.
///
/// Its JSON form is the protocol's and that of the lines of a JSON lines file: a mailbox is a
/// string such as `"Ann <ann@example.org>"`, a list may be a single string, empty fields are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// Who it is from; the sender that the worker is configured with when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Mailbox>,
    /// Who it is for.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub to: Vec<Mailbox>,
    /// Who gets a copy.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub cc: Vec<Mailbox>,
    /// Who gets a copy without the others seeing it.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub bcc: Vec<Mailbox>,
    /// Where replies go.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub reply_to: Vec<Mailbox>,
    /// Further headers, name and value.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub headers: Map<String, Value>,
    /// The subject; with a template, in place of the template's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The body as plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Body>,
    /// The body as HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<Body>,
    /// The name of a template, in place of text and HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The template's variables.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub vars: Map<String, Value>,
    /// The template's language, as in `pl-PL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// A file in a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// The name that the recipient sees.
    pub filename: String,
    /// Its MIME type; guessed from the name when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
    /// For an image that the HTML shows by `cid:`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_id: Option<String>,
    /// The bytes; base64 in JSON.
    pub content: Content,
}

impl Mail {
    /// Everybody who gets it: to, cc and bcc, each address once.
    #[must_use]
    pub fn recipients(&self) -> Vec<&crate::EmailAddress> {
        let mut seen = Vec::new();
        for mailbox in self.to.iter().chain(&self.cc).chain(&self.bcc) {
            if !seen.contains(&&mailbox.address) {
                seen.push(&mailbox.address);
            }
        }
        seen
    }

    /// How many bytes its bodies and attachments have.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        let bodies: usize = self.bodies().map(|(_, body)| body.size()).sum();
        let files: usize = self.attachments.iter().map(|file| file.content.size()).sum();
        bodies + files
    }

    /// This mail laid over what its batch shares: its own fields win, variables and headers one by one.
    #[must_use]
    pub fn over(self, shared: &Self) -> Self {
        fn list<T: Clone>(own: Vec<T>, shared: &[T]) -> Vec<T> {
            if own.is_empty() { shared.to_vec() } else { own }
        }
        fn merged(own: Map<String, Value>, shared: &Map<String, Value>) -> Map<String, Value> {
            let mut all = shared.clone();
            all.extend(own);
            all
        }
        Self {
            from: self.from.or_else(|| shared.from.clone()),
            to: list(self.to, &shared.to),
            cc: list(self.cc, &shared.cc),
            bcc: list(self.bcc, &shared.bcc),
            reply_to: list(self.reply_to, &shared.reply_to),
            headers: merged(self.headers, &shared.headers),
            subject: self.subject.or_else(|| shared.subject.clone()),
            text: self.text.or_else(|| shared.text.clone()),
            html: self.html.or_else(|| shared.html.clone()),
            template: self.template.or_else(|| shared.template.clone()),
            vars: merged(self.vars, &shared.vars),
            locale: self.locale.or_else(|| shared.locale.clone()),
            attachments: list(self.attachments, &shared.attachments),
        }
    }

    /// The contents that are kept apart from it: those that are large.
    pub(crate) fn large_contents(&self) -> impl Iterator<Item = &Content> {
        let bodies = self.bodies().map(|(_, body)| body).filter(|body| is_large_body(body)).map(Body::content);
        self.attachments.iter().map(|file| &file.content).filter(|content| is_large(content)).chain(bodies)
    }

    /// The same without them.
    pub(crate) fn without_large_contents(&self) -> Cow<'_, Self> {
        if self.large_contents().next().is_none() {
            return Cow::Borrowed(self);
        }
        let mut mail = self.clone();
        for file in mail.attachments.iter_mut().filter(|file| is_large(&file.content)) {
            file.content = file.content.elsewhere();
        }
        for body in mail.bodies_mut().filter(|body| is_large_body(body)) {
            *body = body.elsewhere();
        }
        Cow::Owned(mail)
    }

    /// Puts in what is kept apart from it, as `read` finds it; what is gone, if something is.
    pub async fn fill<F, E>(&mut self, read: impl Fn(ContentHash) -> F) -> Result<Option<String>, E>
    where
        F: Future<Output = Result<Option<Content>, E>>,
    {
        while let Some((what, hash)) = self.absent_content() {
            let content = read(hash).await?;
            if !content.is_some_and(|content| self.fill_in(hash, &content)) {
                return Ok(Some(what));
            }
        }
        Ok(None)
    }

    /// The first of its contents that is kept elsewhere: what it is, and its hash.
    fn absent_content(&self) -> Option<(String, ContentHash)> {
        let body = self.bodies().find(|(_, body)| !body.is_at_hand());
        let file = || self.attachments.iter().find(|file| !file.content.is_at_hand());
        let of_file = |file: &Attachment| (format!("attachment {}", file.filename), file.content.hash());
        body.map(|(name, body)| (name.to_owned(), body.hash())).or_else(|| file().map(of_file))
    }

    /// Puts a content wherever its hash stands alone; answers whether it fits there: a body is a text.
    fn fill_in(&mut self, hash: ContentHash, content: &Content) -> bool {
        for file in &mut self.attachments {
            if !file.content.is_at_hand() && file.content.hash() == hash {
                file.content = content.clone();
            }
        }
        for body in self.bodies_mut().filter(|body| !body.is_at_hand() && body.hash() == hash) {
            let Some(text) = Body::of(content) else { return false };
            *body = text;
        }
        true
    }

    fn bodies(&self) -> impl Iterator<Item = (&'static str, &Body)> {
        [("text", &self.text), ("html", &self.html)].into_iter().filter_map(|(name, body)| Some((name, body.as_ref()?)))
    }

    fn bodies_mut(&mut self) -> impl Iterator<Item = &mut Body> {
        self.text.iter_mut().chain(&mut self.html)
    }

    /// Checks what can be checked without rendering: somebody to send to, something to say, sound headers.
    pub fn check(&self) -> Result<(), InvalidInput> {
        if self.recipients().is_empty() {
            return Err(InvalidInput::new("to", "the mail has no recipient"));
        }
        self.check_content()
    }

    /// The same for the content that a batch shares, whose recipients come later.
    pub fn check_content(&self) -> Result<(), InvalidInput> {
        match (&self.template, &self.text, &self.html) {
            (Some(_), None, None) => {}
            (Some(_), _, _) => {
                return Err(InvalidInput::new("template", "a mail has either a template or a text and HTML, not both"));
            }
            (None, None, None) => {
                return Err(InvalidInput::new("text", "the mail has no content; it needs a template, a text or HTML"));
            }
            (None, _, _) if self.subject.is_none() => {
                return Err(InvalidInput::new("subject", "a mail without a template needs a subject"));
            }
            (None, _, _) => {}
        }
        if self.subject.as_deref().is_some_and(has_break) {
            return Err(InvalidInput::new("subject", "the subject holds a line break; it may be one line"));
        }
        self.locale.as_deref().map_or(Ok(()), check_locale)?;
        self.attachments.iter().try_for_each(Attachment::check)?;
        if let Some((name, _)) = self.bodies().find(|(_, body)| !body.is_at_hand()) {
            return Err(InvalidInput::new(
                name,
                format!("the content of the {name} is not at hand; it may be a string"),
            ));
        }
        self.headers.iter().try_for_each(|(name, value)| check_header(name, value))
    }
}

/// Characters of a language: RFC 5646 (4.4.1) has no use for more.
const LOCALE: usize = 35;

/// Checks the language of a template: words of letters and digits, as in `pl` or `pl-PL`.
pub fn check_locale(locale: &str) -> Result<(), InvalidInput> {
    let is_sound = locale.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if is_sound && locale.len() <= LOCALE {
        return Ok(());
    }
    let start: String = locale.chars().take(LOCALE).collect();
    let problem =
        format!("{start:?} is no language; it may be one such as pl or pl-PL, of {LOCALE} characters at most");
    Err(InvalidInput::new("locale", problem))
}

/// Below that a key of its own takes more than the content.
const LARGE: usize = 4096;
/// A body is seldom another mail's too, and below that it costs no more with its mail.
const LARGE_BODY: usize = 16 << 10;

fn is_large(content: &Content) -> bool {
    content.size() >= LARGE
}

fn is_large_body(body: &Body) -> bool {
    body.size() > LARGE_BODY
}

impl Attachment {
    fn check(&self) -> Result<(), InvalidInput> {
        let words = [Some(&self.filename), self.content_type.as_ref(), self.content_id.as_ref()];
        if self.filename.is_empty() || words.into_iter().flatten().any(|word| has_break(word)) {
            return Err(InvalidInput::new("attachments", "an attachment needs a file name, all in one line"));
        }
        if !self.content.is_at_hand() {
            return Err(InvalidInput::new("attachments", format!("the content of {} is not at hand", self.filename)));
        }
        Ok(())
    }
}

/// Headers that Postroom writes itself, each with where it comes from.
const OWN_HEADERS: [(&str, &str); 12] = [
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
    ("return-path", "the next server"),
];

fn check_header(name: &str, value: &Value) -> Result<(), InvalidInput> {
    let refuse = |why: String| Err(InvalidInput::new("headers", why));
    // RFC 5322, 3.6.8: printable ASCII without the colon.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return refuse(format!("{name:?} is no header name; it may hold letters, digits and -"));
    }
    if let Some((_, source)) = OWN_HEADERS.iter().find(|(own, _)| name.eq_ignore_ascii_case(own)) {
        return refuse(format!("{name} can't be set as a header; it is made from {source}"));
    }
    match value.as_str() {
        None => refuse(format!("the value of {name} is not text")),
        Some(text) if has_break(text) => refuse(format!("the value of {name} holds a line break")),
        Some(_) => Ok(()),
    }
}

fn has_break(text: &str) -> bool {
    text.chars().any(|c| c == '\r' || c == '\n' || c == '\0')
}

fn one_or_many<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Mailbox>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let texts = match OneOrMany::deserialize(input)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    };
    texts.into_iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mail(value: Value) -> Mail {
        serde_json::from_value(value).expect("a mail")
    }

    #[test]
    fn json_is_short_and_lenient() {
        let one = mail(json!({"to": "Ann <a@example.org>", "subject": "Hi", "text": "x"}));
        assert_eq!(one.to.len(), 1);
        let text = serde_json::to_string(&one).expect("JSON");
        assert_eq!(text, r#"{"to":["Ann <a@example.org>"],"subject":"Hi","text":"x"}"#);
    }

    #[test]
    fn own_fields_win_over_shared_ones() {
        let shared = mail(json!({"template": "news", "vars": {"a": 1, "b": 2}, "subject": "S"}));
        let own = mail(json!({"to": ["a@example.org"], "vars": {"b": 3}}));
        let whole = own.over(&shared);
        assert_eq!(
            whole,
            mail(json!({"to": "a@example.org", "template": "news", "vars": {"a": 1, "b": 3}, "subject": "S"}))
        );
    }

    #[test]
    fn what_a_mail_may_not_be() {
        let ok = json!({"to": "a@example.org", "subject": "s", "text": "t"});
        assert_eq!(mail(ok.clone()).check(), Ok(()));
        for (change, field) in [
            (json!({"to": []}), "to"),
            (json!({"subject": "a\nb"}), "subject"),
            (json!({"subject": null}), "subject"),
            (json!({"text": null}), "text"),
            (json!({"template": "x"}), "template"),
            (json!({"headers": {"X-A": "b\r\nBcc: c"}}), "headers"),
            (json!({"headers": {"X A": "b"}}), "headers"),
            (json!({"headers": {"Subject": "b"}}), "headers"),
            (json!({"headers": {"X-A": 1}}), "headers"),
            (json!({"attachments": [{"filename": "a\r\nb", "content": ""}]}), "attachments"),
        ] {
            let mut value = ok.clone();
            value.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
            let error = mail(value).check().expect_err(&change.to_string());
            assert_eq!(error.field, field, "{change}");
        }
    }
}
