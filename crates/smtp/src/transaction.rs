//! Transaction of one mail: MAIL, RCPT, DATA, message, final dot.

use std::future::Future;

use tokio::time::{Duration, Instant};

use crate::{
    acceptance::Acceptance,
    address::Address,
    body_encoder::{BodyEncoder, FINAL_DOT},
    capabilities::Capabilities,
    envelope::{Envelope, MAX_PIPELINED_RECIPIENTS},
    error::{ErrorKind, Phase, SmtpError, expect_positive},
    hook::{Commit, Hook},
    limits::TimeLimits,
    mail_parameters::{MailParameters, NextEnvelope},
    refusal::Refusal,
    reply::Reply,
    send_report::{RcptReply, SendOutcome, SendReport},
    wire::Wire,
};

/// Messages are written in blocks of this size. A message that fits into one is written with the
/// final dot, after the hook.
const BLOCK: usize = 64 * 1024;

/// Reply that requests the message (RFC 5321 §4.2.2).
const START_MAIL_INPUT: u16 = 354;

/// Whether the hook runs only after the whole message was written.
pub(crate) fn is_large(message: &[u8]) -> bool {
    message.len() > BLOCK
}

/// State of one transaction.
pub(crate) struct Transaction<'a, F, N> {
    pub(crate) wire: &'a mut Wire,
    pub(crate) limits: &'a TimeLimits,
    pub(crate) offered: &'a Capabilities,
    pub(crate) hook: Hook<'a, F>,
    pub(crate) envelope: &'a Envelope,
    pub(crate) parameters: MailParameters,
    pub(crate) start: Start,
    /// Returns the envelope to pipeline with this message, if there is one. Called at most once.
    pub(crate) next: Option<N>,
    /// Whether that envelope was added to the last write.
    pub(crate) next_written: bool,
    /// Time from the final dot to its reply.
    pub(crate) reply_time: Option<Duration>,
    /// End of the connection after refusals that stand.
    pub(crate) ended: Option<SmtpError>,
}

/// First command of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// MAIL.
    Mail,
    /// RSET, because the last mail was refused with its transaction open.
    Reset,
    /// No command: MAIL, RCPT and DATA were pipelined with the previous message.
    Pipelined,
}

/// The expected reply, or a refusal. Any other reply is an error.
type CommandReply = Result<Reply, Refusal>;

/// Replies to the commands before the message.
#[derive(Default)]
struct EnvelopeReplies {
    mail: Option<CommandReply>,
    recipients: Vec<RcptReply>,
    data: Option<CommandReply>,
}

impl<F, N> Transaction<'_, F, N>
where
    F: Future<Output = Commit>,
    N: FnOnce(&Capabilities) -> Option<NextEnvelope>,
{
    pub(crate) async fn run(&mut self, message: &[u8]) -> Result<SendReport, SmtpError> {
        let mut replies = EnvelopeReplies::default();
        let opened = match self.offered.pipelining {
            true => self.open_pipelined(&mut replies).await,
            false => self.open_one_by_one(&mut replies).await,
        };
        if let Err(error) = opened {
            return self.end_closed(replies, error);
        }
        match replies.refusal() {
            Some(outcome) => self.end_refused(replies, outcome).await,
            None => self.commit(replies.recipients, message).await,
        }
    }

    /// Ends a transaction whose connection ended. Refusals that arrived before stand: a server may
    /// close the connection because there are too many. Nothing was sent to the other recipients.
    fn end_closed(&mut self, replies: EnvelopeReplies, error: SmtpError) -> Result<SendReport, SmtpError> {
        let is_refused = replies.recipients.iter().any(|own| !own.is_accepted());
        let outcome = match (replies.refusal_of(self.envelope), error.reply()) {
            (Some(outcome), _) if error.is_closed() => outcome,
            (None, Some(reply)) if reply.is_closing() && is_refused => refused(error.phase(), reply),
            _ => return Err(error),
        };
        let recipients = match outcome {
            SendOutcome::Refused { phase: Phase::Mail, .. } => Vec::new(),
            _ => replies.recipients,
        };
        self.ended = Some(error);
        Ok(SendReport { outcome, recipients })
    }

    /// Writes RSET if due, MAIL, RCPT and DATA in one write, and reads every reply.
    async fn open_pipelined(&mut self, replies: &mut EnvelopeReplies) -> Result<(), SmtpError> {
        let envelope = self.envelope;
        let mut groups = envelope.rcpt_to().chunks(MAX_PIPELINED_RECIPIENTS).peekable();
        let pipelined = self.start == Start::Pipelined;
        if !pipelined {
            self.add_reset_and_mail();
        }
        while let Some(group) = groups.next() {
            let last = groups.peek().is_none();
            if !pipelined {
                self.write_group(group, last).await?;
            }
            if replies.mail.is_none() {
                let mail = self.read_reset_and_mail().await?;
                if let Err(refusal) = &mail
                    && pipelined
                    && rejects_pipelining(refusal)
                {
                    return Err(SmtpError::new(Phase::Mail, ErrorKind::PipeliningRejected(refusal.to_string())));
                }
                replies.mail = Some(mail);
            }
            self.read_group(group, last, replies).await?;
            if !replies.mail_accepted() {
                break;
            }
        }
        Ok(())
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

    async fn read_group(
        &mut self,
        group: &[Address],
        last: bool,
        replies: &mut EnvelopeReplies,
    ) -> Result<(), SmtpError> {
        for address in group {
            let result = self.read_rcpt(address).await?;
            replies.recipients.push(result);
            if last && replies.has_accepted_recipient() {
                self.hook.start();
            }
        }
        if last {
            replies.data = Some(self.read(Phase::Data).await?);
        }
        Ok(())
    }

    /// Writes the commands one by one, for a server without PIPELINING. DATA is written only if a
    /// recipient is accepted.
    async fn open_one_by_one(&mut self, replies: &mut EnvelopeReplies) -> Result<(), SmtpError> {
        if self.start == Start::Reset {
            self.add_reset();
            self.wire.flush(Phase::Rset, self.limits.command).await?;
            self.read_reset().await?;
        }
        add_mail(self.wire, self.envelope, &self.parameters);
        self.wire.flush(Phase::Mail, self.limits.command).await?;
        replies.mail = Some(self.read(Phase::Mail).await?);
        if !replies.mail_accepted() {
            return Ok(());
        }
        for address in self.envelope.rcpt_to() {
            add_rcpt(self.wire, address);
            self.wire.flush(Phase::Rcpt, self.limits.command).await?;
            replies.recipients.push(self.read_rcpt(address).await?);
        }
        if replies.has_accepted_recipient() {
            self.wire.add(&["DATA"]);
            self.wire.flush(Phase::Data, self.limits.command).await?;
            self.hook.start();
            replies.data = Some(self.read(Phase::Data).await?);
        }
        Ok(())
    }

    /// Ends a transaction that was refused before the message.
    async fn end_refused(&mut self, replies: EnvelopeReplies, outcome: SendOutcome) -> Result<SendReport, SmtpError> {
        let waits_for_message = matches!(replies.data, Some(Ok(_)));
        if waits_for_message {
            // An empty message without recipients (RFC 2920 §3.1). A recipient must never get it.
            if replies.recipients.iter().any(RcptReply::is_accepted) {
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
            _ => replies.recipients,
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
        self.wire.expect_no_input(Phase::Body).await?;
        let end = self.wire.out.len();
        self.pipeline_next();
        // The server can't have the dot before the kernel has taken its last byte.
        match self.wire.flush(Phase::Body, self.limits.data).await {
            Err(error) if self.wire.may_have_sent(end) => {
                return Ok(SendReport { outcome: in_doubt(error), recipients });
            }
            flushed => flushed?,
        }
        let dot_sent_at = Instant::now();
        let outcome = self.read_dot_reply(message.len()).await?;
        self.reply_time = Some(dot_sent_at.elapsed());
        Ok(SendReport { outcome, recipients })
    }

    /// Writes a large message. The final dot stays in the buffer, after the whole message if that
    /// is small.
    async fn write_body(&mut self, message: &[u8]) -> Result<(), SmtpError> {
        let mut body = BodyEncoder::new(message);
        while body.fill(&mut self.wire.out, BLOCK) {
            let written = self.wire.flush(Phase::Body, self.limits.data);
            self.hook.alongside(written).await?;
        }
        if is_large(message) {
            self.wire.flush(Phase::Body, self.limits.data).await?;
        }
        self.wire.out.extend_from_slice(FINAL_DOT);
        Ok(())
    }

    async fn read_dot_reply(&mut self, bytes: usize) -> Result<SendOutcome, SmtpError> {
        let phase = Phase::Dot;
        match self.wire.reply(phase, self.limits.after_dot(bytes)).await {
            Ok(reply) => Ok(dot_outcome(reply)),
            Err(error) if error.reply().is_some_and(Refusal::closes_without_the_mail) => Err(error),
            Err(error) => Ok(in_doubt(error)),
        }
    }

    fn add_reset_and_mail(&mut self) {
        if self.start == Start::Reset {
            self.add_reset();
        }
        add_mail(self.wire, self.envelope, &self.parameters);
    }

    async fn read_reset_and_mail(&mut self) -> Result<CommandReply, SmtpError> {
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

    /// Adds the envelope of the next mail to the write of the final dot, which saves a round trip.
    fn pipeline_next(&mut self) {
        let next = self.next.take().filter(|_| self.offered.pipelining);
        let Some(NextEnvelope { envelope, parameters }) = next.and_then(|next| next(self.offered)) else { return };
        add_mail(self.wire, &envelope, &parameters);
        envelope.rcpt_to().iter().for_each(|address| add_rcpt(self.wire, address));
        self.wire.add(&["DATA"]);
        self.next_written = true;
    }

    async fn read_rcpt(&mut self, address: &Address) -> Result<RcptReply, SmtpError> {
        Ok(RcptReply { address: address.clone(), reply: self.read(Phase::Rcpt).await? })
    }

    /// Reads the reply to a command before the message.
    async fn read(&mut self, phase: Phase) -> Result<CommandReply, SmtpError> {
        let limit = match phase {
            Phase::Data => self.limits.data,
            _ => self.limits.command,
        };
        let reply = self.hook.alongside(self.wire.reply(phase, limit)).await?;
        let fits = match phase {
            Phase::Data => reply.code == START_MAIL_INPUT,
            _ => reply.is_positive(),
        };
        if fits {
            return Ok(Ok(reply));
        }
        Refusal::of(reply).map(Err).map_err(|unexpected| SmtpError::new(phase, unexpected))
    }
}

impl EnvelopeReplies {
    fn mail_accepted(&self) -> bool {
        matches!(self.mail, Some(Ok(_)))
    }

    /// Whether a recipient is accepted.
    fn has_accepted_recipient(&self) -> bool {
        self.mail_accepted() && self.recipients.iter().any(RcptReply::is_accepted)
    }

    /// Outcome of the mail if it was refused before the connection ended.
    fn refusal_of(&self, envelope: &Envelope) -> Option<SendOutcome> {
        let is_complete = matches!(self.mail, Some(Err(_))) || self.recipients.len() == envelope.rcpt_to().len();
        if is_complete { self.refusal() } else { None }
    }

    /// Outcome of the mail if it was refused before the message.
    fn refusal(&self) -> Option<SendOutcome> {
        if let Some(Err(refusal)) = &self.mail {
            return Some(refused(Phase::Mail, refusal));
        }
        if !self.has_accepted_recipient() {
            return Some(SendOutcome::AllRefused);
        }
        let refusal = self.data.as_ref()?.as_ref().err()?;
        Some(refused(Phase::Data, refusal))
    }
}

/// Whether the reply rejects the order of commands, not the mail (RFC 3463, X.5.X).
fn rejects_pipelining(reply: &Reply) -> bool {
    let is_protocol_error = reply.enhanced.is_some_and(|enhanced| enhanced.subject == 5);
    reply.code == 503 || (reply.code == 554 && is_protocol_error)
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

/// Outcome by the reply to the final dot. After an unexpected reply the mail is in doubt: the
/// server has the whole message.
fn dot_outcome(reply: Reply) -> SendOutcome {
    let phase = Phase::Dot;
    match Acceptance::at_the_dot(reply).map_err(Refusal::of) {
        Ok(reply) => SendOutcome::Accepted { reply },
        Err(Ok(reply)) if reply.is_about_next_server() => in_doubt(SmtpError::new(phase, ErrorKind::Refused(reply))),
        Err(Ok(reply)) => SendOutcome::Refused { phase, reply },
        Err(Err(unexpected)) => in_doubt(SmtpError::new(phase, unexpected)),
    }
}

fn in_doubt(error: SmtpError) -> SendOutcome {
    SendOutcome::InDoubt { error: error.after_commit() }
}
