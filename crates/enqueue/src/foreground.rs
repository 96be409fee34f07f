//! Sending in the foreground: no queue, no worker, no Redis.

use std::sync::Arc;

use chrono::Utc;
use postroom_core::{EmailAddress, InvalidInput, JobId, Mail, QueueName, settings::TransportSettings};
use postroom_mail::{
    Attempt, BadTransport, Commit, Identity, Message, Rendered, Templates, Transport, Verdict, apart, compose,
};

use crate::{NotSent, Options, Postroom, Result};

/// A mail that the next server accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentNow {
    /// Its Message-ID, without angle brackets.
    pub message_id: String,
    /// What the next server calls it.
    pub receipt: Option<String>,
    /// The recipients who were refused, each with the server's words; at least one was accepted.
    pub refused: Vec<(EmailAddress, String)>,
}

impl Postroom {
    /// Sends a mail once, now, and returns when the next server has answered. It leaves by the transports of `queue`; when
    /// absent, of the queue that the mail would have gone to. Where nothing was sent and that was the transport's fault, the
    /// next one takes over.
    pub async fn send_now(&self, mail: &Mail, queue: Option<&QueueName>) -> Result<SentNow> {
        let options = Options { queue: queue.cloned(), ..Options::default() };
        let queue = options.queue(&self.settings, mail.template.as_deref(), QueueName::emails);
        self.check(mail).await?;
        let message = self.message(&Arc::new(mail.clone()), &queue).await?;
        let attempt = self.first_that_takes(&message, &queue).await?;
        judge(message.message_id, attempt).map_err(Into::into)
    }

    /// What came of it with the first transport that can be used, or else with the last.
    async fn first_that_takes(&self, message: &Message, queue: &QueueName) -> Result<Attempt> {
        let mut ways = self.settings.transports_of(queue)?.into_iter().peekable();
        loop {
            // There is never none.
            let Some((name, settings)) = ways.next() else {
                return Ok(Attempt::invalid(&message.envelope.rcpt_to, "no transport is left"));
            };
            let transport = self.transport(name, settings).await?;
            let attempt = transport.send(message, &message.envelope.rcpt_to, async { Commit::Proceed }).await;
            if ways.peek().is_none() || !attempt.nothing_was_sent() {
                return Ok(attempt);
            }
        }
    }

    /// Made apart from the threads of the caller.
    async fn message(&self, mail: &Arc<Mail>, queue: &QueueName) -> Result<Message> {
        let templates = self.shared_templates().await?.cloned();
        if let (Some(template), None) = (&mail.template, &templates) {
            let folder = self.settings.templates_dir.display();
            let problem = format!("{template} can't be rendered: there is no folder {folder}");
            return Err(InvalidInput::new("template", problem).into());
        }
        let (mail, sender, identity) = (Arc::clone(mail), self.settings.sender.clone(), self.identity(mail, queue));
        let most = self.settings.max_message_size;
        let made = apart(move || {
            let words = words(&mail, templates.as_deref())?;
            Ok::<_, InvalidInput>(compose(&mail, words, &identity, sender.as_ref())?.within(most)?)
        });
        Ok(made.await?)
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

    /// Made once for each name, so that its connections serve the next mail too.
    async fn transport(&self, name: &str, settings: &TransportSettings) -> Result<Arc<Transport>> {
        let mut known = self.transports.lock().await;
        if let Some(transport) = known.get(name) {
            return Ok(Arc::clone(transport));
        }
        let sink = Arc::new(self.store.clone());
        let transport = Transport::from_settings(name, settings, sink).map_err(|error| unusable(name, &error))?;
        let transport = Arc::new(transport);
        known.insert(name.to_owned(), Arc::clone(&transport));
        Ok(transport)
    }
}

fn words(mail: &Mail, templates: Option<&Templates>) -> Result<Rendered, InvalidInput> {
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

fn unusable(name: &str, error: &BadTransport) -> InvalidInput {
    InvalidInput::new(format!("[transport.{name}] {}", error.field), error.problem.clone())
}

fn judge(message_id: String, attempt: Attempt) -> Result<SentNow, NotSent> {
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
