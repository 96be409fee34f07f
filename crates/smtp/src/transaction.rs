//! Transaction of one mail: MAIL, RCPT, DATA, message, final dot.

use std::future::Future;

use tokio::time::{Duration, Instant};

use crate::{
    acceptance::Acceptance,
    address::Address,
    capabilities::Capabilities,
    dial::expect_positive,
    envelope::Envelope,
    error::{ErrorKind, Phase, SmtpError},
    hook::{Commit, Hook},
    limits::TimeLimits,
    message::{Body, FINAL_DOT},
    refusal::Refusal,
    reply::Reply,
    send_report::{RcptReply, SendOutcome, SendReport},
    waiters::{Waiters, Waiting},
    wire::{CLOSING, Wire},
};

/// Messages are written in blocks of this size. A message that fits into one is written with the
/// final dot, after the hook.
const BLOCK: usize = 64 * 1024;

/// Maximum number of recipients in one pipelined write. With more, both sides could block while
/// writing.
pub(crate) const RECIPIENTS_A_FLIGHT: usize = 50;

const GO_ON: u16 = 354;

/// Whether the hook runs only after the whole message was written.
pub(crate) fn is_large(message: &[u8]) -> bool {
    message.len() > BLOCK
}

/// State of one transaction.
pub(crate) struct Transaction<'a, F> {
    pub(crate) wire: &'a mut Wire,
    pub(crate) limits: &'a TimeLimits,
    pub(crate) offered: &'a Capabilities,
    pub(crate) hook: Hook<'a, F>,
    pub(crate) envelope: &'a Envelope,
    pub(crate) parameters: MailParameters,
    pub(crate) start: Start,
    /// Queue whose first mail may be pipelined with this one.
    pub(crate) waiters: Option<&'a Waiters>,
    /// Waiter whose envelope was pipelined.
    pub(crate) along: Option<Waiting>,
    /// Time from the final dot to its reply.
    pub(crate) verdict_took: Option<Duration>,
}

/// First command of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// MAIL.
    Mail,
    /// RSET, because the last mail was refused with its transaction open.
    Reset,
    /// None: MAIL, RCPT and DATA were pipelined with the previous message.
    Said,
}

/// Properties of a message that determine the parameters of MAIL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MailSize {
    bytes: usize,
    eight_bit: bool,
}

impl MailSize {
    pub(crate) fn of(message: &[u8]) -> Self {
        Self { bytes: message.len(), eight_bit: !message.is_ascii() }
    }
}

/// Parameters of the MAIL command.
#[derive(Debug)]
pub(crate) struct MailParameters {
    size: Option<usize>,
    eight_bit: bool,
    smtputf8: bool,
}

/// The expected reply, or a refusal. Any other reply is an error.
type Answer = Result<Reply, Refusal>;

/// Replies to the commands before the message.
#[derive(Default)]
struct Opening {
    mail: Option<Answer>,
    recipients: Vec<RcptReply>,
    data: Option<Answer>,
}

impl MailParameters {
    /// Chooses the parameters that this mail needs.
    ///
    /// # Errors
    /// Returns an error if the server lacks an extension that the mail needs, or does not take its
    /// size.
    pub(crate) fn choose(offered: &Capabilities, envelope: &Envelope, message: MailSize) -> Result<Self, SmtpError> {
        let (size, eight_bit) = (message.bytes as u64, message.eight_bit);
        let utf8_address = envelope.needs_smtputf8();
        let kind = match (offered.max_size, utf8_address) {
            (Some(limit), _) if size > limit => ErrorKind::TooBig { size, limit },
            (_, Some(address)) if !offered.smtputf8 => ErrorKind::SmtpUtf8Missing(address.to_string()),
            _ if eight_bit && !offered.eight_bit_mime => ErrorKind::EightBitMissing,
            _ => {
                return Ok(Self {
                    size: offered.size.then_some(message.bytes),
                    eight_bit,
                    smtputf8: utf8_address.is_some(),
                });
            }
        };
        Err(SmtpError::new(Phase::Mail, kind))
    }
}

impl<F: Future<Output = Commit>> Transaction<'_, F> {
    pub(crate) async fn run(&mut self, message: &[u8]) -> Result<SendReport, SmtpError> {
        let opening =
            if self.offered.pipelining { self.open_pipelined().await? } else { self.open_one_by_one().await? };
        match opening.refusal() {
            Some(outcome) => self.withdraw(opening, outcome).await,
            None => self.commit(opening.recipients, message).await,
        }
    }

    /// Writes RSET if due, MAIL, RCPT and DATA in one write, and reads every reply.
    async fn open_pipelined(&mut self) -> Result<Opening, SmtpError> {
        let mut opening = Opening::default();
        let envelope = self.envelope;
        let mut groups = envelope.rcpt_to().chunks(RECIPIENTS_A_FLIGHT).peekable();
        let said = self.start == Start::Said;
        if !said {
            self.add_reset_and_mail();
        }
        while let Some(group) = groups.next() {
            let last = groups.peek().is_none();
            if !said {
                self.write_group(group, last).await?;
            }
            if opening.mail.is_none() {
                let mail = self.read_reset_and_mail().await?;
                if let Err(refusal) = &mail
                    && said
                    && rejects_pipelining(refusal)
                {
                    return Err(SmtpError::new(Phase::Mail, ErrorKind::PipeliningRejected(refusal.to_string())));
                }
                opening.mail = Some(mail);
            }
            self.read_group(group, last, &mut opening).await?;
            if !opening.mail_accepted() {
                break;
            }
        }
        Ok(opening)
    }

    async fn write_group(&mut self, group: &[Address], last: bool) -> Result<(), SmtpError> {
        for address in group {
            add_rcpt(self.wire, address);
        }
        if last {
            self.wire.add(&["DATA"]);
        }
        self.wire.flush(Phase::Mail, self.limits.command).await
    }

    async fn read_group(&mut self, group: &[Address], last: bool, opening: &mut Opening) -> Result<(), SmtpError> {
        for address in group {
            let result = self.read_rcpt(address).await?;
            opening.recipients.push(result);
            if last && opening.may_go_on() {
                self.hook.start();
            }
        }
        if last {
            opening.data = Some(self.read(Phase::Data).await?);
        }
        Ok(())
    }

    /// Writes the commands one by one, for a server without PIPELINING. DATA is written only if a
    /// recipient is accepted.
    async fn open_one_by_one(&mut self) -> Result<Opening, SmtpError> {
        let mut opening = Opening::default();
        if self.start == Start::Reset {
            self.add_reset();
            self.wire.flush(Phase::Rset, self.limits.command).await?;
            self.read_reset().await?;
        }
        add_mail(self.wire, self.envelope, &self.parameters);
        self.wire.flush(Phase::Mail, self.limits.command).await?;
        opening.mail = Some(self.read(Phase::Mail).await?);
        if !opening.mail_accepted() {
            return Ok(opening);
        }
        for address in self.envelope.rcpt_to() {
            add_rcpt(self.wire, address);
            self.wire.flush(Phase::Rcpt, self.limits.command).await?;
            opening.recipients.push(self.read_rcpt(address).await?);
        }
        if opening.may_go_on() {
            self.wire.add(&["DATA"]);
            self.wire.flush(Phase::Data, self.limits.command).await?;
            self.hook.start();
            opening.data = Some(self.read(Phase::Data).await?);
        }
        Ok(opening)
    }

    /// Ends a transaction that was refused before the message.
    async fn withdraw(&mut self, opening: Opening, outcome: SendOutcome) -> Result<SendReport, SmtpError> {
        let waits_for_message = matches!(opening.data, Some(Ok(_)));
        if waits_for_message {
            // An empty message without recipients (RFC 2920 §3.1). A recipient must never get it.
            if opening.recipients.iter().any(RcptReply::is_accepted) {
                let text = "354 after refusing MAIL".to_owned();
                return Err(SmtpError::new(Phase::Data, ErrorKind::Unexpected(text)));
            }
            self.wire.out.extend_from_slice(FINAL_DOT);
            self.wire.flush(Phase::Dot, self.limits.command).await?;
            self.wire.reply(Phase::Dot, self.limits.command).await?;
        }
        let recipients = match outcome {
            // After a refused pipelined MAIL, the replies to RCPT only report the missing MAIL.
            SendOutcome::Refused { phase: Phase::Mail, .. } => Vec::new(),
            _ => opening.recipients,
        };
        Ok(SendReport { outcome, recipients })
    }

    /// Writes the message and, if the hook agrees, its final dot.
    async fn commit(&mut self, recipients: Vec<RcptReply>, message: &[u8]) -> Result<SendReport, SmtpError> {
        self.write_body(message).await?;
        if self.hook.decide().await == Commit::Abort {
            return Err(SmtpError::new(Phase::Dot, ErrorKind::Aborted));
        }
        // A server that closed or replied before the end of the message has not accepted it and
        // must not get the dot.
        self.wire.expect_silence(Phase::Body).await?;
        let end = self.wire.out.len();
        self.take_along();
        // The server can't have the dot before the kernel has taken its last byte.
        match self.wire.flush(Phase::Body, self.limits.data).await {
            Err(error) if self.wire.may_have_left(end) => {
                return Ok(SendReport { outcome: in_doubt(error), recipients });
            }
            flushed => flushed?,
        }
        let asked = Instant::now();
        let outcome = self.read_verdict(message.len()).await?;
        self.verdict_took = Some(asked.elapsed());
        Ok(SendReport { outcome, recipients })
    }

    /// Writes a large message. The final dot stays in the buffer, after the whole message if that
    /// is small.
    async fn write_body(&mut self, message: &[u8]) -> Result<(), SmtpError> {
        let mut body = Body::new(message);
        while body.fill(&mut self.wire.out, BLOCK) {
            let written = self.wire.flush(Phase::Body, self.limits.data);
            self.hook.beside(written).await?;
        }
        if is_large(message) {
            self.wire.flush(Phase::Body, self.limits.data).await?;
        }
        self.wire.out.extend_from_slice(FINAL_DOT);
        Ok(())
    }

    async fn read_verdict(&mut self, bytes: usize) -> Result<SendOutcome, SmtpError> {
        let phase = Phase::Dot;
        match self.wire.reply(phase, self.limits.after_dot(bytes)).await {
            Ok(reply) => Ok(verdict(reply)),
            Err(error) if error.reply().is_some_and(|reply| reply.code == CLOSING) => Err(error),
            Err(error) => Ok(in_doubt(error)),
        }
    }

    fn add_reset_and_mail(&mut self) {
        if self.start == Start::Reset {
            self.add_reset();
        }
        add_mail(self.wire, self.envelope, &self.parameters);
    }

    async fn read_reset_and_mail(&mut self) -> Result<Answer, SmtpError> {
        if self.start == Start::Reset {
            self.read_reset().await?;
        }
        self.read(Phase::Mail).await
    }

    fn add_reset(&mut self) {
        self.wire.add(&["RSET"]);
    }

    async fn read_reset(&mut self) -> Result<(), SmtpError> {
        let reply = self.wire.reply(Phase::Rset, self.limits.command).await?;
        expect_positive(Phase::Rset, reply).map(drop)
    }

    /// Adds the envelope of the next waiting mail to the write of the final dot, which saves a
    /// round trip.
    fn take_along(&mut self) {
        let Some((waiting, parameters)) = self.waiters.and_then(|waiters| waiters.take_along(self.offered)) else {
            return;
        };
        if let Some(envelope) = waiting.envelope() {
            add_mail(self.wire, envelope, &parameters);
            envelope.rcpt_to().iter().for_each(|address| add_rcpt(self.wire, address));
            self.wire.add(&["DATA"]);
        }
        self.along = Some(waiting);
    }

    async fn read_rcpt(&mut self, address: &Address) -> Result<RcptReply, SmtpError> {
        Ok(RcptReply { address: address.clone(), reply: self.read(Phase::Rcpt).await? })
    }

    /// Reads the reply to a command before the message.
    async fn read(&mut self, phase: Phase) -> Result<Answer, SmtpError> {
        let limit = match phase {
            Phase::Data => self.limits.data,
            _ => self.limits.command,
        };
        let reply = self.hook.beside(self.wire.reply(phase, limit)).await?;
        let fits = match phase {
            Phase::Data => reply.code == GO_ON,
            _ => reply.is_positive(),
        };
        if fits {
            return Ok(Ok(reply));
        }
        Refusal::of(reply).map(Err).map_err(|unexpected| SmtpError::new(phase, unexpected))
    }
}

impl Opening {
    fn mail_accepted(&self) -> bool {
        matches!(self.mail, Some(Ok(_)))
    }

    /// Whether a recipient is accepted.
    fn may_go_on(&self) -> bool {
        self.mail_accepted() && self.recipients.iter().any(RcptReply::is_accepted)
    }

    /// SendOutcome of the mail if it was refused before the message.
    fn refusal(&self) -> Option<SendOutcome> {
        if let Some(Err(refusal)) = &self.mail {
            return Some(refused(Phase::Mail, refusal));
        }
        if !self.may_go_on() {
            return Some(SendOutcome::AllRefused);
        }
        let refusal = self.data.as_ref()?.as_ref().err()?;
        Some(refused(Phase::Data, refusal))
    }
}

/// Whether the reply rejects the order of commands, not the mail (RFC 3463, X.5.X).
fn rejects_pipelining(reply: &Reply) -> bool {
    let of_protocol = reply.enhanced.is_some_and(|enhanced| enhanced.subject == 5);
    reply.code == 503 || (reply.code == 554 && of_protocol)
}

fn add_mail(wire: &mut Wire, envelope: &Envelope, parameters: &MailParameters) {
    let sender = envelope.mail_from().map_or("", Address::as_str);
    let size = parameters.size.map(|size| format!(" SIZE={size}"));
    wire.add(&[
        "MAIL FROM:<",
        sender,
        ">",
        size.as_deref().unwrap_or_default(),
        if parameters.eight_bit { " BODY=8BITMIME" } else { "" },
        if parameters.smtputf8 { " SMTPUTF8" } else { "" },
    ]);
}

fn add_rcpt(wire: &mut Wire, address: &Address) {
    wire.add(&["RCPT TO:<", address.as_str(), ">"]);
}

fn refused(phase: Phase, reply: &Refusal) -> SendOutcome {
    SendOutcome::Refused { phase, reply: reply.clone() }
}

/// SendOutcome by the reply to the final dot. After an unexpected reply the mail is in doubt: the
/// server has the whole message.
fn verdict(reply: Reply) -> SendOutcome {
    let phase = Phase::Dot;
    match Acceptance::at_the_dot(reply).map_err(Refusal::of) {
        Ok(reply) => SendOutcome::Accepted { reply },
        Err(Ok(reply)) => SendOutcome::Refused { phase, reply },
        Err(Err(unexpected)) => in_doubt(SmtpError::new(phase, unexpected)),
    }
}

fn in_doubt(error: SmtpError) -> SendOutcome {
    SendOutcome::InDoubt { error: error.after_commit() }
}
