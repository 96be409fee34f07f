//! One mail: MAIL, RCPT, DATA, the message, the final dot.

use std::future::Future;

use tokio::time::{Duration, Instant};

use crate::{
    acceptance::Acceptance,
    address::Address,
    capabilities::Capabilities,
    delivery::{Delivery, Outcome, RecipientResult},
    dial::expect_positive,
    envelope::Envelope,
    error::{Phase, SmtpError, Trouble},
    hook::{Commit, Hook},
    limits::TimeLimits,
    lineup::{Lineup, Waiting},
    message::{Body, FINAL_DOT},
    refusal::Refusal,
    reply::Reply,
    wire::{CLOSING, Wire},
};

/// A message leaves in blocks of this size. One that fits into a block leaves with the final dot, after the hook.
const BLOCK: usize = 64 * 1024;

/// So many recipients in a flight: with more, both sides could wait for the other to read.
pub(crate) const RECIPIENTS_A_FLIGHT: usize = 50;

const GO_ON: u16 = 354;

/// Whether the hook has to wait for the whole message to be written.
pub(crate) fn is_large(message: &[u8]) -> bool {
    message.len() > BLOCK
}

/// Everything one mail needs; gone when it is done.
pub(crate) struct Transaction<'a, F> {
    pub(crate) wire: &'a mut Wire,
    pub(crate) limits: &'a TimeLimits,
    pub(crate) offered: &'a Capabilities,
    pub(crate) hook: Hook<'a, F>,
    pub(crate) envelope: &'a Envelope,
    pub(crate) parameters: MailParameters,
    pub(crate) start: Start,
    /// Whose next mail may go along with this one.
    pub(crate) lineup: Option<&'a Lineup>,
    /// Who does.
    pub(crate) along: Option<Waiting>,
    /// From the final dot to the reply.
    pub(crate) verdict_took: Option<Duration>,
}

/// How a mail begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With MAIL.
    Mail,
    /// With RSET: the last mail was refused with its transaction open.
    Reset,
    /// MAIL, RCPT and DATA were said with the message before.
    Said,
}

/// What of a message decides how it is announced.
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

/// What is said after the address in MAIL.
#[derive(Debug)]
pub(crate) struct MailParameters {
    size: Option<usize>,
    eight_bit: bool,
    smtputf8: bool,
}

/// The reply that was asked for, or a refusal: any other is an error.
type Answer = Result<Reply, Refusal>;

/// The replies before the message.
#[derive(Default)]
struct Opening {
    mail: Option<Answer>,
    recipients: Vec<RecipientResult>,
    data: Option<Answer>,
}

impl MailParameters {
    /// What this mail needs; an error if the server does not offer it.
    pub(crate) fn choose(offered: &Capabilities, envelope: &Envelope, message: MailSize) -> Result<Self, SmtpError> {
        let (size, eight_bit) = (message.bytes as u64, message.eight_bit);
        let utf8_address = envelope.needs_smtputf8();
        let trouble = match (offered.max_size, utf8_address) {
            (Some(limit), _) if size > limit => Trouble::TooBig { size, limit },
            (_, Some(address)) if !offered.smtputf8 => Trouble::SmtpUtf8Missing(address.to_string()),
            _ if eight_bit && !offered.eight_bit_mime => Trouble::EightBitMissing,
            _ => {
                return Ok(Self {
                    size: offered.size.then_some(message.bytes),
                    eight_bit,
                    smtputf8: utf8_address.is_some(),
                });
            }
        };
        Err(SmtpError::new(Phase::Mail, trouble))
    }
}

impl<F: Future<Output = Commit>> Transaction<'_, F> {
    pub(crate) async fn run(&mut self, message: &[u8]) -> Result<Delivery, SmtpError> {
        let opening =
            if self.offered.pipelining { self.open_pipelined().await? } else { self.open_one_by_one().await? };
        match opening.refusal() {
            Some(outcome) => self.withdraw(opening, outcome).await,
            None => self.commit(opening.recipients, message).await,
        }
    }

    /// RSET if due, MAIL, RCPTs and DATA in one write; every reply is read and looked at.
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
                    && is_out_of_step(refusal)
                {
                    return Err(SmtpError::new(Phase::Mail, Trouble::OutOfStep(refusal.to_string())));
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

    /// The same for a server without PIPELINING; DATA is not said in vain.
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

    /// Ends a transaction that the server refused before the message.
    async fn withdraw(&mut self, opening: Opening, outcome: Outcome) -> Result<Delivery, SmtpError> {
        let waits_for_message = matches!(opening.data, Some(Ok(_)));
        if waits_for_message {
            // An empty message to nobody (RFC 2920 §3.1). To somebody it must not go.
            if opening.recipients.iter().any(RecipientResult::is_accepted) {
                let text = "354 after it had refused MAIL".to_owned();
                return Err(SmtpError::new(Phase::Data, Trouble::Unexpected(text)));
            }
            self.wire.out.extend_from_slice(FINAL_DOT);
            self.wire.flush(Phase::Dot, self.limits.command).await?;
            self.wire.reply(Phase::Dot, self.limits.command).await?;
        }
        let recipients = match outcome {
            // In a flight, recipients of a refused sender are answered by "MAIL first": no word about them.
            Outcome::Refused { phase: Phase::Mail, .. } => Vec::new(),
            _ => opening.recipients,
        };
        Ok(Delivery { outcome, recipients })
    }

    /// The message and, with the hook's consent, its final dot.
    async fn commit(&mut self, recipients: Vec<RecipientResult>, message: &[u8]) -> Result<Delivery, SmtpError> {
        self.write_body(message).await?;
        if self.hook.decide().await == Commit::Abort {
            return Err(SmtpError::new(Phase::Dot, Trouble::Aborted));
        }
        // Who closed or said something before the end of the message has not taken it, and is not to get it.
        self.wire.expect_silence(Phase::Body).await?;
        let end = self.wire.out.len();
        self.take_along();
        // As long as the kernel has not taken the last byte of the dot, the server can't have it.
        match self.wire.flush(Phase::Body, self.limits.data).await {
            Err(error) if self.wire.may_have_left(end) => return Ok(Delivery { outcome: in_doubt(error), recipients }),
            flushed => flushed?,
        }
        let asked = Instant::now();
        let outcome = self.read_verdict(message.len()).await?;
        self.verdict_took = Some(asked.elapsed());
        Ok(Delivery { outcome, recipients })
    }

    /// Leaves the final dot as the next flight, of a small message with the message before it.
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

    async fn read_verdict(&mut self, bytes: usize) -> Result<Outcome, SmtpError> {
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

    /// Adds the envelope of the next mail to the flight with the final dot, if one waits: it saves a round trip.
    fn take_along(&mut self) {
        let Some((waiting, parameters)) = self.lineup.and_then(|lineup| lineup.take_along(self.offered)) else {
            return;
        };
        if let Some(envelope) = waiting.envelope() {
            add_mail(self.wire, envelope, &parameters);
            envelope.rcpt_to().iter().for_each(|address| add_rcpt(self.wire, address));
            self.wire.add(&["DATA"]);
        }
        self.along = Some(waiting);
    }

    async fn read_rcpt(&mut self, address: &Address) -> Result<RecipientResult, SmtpError> {
        Ok(RecipientResult { address: address.clone(), reply: self.read(Phase::Rcpt).await? })
    }

    /// The reply to a command of the opening, which must fit it.
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

    /// Whether the message has somebody to go to.
    fn may_go_on(&self) -> bool {
        self.mail_accepted() && self.recipients.iter().any(RecipientResult::is_accepted)
    }

    /// What the mail came to, if it came to an end before the message.
    fn refusal(&self) -> Option<Outcome> {
        if let Some(Err(refusal)) = &self.mail {
            return Some(refused(Phase::Mail, refusal));
        }
        if !self.may_go_on() {
            return Some(Outcome::AllRefused);
        }
        let refusal = self.data.as_ref()?.as_ref().err()?;
        Some(refused(Phase::Data, refusal))
    }
}

/// Whether a server complains of the order of commands rather than of a mail (RFC 3463, X.5.X).
fn is_out_of_step(reply: &Reply) -> bool {
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

fn refused(phase: Phase, reply: &Refusal) -> Outcome {
    Outcome::Refused { phase, reply: reply.clone() }
}

/// What the reply to the final dot means. A 3yz reply means nothing there, and the server has the whole message.
fn verdict(reply: Reply) -> Outcome {
    let phase = Phase::Dot;
    match Acceptance::at_the_dot(reply).map_err(Refusal::of) {
        Ok(reply) => Outcome::Accepted { reply },
        Err(Ok(reply)) => Outcome::Refused { phase, reply },
        Err(Err(unexpected)) => in_doubt(SmtpError::new(phase, unexpected)),
    }
}

fn in_doubt(error: SmtpError) -> Outcome {
    Outcome::InDoubt { error: error.after_commit() }
}
