//! What can be found wrong with a mail before it is handed over.

use postroom_core::{InvalidInput, Mail};
use postroom_mail::{LoadError, RenderError, Rendered, Templates};

/// What is wrong with a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Its template does not exist or does not render with its variables.
    Template(RenderError),
    /// Something else about it.
    Mail(InvalidInput),
}

/// Checks mails, with the templates that this machine has.
#[derive(Clone, Copy)]
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
        let words = match (&mail.template, self.templates) {
            (Some(_), Some(templates)) => Some(templates.render_mail(mail).map_err(Problem::Template)?),
            (Some(_) | None, _) => None,
        };
        self.check_size(mail, words.as_ref()).map_err(Problem::Mail)
    }

    fn check_size(self, mail: &Mail, words: Option<&Rendered>) -> Result<(), InvalidInput> {
        let size = estimate(mail, words);
        if size <= self.max_size {
            return Ok(());
        }
        Err(InvalidInput::new(
            if mail.attachments.is_empty() { "text" } else { "attachments" },
            format!("the message would have {size} bytes; it may have {} (MAX_MESSAGE_SIZE)", self.max_size),
        ))
    }
}

/// A lower bound of the composed size: attachments grow by a third, the rest may.
fn estimate(mail: &Mail, words: Option<&Rendered>) -> u64 {
    let text_of = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let bodies = match words {
        Some(words) => words.text.len() + text_of(&words.html),
        None => text_of(&mail.text) + text_of(&mail.html),
    };
    let files: usize = mail.attachments.iter().map(|file| file.content.len().div_ceil(3) * 4).sum();
    (bodies + files) as u64
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
