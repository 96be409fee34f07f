//! SMTP transport.

use std::{
    borrow::Cow,
    path::Path,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use postroom_core::{
    EmailAddress, EnvelopeSender,
    settings::{Security as SecuritySetting, SmtpSettings, SmtpTimeouts},
};
use postroom_smtp::{
    Acceptance, Address, Commit, ConnectionSecurity, Credentials, Endpoint, Envelope, HelloName, Phase, Pool,
    PoolLimits, Refusal, SendOutcome, SendReport, SmtpError, TimeLimits, TlsClient,
};
use secrecy::ExposeSecret;

use crate::{
    Attempt, Hint, Message, RecipientOutcome, Scope, Verdict, advice, message::HeaderCharset, verdict::NotAccepted,
};

/// Sends mail through one server, over pooled connections.
#[derive(Debug)]
pub struct SmtpTransport {
    pool: Pool,
}

/// Invalid transport settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct BadTransport {
    /// Name of the setting.
    pub field: &'static str,
    /// Description of the problem.
    pub problem: String,
}

impl SmtpTransport {
    /// Creates a transport. No connection is opened before the first mail.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is invalid.
    pub fn from_settings(settings: &SmtpSettings) -> Result<Self, BadTransport> {
        Ok(Self { pool: Pool::new(endpoint(settings)?, PoolLimits::default()) })
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) async fn warm(&self, to: &[EmailAddress]) -> Result<(), Attempt> {
        self.pool.checkout().await.map(drop).map_err(|error| of_error(to, &error))
    }

    pub(super) async fn send(
        &self,
        message: &Message,
        sender: &EnvelopeSender,
        to: &[EmailAddress],
        commit: impl Future<Output = Commit>,
    ) -> Attempt {
        let mail = OutgoingMail { bytes: &message.bytes, sender, to, urgent: message.urgent };
        let needs_smtputf8 = message.header_charset != HeaderCharset::Ascii
            || to.iter().any(EmailAddress::needs_smtputf8)
            || sender.address().is_some_and(EmailAddress::needs_smtputf8);
        if !needs_smtputf8 {
            return self.send_as_it_is(&mail, commit).await;
        }
        match self.pool.checkout().await.map(|session| session.capabilities().smtputf8) {
            Ok(true) => self.send_as_it_is(&mail, commit).await,
            Ok(false) => self.send_to_reachable(&mail, &message.header_charset, message, commit).await,
            Err(error) => of_error(to, &error),
        }
    }

    /// Sends a mail that requires SMTPUTF8 to a server without it: those recipients get it whose
    /// addresses are ASCII, if the sender's are too.
    async fn send_to_reachable(
        &self,
        mail: &OutgoingMail<'_>,
        form: &HeaderCharset,
        message: &Message,
        commit: impl Future<Output = Commit>,
    ) -> Attempt {
        let reachable: Vec<_> = mail.to.iter().filter(|address| !address.needs_smtputf8()).cloned().collect();
        let bytes = match form {
            HeaderCharset::Utf8Or(ascii) => Cow::Owned(ascii.of(message)),
            HeaderCharset::Ascii | HeaderCharset::Utf8 => Cow::Borrowed(mail.bytes),
        };
        let attempt = if reachable.is_empty() {
            // Refused by the session, before anything is written.
            self.send_as_it_is(mail, commit).await
        } else {
            self.send_as_it_is(&OutgoingMail { bytes: &bytes, to: &reachable, ..*mail }, commit).await
        };
        with_unreachable(attempt, mail.to)
    }

    async fn send_as_it_is(&self, mail: &OutgoingMail<'_>, commit: impl Future<Output = Commit>) -> Attempt {
        let to = mail.to;
        let envelope = match mail.envelope() {
            Ok(envelope) => envelope,
            Err(problem) => return Attempt::invalid(to, &problem),
        };
        match self.deliver(&Arc::new(envelope), mail.bytes, mail.urgent, commit).await {
            Ok(delivery) => of_delivery(to, &delivery),
            Err(error) => of_error(to, &error),
        }
    }

    /// Sends a mail over a pooled connection. A server may close an idle connection at the moment
    /// of its use, or end it because it has carried enough, which is no fault of the mail. The
    /// mail is then sent over a new connection at once, unless `commit` has begun: that can't be
    /// undone.
    async fn deliver(
        &self,
        envelope: &Arc<Envelope>,
        bytes: &[u8],
        urgent: bool,
        commit: impl Future<Output = Commit>,
    ) -> Result<SendReport, SmtpError> {
        let (mut commit, begun) = (pin!(commit), AtomicBool::new(false));
        let mut session = self.pool.checkout_for(envelope, bytes, urgent).await?;
        let was_used = session.messages() > 0;
        let result = session.send(envelope, bytes, noting(&mut commit, &begun)).await;
        let needs_another = is_spent(&result) || (was_used && was_closed(&result));
        if begun.load(Ordering::Relaxed) || !needs_another {
            return result;
        }
        let mut session = session.renew(envelope, bytes, urgent).await?;
        session.send(envelope, bytes, noting(&mut commit, &begun)).await
    }
}

/// Awaits the commit future and records that it has begun.
async fn noting(commit: &mut Pin<&mut impl Future<Output = Commit>>, begun: &AtomicBool) -> Commit {
    begun.store(true, Ordering::Relaxed);
    commit.await
}

/// Whether the connection has reached a limit of the server, and no recipient has a result yet.
fn is_spent(result: &Result<SendReport, SmtpError>) -> bool {
    matches!(result, Ok(SendReport { outcome: SendOutcome::Spent { .. }, recipients }) if recipients.is_empty())
}

/// Whether the server closed the connection for a reason other than throttling.
fn was_closed(result: &Result<SendReport, SmtpError>) -> bool {
    match result {
        Err(error) => error.is_closed() && NotAccepted::of_error(error) == NotAccepted::NothingSent,
        Ok(SendReport { outcome: SendOutcome::Refused { phase: Phase::Mail, reply }, .. }) => {
            NotAccepted::of_refusal(Phase::Mail, reply) == NotAccepted::NothingSent
        }
        Ok(_) => false,
    }
}

/// Creates the endpoint that the settings describe.
pub(super) fn endpoint(settings: &SmtpSettings) -> Result<Endpoint, BadTransport> {
    let bad = |field, problem: &dyn std::fmt::Display| BadTransport { field, problem: problem.to_string() };
    let security = match settings.security {
        SecuritySetting::Tls => ConnectionSecurity::ImplicitTls(tls(settings.ca_file.as_deref())?),
        SecuritySetting::StartTls => ConnectionSecurity::StartTls(tls(settings.ca_file.as_deref())?),
        SecuritySetting::None => ConnectionSecurity::None,
    };
    let mut endpoint = Endpoint::new(&settings.host, settings.port, security);
    endpoint.hello_name = HelloName::parse(&settings.hello_name).map_err(|error| bad("hello_name", &error))?;
    endpoint.limits = limits(&settings.timeouts);
    let credentials = settings.credentials.as_ref();
    endpoint.credentials = credentials.map(|(user, secret)| Credentials::new(user, secret.expose_secret()));
    Ok(endpoint)
}

/// Creates a TLS client that trusts Mozilla's root certificates and those of a file.
pub(super) fn tls(ca_file: Option<&Path>) -> Result<TlsClient, BadTransport> {
    crate::tls::tls(ca_file).map_err(|problem| BadTransport { field: "ca_file", problem })
}

fn limits(settings: &SmtpTimeouts) -> TimeLimits {
    let usual = TimeLimits::default();
    TimeLimits {
        connect: settings.connect.unwrap_or(usual.connect),
        tls: settings.tls.unwrap_or(usual.tls),
        greeting: settings.greeting.unwrap_or(usual.greeting),
        command: settings.command.unwrap_or(usual.command),
        data: settings.data.unwrap_or(usual.data),
        dot: settings.dot.unwrap_or(usual.dot),
        dot_per_megabyte: settings.dot_per_megabyte.unwrap_or(usual.dot_per_megabyte),
        dot_max: settings.dot_max.unwrap_or(usual.dot_max),
        // No task awaits the reply to QUIT.
        quit: usual.quit,
    }
}

/// A message for some of its recipients.
#[derive(Clone, Copy)]
struct OutgoingMail<'a> {
    bytes: &'a [u8],
    sender: &'a EnvelopeSender,
    to: &'a [EmailAddress],
    urgent: bool,
}

impl OutgoingMail<'_> {
    fn envelope(&self) -> Result<Envelope, String> {
        let parse = |address: &EmailAddress| Address::parse(address.as_str()).map_err(|error| error.to_string());
        let rcpt_to = self.to.iter().map(parse).collect::<Result<_, _>>()?;
        let sender = self.sender.address().map(parse).transpose()?;
        Envelope::new(sender, rcpt_to).map_err(|error| error.to_string())
    }
}

/// Adds the recipients that a server without SMTPUTF8 can't reach. If the transport was at fault,
/// they stay open like the others: another one may reach them.
fn with_unreachable(mut attempt: Attempt, to: &[EmailAddress]) -> Attempt {
    let mut tried = std::mem::take(&mut attempt.recipients);
    let why = "is not ASCII, and the server does not offer SMTPUTF8";
    let outcome = |address: &EmailAddress| match tried.iter().position(|one| one.address == *address) {
        Some(at) => tried.swap_remove(at),
        None => {
            let mut own = RecipientOutcome::unreachable(address, &format!("{address} {why}"));
            if attempt.verdict.blames_transport() || attempt.verdict == Verdict::Aborted {
                (own.verdict, own.reply) = (attempt.verdict, attempt.reply.clone());
            }
            own
        }
    };
    attempt.recipients = to.iter().map(outcome).collect();
    attempt
}

/// Attempt that ended with an error of the session: nothing was sent, or the result is unknown.
fn of_error(to: &[EmailAddress], error: &SmtpError) -> Attempt {
    let attempt = Attempt::not_accepted(to, NotAccepted::of_error(error), &error.to_string());
    let attempt = match error.reply() {
        Some(reply) => attempt.with_codes(reply),
        None => attempt,
    };
    let scope = match error.phase() {
        _ if error.lacks_room() => Scope::Connections,
        phase if is_before_mail(phase) => Scope::NewConnections,
        _ => Scope::Rate,
    };
    let hint = Hint { scope, ..Hint::default() };
    Attempt { phase: Some(error.phase().as_str()), hint, advice: advice::of_error(error), ..attempt }
}

/// Whether no mail was begun in this phase, so that a limit is one of connections.
fn is_before_mail(phase: Phase) -> bool {
    matches!(phase, Phase::Connect | Phase::Tls | Phase::Greeting | Phase::Ehlo | Phase::StartTls | Phase::Auth)
}

/// Attempt with the server's reply to the mail, and to each recipient at RCPT.
fn of_delivery(to: &[EmailAddress], delivery: &SendReport) -> Attempt {
    let attempt = match &delivery.outcome {
        SendOutcome::Accepted { reply } => of_acceptance(to, reply),
        SendOutcome::Refused { phase, reply } => of_refusal(to, *phase, reply),
        SendOutcome::Spent { phase, reply } => of_spent(to, *phase, reply),
        SendOutcome::InDoubt { error } => of_error(to, error),
        SendOutcome::AllRefused => match delivery.refused().next() {
            Some((_, first)) => in_vain(of_refusal(to, Phase::Rcpt, first)),
            None => Attempt::not_accepted(to, NotAccepted::NothingSent, "the server refused all recipients"),
        },
    };
    with_refused(attempt, delivery)
}

/// If no recipient was accepted, "too many recipients" is throttling: another transaction would be
/// refused too.
fn in_vain(attempt: Attempt) -> Attempt {
    match attempt.verdict {
        Verdict::TooManyRecipients => Attempt { verdict: Verdict::Throttled, ..attempt },
        _ => attempt,
    }
}

fn of_acceptance(to: &[EmailAddress], reply: &Acceptance) -> Attempt {
    let attempt = Attempt::accepted(to, &reply.to_string(), Some(&reply.message())).with_codes(reply);
    Attempt { phase: Some(Phase::Dot.as_str()), ..attempt }
}

/// Attempt that was refused because its connection has reached a limit of the server.
fn of_spent(to: &[EmailAddress], phase: Phase, reply: &Refusal) -> Attempt {
    let attempt = Attempt::not_accepted(to, NotAccepted::NothingSent, &reply.to_string()).with_codes(reply);
    Attempt { phase: Some(phase.as_str()), hint: Hint { scope: Scope::Session, ..Hint::default() }, ..attempt }
}

fn of_refusal(to: &[EmailAddress], phase: Phase, refusal: &Refusal) -> Attempt {
    Attempt { advice: Some(advice::of_reply(phase, refusal)), ..Attempt::refused(to, phase, refusal) }
}

/// Applies the reply at RCPT to each refused recipient, whatever the result for the others.
fn with_refused(mut attempt: Attempt, delivery: &SendReport) -> Attempt {
    let some_were_sent = matches!(delivery.outcome, SendOutcome::Accepted { .. });
    for (address, refusal) in delivery.refused() {
        let own = attempt.recipients.iter_mut().find(|own| own.address.as_str() == address.as_str());
        if let Some(own) = own {
            *own = RecipientOutcome::refused(&own.address, refusal);
            if own.verdict == Verdict::TooManyRecipients && !some_were_sent {
                own.verdict = Verdict::Throttled;
            }
        }
    }
    let verdict = Verdict::of_mail(attempt.recipients.iter().map(|own| own.verdict));
    let speaker = attempt.recipients.iter().find(|own| own.verdict == verdict);
    if let Some(speaker) = speaker.filter(|_| verdict.weight() > attempt.verdict.weight()) {
        attempt.verdict = verdict;
        attempt.phase = Some(Phase::Rcpt.as_str());
        attempt.code = speaker.code;
        attempt.enhanced.clone_from(&speaker.enhanced);
        attempt.reply.clone_from(&speaker.reply);
    }
    attempt
}
