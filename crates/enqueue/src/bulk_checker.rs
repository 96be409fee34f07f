//! Checks the mails of one bulk, each merged with the content that all of them share.

use std::sync::Arc;

use postroom_core::Mail;
use postroom_mail::{HeaderTemplates, Templates, Variables};

use crate::{
    check::{MailChecker, MailProblem},
    error::Result,
    postroom::Postroom,
};

/// Checks the mails of one bulk as a worker would make them, without enqueueing them.
#[derive(Debug)]
pub struct BulkChecker<'a> {
    checker: MailChecker<'a>,
    /// Shared content without the variables.
    mail: Mail,
    /// Shared variables, prepared once for rendering.
    vars: Variables,
    /// Headers that are rendered for each mail.
    headers: Option<Arc<HeaderTemplates>>,
}

impl Postroom {
    /// Returns a checker for mails that have `shared` in common.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::InvalidInput) if the templates can't be loaded.
    pub async fn bulk_checker(&self, shared: &Mail) -> Result<BulkChecker<'_>> {
        let mut mail = shared.clone();
        let vars = Variables::of(&std::mem::take(&mut mail.vars));
        Ok(BulkChecker { checker: self.checker().await?, mail, vars, headers: None })
    }
}

impl BulkChecker<'_> {
    /// Sets headers that are rendered for each mail.
    #[must_use]
    pub fn with_headers(self, headers: Option<Arc<HeaderTemplates>>) -> Self {
        Self { headers, ..self }
    }

    /// Adds the headers that are rendered for each mail to a mail and to its merged form, and
    /// checks that form, however long that takes.
    ///
    /// # Errors
    ///
    /// [`MailProblem`] for a mail that no worker could send.
    pub fn complete(&self, own: &mut Mail, merged: &mut Mail) -> Result<(), MailProblem> {
        self.add_headers(own, merged)?;
        self.checker.check_over(&self.vars, merged)
    }

    /// Adds the headers that are rendered for each mail.
    pub(crate) fn add_headers(&self, own: &mut Mail, merged: &mut Mail) -> Result<(), MailProblem> {
        if let Some(headers) = &self.headers {
            let rendered = headers.render(&self.vars, merged)?;
            own.headers.extend(rendered.clone());
            merged.headers.extend(rendered);
        }
        Ok(())
    }

    /// Whether headers are rendered for each mail.
    pub(crate) fn has_headers(&self) -> bool {
        self.headers.is_some()
    }

    /// Templates of this machine, if it has any.
    #[must_use]
    pub fn templates(&self) -> Option<&Templates> {
        self.checker.templates
    }

    /// Returns `own` completed from the shared content. The shared variables are not copied;
    /// [`complete`](BulkChecker::complete) adds them.
    #[must_use]
    pub fn merge(&self, own: &Mail) -> Mail {
        own.clone().over(&self.mail)
    }

    /// Checks a merged mail if that takes at most some milliseconds; else returns `None`.
    pub(crate) fn check_quickly(&self, merged: &Mail) -> Option<Result<(), MailProblem>> {
        self.checker.check_quickly(&self.vars, merged)
    }

    /// Shared variables.
    pub(crate) fn vars(&self) -> &Variables {
        &self.vars
    }
}
