//! What can be found wrong with a mail before it is handed over.

use std::sync::Arc;

use postroom_core::{InvalidInput, Mail, Mailbox, bounds};
use postroom_mail::{Identity, LoadError, RenderError, Rendered, Templates, Variables, compose};

/// So many mails of a bulk are looked at before any is queued: what a template lacks for one of them, it lacks for all.
pub(crate) const HEAD: u64 = 10;

/// What is wrong with a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Its template does not exist or does not render with its variables.
    Template(RenderError),
    /// Something else about it.
    Mail(InvalidInput),
}

/// Checks mails, with the templates that this machine has.
///
/// What passes here is composed by a worker with the same templates and settings: its fields by the same
/// [`Mail::check`], its words by the same rendering, and its size by an upper bound of what composing makes of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checker<'a> {
    /// None where this machine has no templates folder: the worker's will do.
    pub(crate) templates: Option<&'a Templates>,
    /// The largest message, in bytes.
    pub(crate) max_size: u64,
    /// The sender of mails that name none; the worker's where this machine has none.
    pub(crate) sender: Option<&'a Mailbox>,
}

impl Checker<'_> {
    /// Checks a whole mail, whose variables lie over those that a bulk shares: recipients, headers, template, size.
    pub(crate) fn check_over(self, shared: &Variables, mail: &Mail) -> Result<(), Problem> {
        mail.check().map_err(Problem::Mail)?;
        match self.measure(shared, mail)? {
            Some(bodies) if most_size(mail, bodies) <= self.max_size => Ok(()),
            _ => self.check_size(shared, mail),
        }
    }

    /// The same in some milliseconds; `None` where it takes longer.
    pub(crate) fn check_quickly(self, shared: &Variables, mail: &Mail) -> Option<Result<(), Problem>> {
        if let Err(problem) = mail.check() {
            return Some(Err(Problem::Mail(problem)));
        }
        match (&mail.template, self.templates) {
            (Some(_), Some(templates)) => match templates.measure_quickly(shared, mail)? {
                Ok(Some(bodies)) if most_size(mail, bodies) <= self.max_size => Some(Ok(())),
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

    /// How many bytes its bodies have, where that can be told without making them.
    fn measure(self, shared: &Variables, mail: &Mail) -> Result<Option<usize>, Problem> {
        match (&mail.template, self.templates, &mail.text) {
            (Some(_), Some(templates), _) => Ok(templates.measure_mail_over(shared, mail)?),
            // The worker has its template, this machine has not.
            (Some(_), None, _) => {
                let checked = Variables::check(&mail.vars);
                checked.map(|()| Some(0)).map_err(|problem| Problem::Mail(InvalidInput::new("vars", problem)))
            }
            (None, _, Some(text)) => Ok(Some(text.len() + mail.html.as_deref().map_or(0, str::len))),
            (None, _, None) => Ok(None),
        }
    }

    fn check_size(self, shared: &Variables, mail: &Mail) -> Result<(), Problem> {
        let words = self.words(shared, mail)?;
        let least = least_size(mail, words.as_ref());
        let size = match words {
            Some(words) if least <= self.max_size => self.composed_size(mail, words)?,
            _ => least,
        };
        if size <= self.max_size {
            return Ok(());
        }
        Err(Problem::Mail(InvalidInput::new(
            if mail.attachments.is_empty() { "text" } else { "attachments" },
            format!("the message would have {size} bytes; MAX_MESSAGE_SIZE allows {}", self.max_size),
        )))
    }

    /// None where only the worker has its template.
    fn words(self, shared: &Variables, mail: &Mail) -> Result<Option<Rendered>, Problem> {
        match (&mail.template, self.templates) {
            (Some(_), None) => Ok(None),
            (Some(_), Some(templates)) => Ok(Some(templates.render_mail_over(shared, mail)?)),
            (None, _) => {
                let subject = mail.subject.as_deref().unwrap_or_default();
                Ok(Some(Rendered::literal(subject, mail.text.as_deref(), mail.html.as_deref())))
            }
        }
    }

    /// The size itself but for its Message-ID and its sender, which are as long here as they may ever be.
    fn composed_size(self, mail: &Mail, words: Rendered) -> Result<u64, Problem> {
        let longest = longest_sender().map_err(Problem::Mail)?;
        let sender = self.sender.unwrap_or(&longest);
        let domain = mail.from.as_ref().unwrap_or(sender).address.domain();
        let id = "x".repeat(LONGEST_JOB_ID);
        let identity = Identity { message_id: format!("{id}@{domain}"), date_ms: 0, boundary_seed: id, generation: 0 };
        let message = compose(&Arc::new(mail.clone()), words, &identity, Some(sender));
        Ok(message.map_err(|error| Problem::Mail(error.into()))?.bytes.len() as u64)
    }
}

/// A queue's name of 32, a dash, and 26 characters.
const LONGEST_JOB_ID: usize = 59;

/// A sender whose header is as long as one may be.
fn longest_sender() -> Result<Mailbox, InvalidInput> {
    let domain = format!("{0}.{0}.{1}", "d".repeat(63), "d".repeat(61));
    format!("{} <{}@{domain}>", "ż".repeat(bounds::NAME / 2), "l".repeat(64)).parse()
}

/// An upper bound of the composed size, for next to nothing. A body's byte is three at most in its encoding, and some for where its
/// lines end; a header's byte is five at most, with what is put around a word.
fn most_size(mail: &Mail, bodies: usize) -> u64 {
    const FRAME: u64 = 8 << 10;
    const PER_FILE: u64 = 1 << 10;
    let mailboxes = [&mail.to, &mail.cc, &mail.reply_to].into_iter().flatten().chain(&mail.from);
    let mailboxes: usize =
        mailboxes.map(|one| 16 + one.address.as_str().len() + one.name.as_ref().map_or(0, String::len)).sum();
    let headers: usize =
        mail.headers.iter().map(|(name, value)| 16 + name.len() + value.as_str().map_or(0, str::len)).sum();
    let names: usize = mail.attachments.iter().map(|file| file.filename.len()).sum();
    let files = encoded_files(mail) + mail.attachments.len() as u64 * PER_FILE;
    bodies as u64 * 16 / 5 + (mailboxes + headers + names) as u64 * 5 + files + FRAME
}

/// Contents that are looked at in about a millisecond.
const QUICK: usize = 1 << 20;

/// Its files as they are sent: base64 in lines of 76.
fn encoded_files(mail: &Mail) -> u64 {
    let base64 = |bytes: usize| bytes.div_ceil(57) * 2 + bytes.div_ceil(3) * 4;
    mail.attachments.iter().map(|file| base64(file.content.size()) as u64).sum()
}

/// A lower bound of the composed size: bodies may grow.
fn least_size(mail: &Mail, words: Option<&Rendered>) -> u64 {
    let bodies = words.map_or(0, |words| words.text.len() + words.html.as_ref().map_or(0, String::len));
    bodies as u64 + encoded_files(mail)
}

impl From<RenderError> for Problem {
    fn from(error: RenderError) -> Self {
        // Whatever the template is, another row's variables may be shorter.
        if error.is_long_subject() {
            return Self::Mail(InvalidInput::new("subject", error.message));
        }
        Self::Template(error)
    }
}

/// A templates folder that can't be used, as bad input.
pub(crate) fn unusable(error: &LoadError) -> InvalidInput {
    InvalidInput::new("templates", error.to_string())
}

impl From<Problem> for InvalidInput {
    fn from(problem: Problem) -> Self {
        match problem {
            // The message begins with the word "template" already.
            Problem::Template(error) => {
                let text = error.to_string();
                let text = text.strip_prefix("template ").unwrap_or(&text).to_owned();
                Self::new("template", text)
            }
            Problem::Mail(problem) => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn the_longest_sender_is_as_long_as_one_may_be() {
        let sender = longest_sender().expect("a mailbox");
        assert_eq!((sender.address.as_str().len(), sender.name.map(|name| name.len())), (254, Some(bounds::NAME - 1)));
    }

    /// What is within the bound is never composed, so a bound that is too low lets mails in that no worker sends.
    #[test]
    fn the_upper_bound_is_one() {
        let checker = Checker { templates: None, max_size: u64::MAX, sender: None };
        let pieces = ["=", "\n", " \n", "ż=", "é=\n", "李", "\u{1}\n", "\u{1}", "a", "word "];
        for piece in pieces {
            let text = piece.repeat(60_000 / piece.len());
            for value in [
                json!({"to": "a@example.org", "subject": "s", "text": text}),
                json!({"to": "a@example.org", "subject": "ż".repeat(499), "text": text, "html": text,
                    "cc": vec![format!("\"{}\" <a@example.org>", "\\\"".repeat(255)); 999],
                    "headers": (0..100).map(|n| (format!("{n}{}", "X".repeat(74)), "ż".repeat(499))).collect::<HashMap<_, _>>(),
                    "attachments": vec![json!({"filename": "=?".repeat(127), "content_type": format!("a/{}", "b".repeat(253)),
                        "content_id": "c".repeat(255), "content": ""}); 200]}),
            ] {
                let mail: Mail = serde_json::from_value(value).expect("a mail");
                let (text, html) = (mail.text.as_deref(), mail.html.as_deref());
                let bodies = text.map_or(0, str::len) + html.map_or(0, str::len);
                let words = Rendered::literal(mail.subject.as_deref().unwrap_or_default(), text, html);
                let exact = checker.composed_size(&mail, words).expect("composed");
                let bound = most_size(&mail, bodies);
                assert!((exact..exact * 8 + 40_000).contains(&bound), "{piece:?}: {bound} for {exact}");
            }
        }
    }
}
