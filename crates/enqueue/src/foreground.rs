//! Sends mail in the foreground, without queue, worker or Redis.

use std::sync::Arc;

use chrono::Utc;
use postroom_core::{EmailAddress, InvalidInput, JobId, Mail, QueueName, settings::TransportSettings};
use postroom_mail::{
    Attempt, BadTransport, Commit, Identity, Message, Rendered, Templates, Transport, Verdict, compose, run_blocking,
};

use crate::{
    error::{NotSent, Result},
    options::Options,
    postroom::Postroom,
};

/// A mail that the next server accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentNow {
    /// Message-ID without angle brackets.
    pub message_id: String,
    /// Id that the next server gave the mail.
    pub receipt: Option<String>,
    /// Refused recipients, each with the server's reply. At least one other recipient was accepted.
    pub refused: Vec<(EmailAddress, String)>,
}

impl Postroom {
    /// Sends a mail once and returns the reply of the next server. Uses the transports of `queue`,
    /// or of the mail's default queue. If a transport sent nothing, the next one is tried.
    ///
    /// # Errors
    ///
    /// [`NotSent`] if the mail was not accepted; [`InvalidInput`] for a mail or settings that can't
    /// be used.
    pub async fn send_now(&self, mail: &Mail, queue: Option<&QueueName>) -> Result<SentNow> {
        let options = Options { queue: queue.cloned(), ..Options::default() };
        let queue = options.queue(&self.settings, mail.template.as_deref(), QueueName::emails);
        self.check(mail).await?;
        let message = self.message(&Arc::new(mail.clone()), &queue).await?;
        let attempt = self.send_with_fallback(&message, &queue).await?;
        sent_now(message.message_id, attempt).map_err(Into::into)
    }

    /// Tries the queue's transports in order until one has sent something; returns its attempt, or
    /// the last one.
    async fn send_with_fallback(&self, message: &Message, queue: &QueueName) -> Result<Attempt> {
        let mut transports = self.settings.transports_of(queue)?.into_iter().peekable();
        loop {
            // Not reached: `transports_of` never returns an empty list.
            let Some((name, settings)) = transports.next() else {
                return Ok(Attempt::invalid(&message.envelope.rcpt_to, "no transport is configured"));
            };
            let transport = self.transport(name, settings).await?;
            let attempt = transport.send(message, &message.envelope.rcpt_to, async { Commit::Proceed }).await;
            if transports.peek().is_none() || !attempt.nothing_was_sent() {
                return Ok(attempt);
            }
        }
    }

    /// Renders and composes the mail on a thread for blocking work.
    async fn message(&self, mail: &Arc<Mail>, queue: &QueueName) -> Result<Message> {
        let templates = self.shared_templates().await?.cloned();
        if let (Some(template), None) = (&mail.template, &templates) {
            let folder = self.settings.templates_dir.display();
            let problem = format!("{template} can't be rendered: there is no folder {folder}");
            return Err(InvalidInput::new("template", problem).into());
        }
        let (mail, sender, identity) = (Arc::clone(mail), self.settings.sender.clone(), self.identity(mail, queue));
        let max_size = self.settings.max_message_size;
        let message = run_blocking(move || {
            let rendered = render(&mail, templates.as_deref())?;
            Ok::<_, InvalidInput>(compose(&mail, rendered, &identity, sender.as_ref())?.within(max_size)?)
        });
        Ok(message.await?)
    }

    fn identity(&self, mail: &Mail, queue: &QueueName) -> Identity {
        let sender = self.settings.sender.as_ref();
        let domain = mail.from.as_ref().or(sender).map_or("localhost", |from| from.address.domain());
        let id = JobId::new(queue.clone()).to_string();
        Identity {
            message_id: format!("{id}@{domain}"),
            date_ms: Utc::now().timestamp_millis(),
            boundary_seed: JobId::new(queue.clone()).to_string(),
            generation: 0,
        }
    }

    /// Returns the transport of this name, created once so that its connections are reused.
    async fn transport(&self, name: &str, settings: &TransportSettings) -> Result<Arc<Transport>> {
        let mut transports = self.transports.lock().await;
        if let Some(transport) = transports.get(name) {
            return Ok(Arc::clone(transport));
        }
        let sink = Arc::new(self.store.clone());
        let transport = Transport::from_settings(name, settings, sink).map_err(|error| bad_transport(name, &error))?;
        let transport = Arc::new(transport.with_envelope_from(self.settings.envelope_senders.get(name).cloned()));
        transports.insert(name.to_owned(), Arc::clone(&transport));
        Ok(transport)
    }
}

fn render(mail: &Mail, templates: Option<&Templates>) -> Result<Rendered, InvalidInput> {
    match templates {
        Some(templates) => {
            templates.render_mail(mail).map_err(|error| InvalidInput::new("template", error.to_string()))
        }
        None => {
            let subject = mail.subject.as_deref().unwrap_or_default();
            Ok(Rendered::literal(subject, mail.text.as_deref(), mail.html.as_deref()))
        }
    }
}

fn bad_transport(name: &str, error: &BadTransport) -> InvalidInput {
    InvalidInput::new(format!("[transport.{name}] {}", error.field), error.problem.clone())
}

fn sent_now(message_id: String, attempt: Attempt) -> Result<SentNow, NotSent> {
    if attempt.verdict != Verdict::Accepted {
        return Err(attempt.into());
    }
    let refused = attempt.recipients.into_iter().filter(|recipient| recipient.verdict != Verdict::Accepted);
    Ok(SentNow {
        message_id,
        receipt: attempt.receipt,
        refused: refused.map(|recipient| (recipient.address, recipient.reply)).collect(),
    })
}
