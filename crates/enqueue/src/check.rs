//! What can be found wrong with a mail before it is handed over.

use std::sync::Arc;

use postroom_core::{InvalidInput, Mail, Mailbox};
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checker<'a> {
    /// None where this machine has no templates folder: the worker's will do.
    pub(crate) templates: Option<&'a Templates>,
    /// The largest message, in bytes.
    pub(crate) max_size: u64,
}

impl Checker<'_> {
    /// Checks a whole mail: recipients, headers, template, size.
    pub(crate) fn check(self, mail: &Mail) -> Result<(), Problem> {
        mail.check().map_err(Problem::Mail)?;
        let bodies = self.measure(mail)?;
        if bodies.is_some_and(|bodies| self.allows_easily(bodies as u64 + encoded_files(mail))) {
            return Ok(());
        }
        self.check_size(mail)
    }

    /// The same in some milliseconds; `None` where it takes longer.
    pub(crate) fn check_quickly(self, mail: &Mail) -> Option<Result<(), Problem>> {
        match (&mail.template, self.templates) {
            (Some(_), Some(templates)) => match templates.measure_quickly(mail)? {
                Ok(Some(bodies)) if self.allows_easily(bodies as u64 + encoded_files(mail)) => {
                    Some(mail.check().map_err(Problem::Mail))
                }
                Ok(_) => None,
                Err(_) => Some(self.check(mail)),
            },
            _ => {
                let is_quick = mail.content_bytes() < QUICK
                    && Rendered::is_literal_quick(mail.text.as_deref(), mail.html.as_deref());
                is_quick.then(|| self.check(mail))
            }
        }
    }

    /// How many bytes its bodies have, where that can be told without making them.
    fn measure(self, mail: &Mail) -> Result<Option<usize>, Problem> {
        match (&mail.template, self.templates, &mail.text) {
            (Some(_), Some(templates), _) => templates.measure_mail(mail).map_err(Problem::Template),
            // The worker has its template, this machine has not.
            (Some(_), None, _) => {
                let checked = Variables::check(&mail.vars);
                checked.map(|()| Some(0)).map_err(|problem| Problem::Mail(InvalidInput::new("vars", problem)))
            }
            (None, _, Some(text)) => Ok(Some(text.len() + mail.html.as_deref().map_or(0, str::len))),
            (None, _, None) => Ok(None),
        }
    }

    /// Bodies grow by half at most in their encoding: what is far below needs no composing.
    fn allows_easily(self, size: u64) -> bool {
        size.saturating_mul(2).saturating_add(HEADERS) <= self.max_size
    }

    fn check_size(self, mail: &Mail) -> Result<(), Problem> {
        let words = match (&mail.template, self.templates) {
            (Some(_), None) => None,
            (Some(_), Some(templates)) => Some(templates.render_mail(mail).map_err(Problem::Template)?),
            (None, _) => {
                let subject = mail.subject.as_deref().unwrap_or_default();
                Some(Rendered::literal(subject, mail.text.as_deref(), mail.html.as_deref()))
            }
        };
        let least = least_size(mail, words.as_ref());
        let is_told = self.allows_easily(least) || least > self.max_size;
        let size = if is_told { least } else { composed(mail, words).unwrap_or(least) };
        if size <= self.max_size {
            return Ok(());
        }
        Err(Problem::Mail(InvalidInput::new(
            if mail.attachments.is_empty() { "text" } else { "attachments" },
            format!("the message would have {size} bytes; MAX_MESSAGE_SIZE allows {}", self.max_size),
        )))
    }
}

/// Contents that are looked at in about a millisecond.
const QUICK: usize = 1 << 20;

/// About as much as headers take at most, in bytes.
const HEADERS: u64 = 64 << 10;

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

/// The size itself but for some bytes of headers; what can't be composed here is found out elsewhere.
fn composed(mail: &Mail, words: Option<Rendered>) -> Option<u64> {
    let sender: Mailbox = "postroom@postroom.invalid".parse().ok()?;
    let id = "x".repeat(40);
    let identity =
        Identity { message_id: format!("{id}@postroom.invalid"), date_ms: 0, boundary_seed: id, generation: 0 };
    let message = compose(&Arc::new(mail.clone()), words?, &identity, Some(&sender)).ok()?;
    Some(message.bytes.len() as u64)
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
