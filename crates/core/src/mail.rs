//! One mail, as an application hands it over.

mod check;
mod media_type;

use std::{borrow::Cow, collections::HashSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{Body, Content, ContentHash, EmailAddress, InvalidInput, Mailbox};

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
    pub fn recipients(&self) -> Vec<&EmailAddress> {
        let named = self.to.iter().chain(&self.cc).chain(&self.bcc).map(|mailbox| &mailbox.address);
        let mut seen = HashSet::new();
        match self.named_recipients() {
            // Most mails have one, which needs no set.
            0 | 1 => named.collect(),
            _ => named.filter(|address| seen.insert(*address)).collect(),
        }
    }

    /// Number of entries in to, cc and bcc; an address that is named twice counts twice.
    fn named_recipients(&self) -> usize {
        self.to.len() + self.cc.len() + self.bcc.len()
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
}
