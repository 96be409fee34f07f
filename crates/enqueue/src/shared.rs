//! What a bulk's mails share, for checking each of them as a worker will make it.

use postroom_core::Mail;
use postroom_mail::Variables;

/// The shared content, its variables made ready once.
#[derive(Debug)]
pub(crate) struct Shared {
    /// All but the variables.
    mail: Mail,
    pub(crate) vars: Variables,
}

impl Shared {
    pub(crate) fn of(mail: &Mail) -> Self {
        let mut mail = mail.clone();
        let vars = Variables::of(&std::mem::take(&mut mail.vars));
        Self { mail, vars }
    }

    /// A mail laid over what is shared; the shared variables stand beside it.
    pub(crate) fn whole(&self, own: &Mail) -> Mail {
        own.clone().over(&self.mail)
    }
}
