//! A mail with everything that its message is made of.

use std::sync::Arc;

use postroom_core::Mail;
use postroom_mail::{ComposeError, Identity, Message, RenderError, Rendered, compose};

use super::Unprepared;
use crate::rendering::{BatchContent, Rendering};

/// A mail with everything that its message is made of. Usable on any thread.
pub(super) struct Draft {
    pub(super) rendering: Arc<Rendering>,
    pub(super) mail: Arc<Mail>,
    pub(super) shared: Arc<BatchContent>,
    pub(super) identity: Identity,
}

impl Draft {
    /// Makes the message within some milliseconds. Returns `None` if that takes longer.
    pub(super) fn make_quickly(&self) -> Option<Result<Message, Unprepared>> {
        let rendered = self.rendering.templates.render_quickly(&self.shared.vars, &self.mail)?;
        Some(self.compose(rendered))
    }

    /// Makes the message, however long that takes within the limits of rendering.
    pub(super) fn make(&self) -> Result<Message, Unprepared> {
        self.compose(self.rendering.templates.render_mail_over(&self.shared.vars, &self.mail))
    }

    fn compose(&self, rendered: Result<Rendered, RenderError>) -> Result<Message, Unprepared> {
        let rendered = rendered.map_err(|error| {
            let text = error.to_string();
            if error.is_missing_template() { Unprepared::TemplateMissing(text) } else { Unprepared::Invalid(text) }
        })?;
        self.check_size(rendered.text.len() + rendered.html.as_ref().map_or(0, String::len))?;
        let sender = self.rendering.sender.as_ref();
        let limit = self.rendering.max_message_size;
        let message = compose(&self.mail, rendered, &self.identity, sender).and_then(|message| message.within(limit));
        message.map_err(|error| match error {
            ComposeError::NoSender => Unprepared::NoSender,
            ComposeError::Invalid(_) | ComposeError::TooLarge { .. } => Unprepared::Invalid(error.to_string()),
        })
    }

    /// Checks the size before composing, which needs several times as much memory.
    fn check_size(&self, size: usize) -> Result<(), Unprepared> {
        let limit = self.rendering.max_message_size;
        if size as u64 <= limit {
            return Ok(());
        }
        Err(Unprepared::Invalid(format!("the message has {size} bytes; MAX_MESSAGE_SIZE allows {limit}")))
    }
}
