//! Checks of a mail before it is enqueued.

use std::sync::Arc;

use postroom_core::{Attachment, InvalidInput, Mail, Mailbox, bounds};
use postroom_mail::{Identity, LoadError, RenderError, Rendered, Templates, Variables, compose};

/// Why no worker could send a mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailProblem {
    /// The template does not exist or does not render with the mail's variables.
    #[error(transparent)]
    Template(RenderError),
    /// Any other invalid field.
    #[error(transparent)]
    Mail(InvalidInput),
}

/// Checks mails with the templates of this machine.
///
/// A worker with the same templates and settings can compose every mail that passes. The fields are
/// checked by the same [`Mail::check`], the content by the same rendering, and the size by an upper
/// bound of the composed message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MailChecker<'a> {
    /// `None` without a templates folder on this machine; the worker's templates are used then.
    pub(crate) templates: Option<&'a Templates>,
    /// Maximum size of a message, in bytes.
    pub(crate) max_size: u64,
    /// Default sender; `None` if this machine has no setting for it and the worker's is used.
    pub(crate) sender: Option<&'a Mailbox>,
}

impl MailChecker<'_> {
    /// Checks recipients, headers, template and size. The mail's variables take precedence over the
    /// `shared` ones.
    pub(crate) fn check_over(self, shared: &Variables, mail: &Mail) -> Result<(), MailProblem> {
        mail.check().map_err(MailProblem::Mail)?;
        match self.measure(shared, mail)? {
            Some(bodies) if max_size_of(mail, bodies) <= self.max_size => Ok(()),
            _ => self.check_size(shared, mail),
        }
    }

    /// Checks like [`check_over`](Self::check_over) if that takes at most some milliseconds; else
    /// returns `None`.
    pub(crate) fn check_quickly(self, shared: &Variables, mail: &Mail) -> Option<Result<(), MailProblem>> {
        if let Err(problem) = mail.check() {
            return Some(Err(MailProblem::Mail(problem)));
        }
        match (&mail.template, self.templates) {
            (Some(_), Some(templates)) => match templates.measure_quickly(shared, mail)? {
                Ok(Some(bodies)) if max_size_of(mail, bodies) <= self.max_size => Some(Ok(())),
                Ok(_) => None,
                Err(_) => Some(self.check_over(shared, mail)),
            },
            _ => {
                let is_quick = mail.content_bytes() < QUICK
                    && Rendered::is_literal_quick(mail.text.as_deref(), mail.html.as_deref());
                is_quick.then(|| self.check_over(shared, mail))
            }
        }
    }

    /// Returns the size of the bodies in bytes, if known without rendering them.
    fn measure(self, shared: &Variables, mail: &Mail) -> Result<Option<usize>, MailProblem> {
        match (&mail.template, self.templates, &mail.text) {
            (Some(_), Some(templates), _) => Ok(templates.measure_mail_over(shared, mail)?),
            // Only the worker has the template.
            (Some(_), None, _) => {
                let checked = Variables::check(&mail.vars);
                checked.map(|()| Some(0)).map_err(|problem| MailProblem::Mail(InvalidInput::new("vars", problem)))
            }
            (None, _, Some(text)) => Ok(Some(text.len() + mail.html.as_deref().map_or(0, str::len))),
            (None, _, None) => Ok(None),
        }
    }

    fn check_size(self, shared: &Variables, mail: &Mail) -> Result<(), MailProblem> {
        let rendered = self.render(shared, mail)?;
        let min_size = min_size_of(mail, rendered.as_ref());
        let size = match rendered {
            Some(rendered) if min_size <= self.max_size => self.composed_size(mail, rendered)?,
            _ => min_size,
        };
        if size <= self.max_size {
            return Ok(());
        }
        Err(MailProblem::Mail(InvalidInput::new(
            if mail.attachments.is_empty() { "text" } else { "attachments" },
            format!("the message would have {size} bytes; MAX_MESSAGE_SIZE allows {}", self.max_size),
        )))
    }

    /// Renders the mail; returns `None` if only the worker has the template.
    fn render(self, shared: &Variables, mail: &Mail) -> Result<Option<Rendered>, MailProblem> {
        match (&mail.template, self.templates) {
            (Some(_), None) => Ok(None),
            (Some(_), Some(templates)) => Ok(Some(templates.render_mail_over(shared, mail)?)),
            (None, _) => {
                let subject = mail.subject.as_deref().unwrap_or_default();
                Ok(Some(Rendered::literal(subject, mail.text.as_deref(), mail.html.as_deref())))
            }
        }
    }

    /// Returns the size of the composed message, with the longest possible Message-ID and default
    /// sender.
    fn composed_size(self, mail: &Mail, rendered: Rendered) -> Result<u64, MailProblem> {
        let longest = longest_sender().map_err(MailProblem::Mail)?;
        let sender = self.sender.unwrap_or(&longest);
        let domain = mail.from.as_ref().unwrap_or(sender).address.domain();
        let id = "x".repeat(LONGEST_JOB_ID);
        let identity = Identity { message_id: format!("{id}@{domain}"), date_ms: 0, boundary_seed: id, generation: 0 };
        let message = compose(&Arc::new(mail.clone()), rendered, &identity, Some(sender));
        Ok(message.map_err(|error| MailProblem::Mail(error.into()))?.bytes.len() as u64)
    }
}

/// Length of the longest job id: 32 characters of a queue name, a dash, and 26 characters.
const LONGEST_JOB_ID: usize = 59;

/// Returns a sender with the longest possible header.
fn longest_sender() -> Result<Mailbox, InvalidInput> {
    let domain = format!("{0}.{0}.{1}", "d".repeat(63), "d".repeat(61));
    format!("{} <{}@{domain}>", "ż".repeat(bounds::NAME / 2), "l".repeat(64)).parse()
}

/// Returns an upper bound of the composed size without composing. Encoding turns a byte of a body
/// into at most three, plus line breaks, and a byte of a header into at most five. A file name is
/// written twice.
fn max_size_of(mail: &Mail, bodies: usize) -> u64 {
    const FRAME: u64 = 8 << 10;
    const PER_FILE: u64 = 1 << 10;
    let mailboxes = [&mail.to, &mail.cc, &mail.reply_to].into_iter().flatten().chain(&mail.from);
    let mailboxes: usize =
        mailboxes.map(|one| 16 + one.address.as_str().len() + one.name.as_ref().map_or(0, String::len)).sum();
    let headers: usize =
        mail.headers.iter().map(|(name, value)| 16 + name.len() + value.as_str().map_or(0, str::len)).sum();
    let names: usize = mail.attachments.iter().map(|file| file.sent_name().len()).sum();
    let files: u64 = mail.attachments.iter().map(|file| max_octets_of(file) + PER_FILE).sum();
    bodies as u64 * 16 / 5 + (mailboxes + headers) as u64 * 5 + names as u64 * 8 + files + FRAME
}

/// Upper bound of the size of a file in the message. A message is not base64, but each line end
/// becomes CRLF. A calendar is also an alternative of the body.
fn max_octets_of(file: &Attachment) -> u64 {
    let size = file.content.size();
    let alternative = if file.calendar_method().is_some() { size * 16 / 5 } else { 0 };
    (in_base64(size).max(size * 2) + alternative) as u64
}

/// Number of bytes of content that are checked in about a millisecond.
const QUICK: usize = 1 << 20;

/// Size in base64, in lines of 76 characters.
fn in_base64(bytes: usize) -> usize {
    bytes.div_ceil(57) * 2 + bytes.div_ceil(3) * 4
}

/// Returns a lower bound of the composed size: encoding may enlarge the bodies. A message is not
/// written as base64.
fn min_size_of(mail: &Mail, rendered: Option<&Rendered>) -> u64 {
    let body = |rendered: &Rendered| rendered.text.len() + rendered.html.as_ref().map_or(0, String::len);
    let bodies = rendered.map_or(0, body);
    let file = |file: &Attachment| {
        let size = file.content.size();
        if file.content_type.is_some() { size } else { in_base64(size) }
    };
    let files: usize = mail.attachments.iter().map(file).sum();
    (bodies + files) as u64
}

impl From<RenderError> for MailProblem {
    fn from(error: RenderError) -> Self {
        // Depends on the variables, not on the template: another row may have shorter ones.
        if error.is_long_subject() {
            return Self::Mail(InvalidInput::new("subject", error.message));
        }
        if error.is_header_value() {
            return Self::Mail(InvalidInput::new("headers", error.message));
        }
        Self::Template(error)
    }
}

/// Returns the error for a templates folder that can't be loaded.
pub(crate) fn unusable_templates(error: &LoadError) -> InvalidInput {
    InvalidInput::new("templates", error.to_string())
}

impl From<MailProblem> for InvalidInput {
    fn from(problem: MailProblem) -> Self {
        match problem {
            // The message begins with "template", as the field does.
            MailProblem::Template(error) => {
                let text = error.to_string();
                let text = text.strip_prefix("template ").unwrap_or(&text).to_owned();
                Self::new("template", text)
            }
            MailProblem::Mail(problem) => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde_json::json;

    use super::*;

    #[test]
    fn the_longest_sender_has_the_maximum_length() {
        let sender = longest_sender().expect("a mailbox");
        assert_eq!((sender.address.as_str().len(), sender.name.map(|name| name.len())), (254, Some(bounds::NAME - 1)));
    }

    /// A mail within the bound is not composed here, so a bound that is too low would accept mails
    /// that are too large.
    #[test]
    fn the_estimated_size_is_an_upper_bound() {
        let checker = MailChecker { templates: None, max_size: u64::MAX, sender: None };
        let pieces = ["=", "\n", " \n", "ż=", "é=\n", "李", "\u{1}\n", "\u{1}", "a", "word "];
        let headers: HashMap<String, String> =
            (0..100).map(|n| (format!("{n}{}", "X".repeat(74)), "ż".repeat(499))).collect();
        let file = |name: &str, kind: &str, content: &str| {
            json!({"filename": name, "content_type": kind, "content_id": "c".repeat(255),
                "content": STANDARD.encode(content)})
        };
        let calendar = format!("BEGIN:VCALENDAR\nMETHOD:REQUEST\n{}", "ż\n=".repeat(2_000));
        let mut files = vec![file(&"=?".repeat(127), &format!("a/{}", "b".repeat(253)), ""); 100];
        // The character that NFC enlarges most.
        files.extend(vec![file(&"\u{1d160}".repeat(63), "text/x", ""); 98]);
        files.extend([file("a", "message/rfc822", &"\n".repeat(9_000)), file("b", "text/calendar", &calendar)]);
        for piece in pieces {
            let text = piece.repeat(60_000 / piece.len());
            for value in [
                json!({"to": "a@example.org", "subject": "s", "text": text}),
                json!({"to": "a@example.org", "subject": "ż".repeat(499), "text": text, "html": text,
                    "cc": vec![format!("\"{}\" <a@example.org>", "\\\"".repeat(255)); 999],
                    "headers": headers, "attachments": files}),
            ] {
                let mail: Mail = serde_json::from_value(value).expect("a mail");
                let (text, html) = (mail.text.as_deref(), mail.html.as_deref());
                let bodies = text.map_or(0, str::len) + html.map_or(0, str::len);
                let rendered = Rendered::literal(mail.subject.as_deref().unwrap_or_default(), text, html);
                let exact = checker.composed_size(&mail, rendered).expect("composed");
                let bound = max_size_of(&mail, bodies);
                assert!((exact..exact * 8 + 40_000).contains(&bound), "{piece:?}: bound {bound}, exact size {exact}");
            }
        }
    }
}
