//! A mail as an application enqueues it.

mod calendar;
mod check;
mod field_body;
mod file_content;
mod file_name;
mod media_type;
mod read;
mod read_mailboxes;

pub use field_body::{FieldBody, foldable_pieces, header_fields};
pub use media_type::MediaType;

use std::{borrow::Cow, collections::HashSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use self::{check::check_header_name, read_mailboxes::mailboxes_from_json};
use crate::{
    Body, Content, ContentHash, EmailAddress, EnvelopePattern, InvalidInput, Mailbox, MailboxList, json::unique_object,
};

/// A mail, or the part that the mails of a batch share. The worker renders and composes it later.
///
/// The JSON form is part of the protocol. A mailbox is a string such as `"Ann <ann@example.org>"`,
/// a list may be one string with commas, and empty fields are omitted. [`Mail::from_json`]
/// understands what other programs write too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// Author; the sender of the worker's settings if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Mailbox>,
    /// Envelope sender, which gets bounces; the transport's, or else the address in `from`, if
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope_from: Option<EnvelopePattern>,
    /// Recipients.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub to: Vec<Mailbox>,
    /// Recipients of copies.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub cc: Vec<Mailbox>,
    /// Recipients of blind copies.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub bcc: Vec<Mailbox>,
    /// Addresses for replies.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub reply_to: Vec<Mailbox>,
    /// Additional headers, by name.
    #[serde(skip_serializing_if = "Map::is_empty", deserialize_with = "unique_object")]
    pub headers: Map<String, Value>,
    /// Subject; overrides the template's subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Plain text body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Body>,
    /// HTML body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<Body>,
    /// Name of a template, instead of text and HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Variables of the template.
    #[serde(skip_serializing_if = "Map::is_empty", deserialize_with = "unique_object")]
    pub vars: Map<String, Value>,
    /// Language of the template, as in `pl-PL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Attached files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// An attached file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// File name that the recipient sees.
    pub filename: String,
    /// MIME type; guessed from the file name if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
    /// Content-ID of an image that the HTML refers to by `cid:`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_id: Option<String>,
    /// Bytes of the file; base64 in JSON.
    pub content: Content,
}

impl Mail {
    /// Returns all recipients in to, cc and bcc, each address once.
    #[must_use]
    pub fn recipients(&self) -> Vec<&EmailAddress> {
        let named = self.to.iter().chain(&self.cc).chain(&self.bcc).map(|mailbox| &mailbox.address);
        let mut seen = HashSet::new();
        match self.named_recipients() {
            // Most mails have one recipient, which needs no set.
            0 | 1 => named.collect(),
            _ => named.filter(|address| seen.insert(*address)).collect(),
        }
    }

    /// Number of entries in to, cc and bcc; an address that occurs twice counts twice.
    fn named_recipients(&self) -> usize {
        self.to.len() + self.cc.len() + self.bcc.len()
    }

    /// Total size of bodies and attachments in bytes.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        let bodies: usize = self.bodies().map(|(_, body)| body.size()).sum();
        let files: usize = self.attachments.iter().map(|file| file.content.size()).sum();
        bodies + files
    }

    /// Returns what is valid but hardly intended: an empty subject or body. A template is not
    /// rendered.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let is_blank = |text: Option<&str>| text.is_none_or(|text| text.trim().is_empty());
        let has_blank_body = is_blank(self.text.as_deref()) && is_blank(self.html.as_deref());
        let has_body = self.text.is_some() || self.html.is_some();
        let has_no_body = self.template.is_none() && has_body && has_blank_body;
        let has_no_subject = self.subject.as_deref().is_some_and(|subject| subject.trim().is_empty());
        let all = [(has_no_subject, "the subject is empty"), (has_no_body, "the body is empty")];
        all.into_iter().filter(|(applies, _)| *applies).map(|(_, warning)| warning).collect()
    }

    /// Merges this mail with what its batch shares. Its own fields win; variables and headers merge
    /// by name, headers in any case of their letters.
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
            envelope_from: self.envelope_from.or_else(|| shared.envelope_from.clone()),
            to: list(self.to, &shared.to),
            cc: list(self.cc, &shared.cc),
            bcc: list(self.bcc, &shared.bcc),
            reply_to: list(self.reply_to, &shared.reply_to),
            headers: merged_headers(self.headers, &shared.headers),
            subject: self.subject.or_else(|| shared.subject.clone()),
            text: self.text.or_else(|| shared.text.clone()),
            html: self.html.or_else(|| shared.html.clone()),
            template: self.template.or_else(|| shared.template.clone()),
            vars: merged(self.vars, &shared.vars),
            locale: self.locale.or_else(|| shared.locale.clone()),
            attachments: list(self.attachments, &shared.attachments),
        }
    }

    /// Returns the contents that are stored apart from the mail because they are large.
    pub(crate) fn large_contents(&self) -> impl Iterator<Item = &Content> {
        let bodies = self.bodies().map(|(_, body)| body).filter(|body| is_large_body(body)).map(Body::content);
        self.attachments.iter().map(|file| &file.content).filter(|content| is_large(content)).chain(bodies)
    }

    /// Returns the mail with large contents replaced by their hashes.
    pub(crate) fn without_large_contents(&self) -> Cow<'_, Self> {
        if self.large_contents().next().is_none() {
            return Cow::Borrowed(self);
        }
        let mut mail = self.clone();
        for file in mail.attachments.iter_mut().filter(|file| is_large(&file.content)) {
            file.content = file.content.to_stored();
        }
        for body in mail.bodies_mut().filter(|body| is_large_body(body)) {
            *body = body.to_stored();
        }
        Cow::Owned(mail)
    }

    /// Restores contents that are stored apart, using `read`. Returns the name of a missing
    /// content, if any.
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

    /// Returns the name and the hash of the first content without bytes.
    fn absent_content(&self) -> Option<(String, ContentHash)> {
        let body = self.bodies().find(|(_, body)| !body.is_inline());
        let file = || self.attachments.iter().find(|file| !file.content.is_inline());
        let of_file = |file: &Attachment| (format!("attachment {}", file.filename), file.content.hash());
        body.map(|(name, body)| (name.to_owned(), body.hash())).or_else(|| file().map(of_file))
    }

    /// Restores `content` wherever its hash occurs. Returns false if a body is not UTF-8 text.
    fn fill_in(&mut self, hash: ContentHash, content: &Content) -> bool {
        for file in &mut self.attachments {
            if !file.content.is_inline() && file.content.hash() == hash {
                file.content = content.clone();
            }
        }
        for body in self.bodies_mut().filter(|body| !body.is_inline() && body.hash() == hash) {
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
}

/// Returns headers completed from shared ones. A name is the same in any letter case.
#[must_use]
pub fn merged_headers(mut own: Map<String, Value>, shared: &Map<String, Value>) -> Map<String, Value> {
    for (name, value) in shared {
        if !own.keys().any(|own| own.eq_ignore_ascii_case(name)) {
            own.insert(name.clone(), value.clone());
        }
    }
    own
}

/// Maximum length of a language tag, in characters (RFC 5646, 4.4.1).
const LOCALE: usize = 35;

/// Checks the language of a template: words of letters and digits, as in `pl` or `pl-PL`.
///
/// # Errors
/// Returns an error if it is longer, or contains other characters.
pub fn check_locale(locale: &str) -> Result<(), InvalidInput> {
    let is_valid = locale.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if is_valid && locale.len() <= LOCALE {
        return Ok(());
    }
    let start: String = locale.chars().take(LOCALE).collect();
    let problem =
        format!("{start:?} is not a language; it may be pl or pl-PL, for example, with at most {LOCALE} characters");
    Err(InvalidInput::new("locale", problem))
}

/// Minimum size of an attachment stored apart. A separate key costs more than a smaller content
/// saves.
const LARGE: usize = 4096;
/// Maximum size of a body stored with its mail. Mails seldom share a body, so storing a small one
/// apart saves nothing.
const LARGE_BODY: usize = 16 << 10;

fn is_large(content: &Content) -> bool {
    content.size() >= LARGE
}

fn is_large_body(body: &Body) -> bool {
    body.size() > LARGE_BODY
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
    let mut all = Vec::with_capacity(texts.len());
    for text in texts {
        all.extend(text.parse::<MailboxList>().map_err(serde::de::Error::custom)?.0);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mail(value: Value) -> Mail {
        serde_json::from_value(value).expect("a mail")
    }

    #[test]
    fn json_omits_empty_fields_and_accepts_a_single_mailbox() {
        let one = mail(json!({"to": "Ann <a@example.org>", "subject": "Hi", "text": "x"}));
        assert_eq!(one.to.len(), 1);
        let text = serde_json::to_string(&one).expect("JSON");
        assert_eq!(text, r#"{"to":["Ann <a@example.org>"],"subject":"Hi","text":"x"}"#);
    }

    #[test]
    fn a_string_may_list_several_mailboxes() {
        for (to, expected) in [
            (json!("Ann <a@example.org>, b@example.org"), json!(["Ann <a@example.org>", "b@example.org"])),
            (
                json!(["a@example.org; b@example.org", "c@example.org"]),
                json!(["a@example.org", "b@example.org", "c@example.org"]),
            ),
            (json!("Acme, Inc. <a@example.org>"), json!(["\"Acme, Inc.\" <a@example.org>"])),
        ] {
            let mail = mail(json!({"to": to, "cc": to, "bcc": to, "reply_to": to}));
            let written = serde_json::to_value(&mail).expect("JSON");
            assert_eq!(written, json!({"to": expected, "cc": expected, "bcc": expected, "reply_to": expected}));
        }
        let error = serde_json::from_value::<Mail>(json!({"from": "a@example.org, b@example.org"})).expect_err("two");
        assert!(error.to_string().contains("two addresses"), "{error}");
        assert!(mail(json!({"to": "undisclosed-recipients:;", "bcc": "a@example.org"})).to.is_empty());
    }

    #[test]
    fn an_envelope_sender_is_stored_as_it_is_written() {
        for text in ["<>", "bounces@example.org", "bounces+{id}@example.org"] {
            let written = serde_json::to_string(&mail(json!({"envelope_from": text}))).expect("JSON");
            assert_eq!(written, json!({"envelope_from": text}).to_string());
        }
        let shared = mail(json!({"envelope_from": "<>"}));
        let own = mail(json!({"envelope_from": "a@example.org"}));
        assert_eq!((own.clone().over(&shared), Mail::default().over(&shared)), (own, shared));
    }

    #[test]
    fn own_fields_override_shared_fields() {
        let shared = mail(json!({"template": "news", "vars": {"a": 1, "b": 2}, "subject": "S"}));
        let own = mail(json!({"to": ["a@example.org"], "vars": {"b": 3}}));
        let merged = own.over(&shared);
        assert_eq!(
            merged,
            mail(json!({"to": "a@example.org", "template": "news", "vars": {"a": 1, "b": 3}, "subject": "S"}))
        );
    }

    #[test]
    fn own_headers_override_shared_headers_in_any_case() {
        let shared = mail(json!({"headers": {"X-Foo": "shared", "X-Bar": "kept", "Precedence": "bulk"}}));
        let own = mail(json!({"headers": {"x-foo": "own", "precedence": ""}}));
        let merged = own.over(&shared);
        assert_eq!(Value::Object(merged.headers.clone()), json!({"x-foo": "own", "X-Bar": "kept", "precedence": ""}));
        let mut forms: Vec<_> = header_fields(&merged.headers).map(|form| form.expect("a header").0).collect();
        forms.sort_unstable();
        assert_eq!(forms, ["X-Bar", "x-foo"], "an empty value removes a header");
    }

    #[test]
    fn empty_subjects_and_bodies_give_warnings() {
        let (subject, body) = ("the subject is empty", "the body is empty");
        for (value, warnings) in [
            (json!({"subject": "s", "text": "t"}), vec![]),
            (json!({"subject": " ", "text": "\n"}), vec![subject, body]),
            (json!({"subject": "s", "html": ""}), vec![body]),
            (json!({"subject": "s", "text": "", "html": "<p>x"}), vec![]),
            (json!({"template": "t"}), vec![]),
            (json!({"template": "t", "subject": ""}), vec![subject]),
        ] {
            assert_eq!(mail(value.clone()).warnings(), warnings, "{value}");
        }
    }
}
