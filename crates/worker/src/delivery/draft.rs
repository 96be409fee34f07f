//! A mail and all that its message is made of.

use std::sync::Arc;

use postroom_core::Mail;
use postroom_mail::{Identity, Message, RenderError, Rendered, compose};

use super::Unprepared;
use crate::{office::Office, shared_content::Shared};

/// A mail and all that its message is made of; it can be made on any thread.
pub(super) struct Draft {
    pub(super) office: Arc<Office>,
    pub(super) mail: Arc<Mail>,
    pub(super) shared: Arc<Shared>,
    pub(super) identity: Identity,
}

impl Draft {
    /// Makes the message in some milliseconds; `None` where it takes longer.
    pub(super) fn make_quickly(&self) -> Option<Result<Message, Unprepared>> {
        let rendered = self.office.templates.render_quickly(&self.shared.vars, &self.mail)?;
        Some(self.composed(rendered))
    }

    /// Makes the message, however long that takes within the limits of rendering.
    pub(super) fn make(&self) -> Result<Message, Unprepared> {
        self.composed(self.office.templates.render_mail_over(&self.shared.vars, &self.mail))
    }

    fn composed(&self, rendered: Result<Rendered, RenderError>) -> Result<Message, Unprepared> {
        let words = rendered.map_err(|error| {
            let told = error.to_string();
            if error.is_missing_template() { Unprepared::TemplateMissing(told) } else { Unprepared::Invalid(told) }
        })?;
        self.check_size(words.text.len() + words.html.as_ref().map_or(0, String::len))?;
        let sender = self.office.settings.sender.as_ref();
        let most = self.office.settings.max_message_size;
        let message = compose(&self.mail, words, &self.identity, sender).and_then(|message| message.within(most));
        message.map_err(|error| Unprepared::Invalid(error.to_string()))
    }

    /// Before it is composed too: that takes several times as much memory.
    fn check_size(&self, size: usize) -> Result<(), Unprepared> {
        let most = self.office.settings.max_message_size;
        if size as u64 <= most {
            return Ok(());
        }
        Err(Unprepared::Invalid(format!("the message has {size} bytes; MAX_MESSAGE_SIZE allows {most}")))
    }
}
