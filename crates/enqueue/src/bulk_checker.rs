//! Checks the mails of one bulk, each merged with the content that all of them share.

use postroom_core::Mail;
use postroom_mail::Variables;

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
        Ok(BulkChecker { checker: self.checker().await?, mail, vars })
    }
}

impl BulkChecker<'_> {
    /// Returns `own` completed from the shared content. The shared variables are not copied;
    /// [`check`](BulkChecker::check) adds them.
    #[must_use]
    pub fn merge(&self, own: &Mail) -> Mail {
        own.clone().over(&self.mail)
    }

    /// Checks a mail that [`merge`](BulkChecker::merge) returned, however long that takes.
    ///
    /// # Errors
    ///
    /// [`MailProblem`] for a mail that no worker could send.
    pub fn check(&self, merged: &Mail) -> Result<(), MailProblem> {
        self.checker.check_over(&self.vars, merged)
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
