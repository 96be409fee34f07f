//! Faults: what fails, at which phase, for which target and how often.

use super::reply::is_yes;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One fault, created by [`Fault::at`] and restricted by its other methods.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Phase of the session.
    pub at: FaultPhase,
    /// Conditions that all must hold; empty for every session.
    pub to: Vec<FaultTarget>,
    /// For [`FaultPhase::Body`]: minimum number of content bytes received before.
    pub byte: usize,
    /// Number of times; `None` is unlimited.
    pub times: Option<usize>,
    /// Action in place of the usual reply.
    pub act: Action,
}

/// Phase of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPhase {
    /// Connection was accepted.
    Accept,
    /// Greeting.
    Banner,
    /// Reply to EHLO or HELO.
    Ehlo,
    /// Reply to STARTTLS.
    StartTls,
    /// TLS handshake.
    Tls,
    /// Last reply of an AUTH exchange.
    Auth,
    /// Reply to MAIL.
    Mail,
    /// Reply to one RCPT.
    Rcpt,
    /// Reply to DATA.
    Data,
    /// Content arrived: its first bytes, or more than [`Fault::byte`].
    Body,
    /// Reply to the final dot.
    Dot,
    /// Reply to RSET.
    Rset,
    /// Reply to QUIT.
    Quit,
    /// Idle time after the reply to a final dot. If the client sends a command during the delay of
    /// the fault, the fault does not apply.
    Idle,
}

/// Condition of a [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultTarget {
    /// Recipient: the one of this RCPT in [`FaultPhase::Rcpt`], afterwards any accepted one.
    Recipient(String),
    /// Position of the RCPT in its transaction, counted from 1.
    RcptNumber(usize),
    /// Sender.
    Sender(String),
    /// Connection, counted from 1.
    Connection(usize),
    /// Mail with an envelope that arrived together with the previous message.
    Ahead,
    /// Transaction of the server, counted from 1 by MAIL commands; outside a transaction, the
    /// previous one.
    Message(usize),
}

/// Action of a fault.
#[derive(Clone, Debug)]
pub enum Action {
    /// Usual reply: an exception from a later fault, or a base for the methods below.
    Usual,
    /// Reply with this code and these lines; the session continues according to the code.
    Reply(u16, Vec<String>),
    /// Reply with this code and these lines, after which the connection is closed.
    ReplyAndClose(u16, Vec<String>),
    /// Raw bytes in place of the reply, which need not be SMTP; the command counts as refused.
    Raw(Vec<u8>),
    /// Delay before the next matching action.
    Delay(Duration),
    /// Random delay up to this duration, before the usual reply.
    DelayUpTo(Duration),
    /// No reply, and no further reads.
    Stall,
    /// Orderly close of the connection (FIN).
    Close,
    /// Reset of the connection (RST).
    Reset,
    /// The mail is stored, but the connection is closed without a reply. For [`FaultPhase::Dot`].
    StoreThenClose,
    /// The mail is stored, but never answered. For [`FaultPhase::Dot`].
    StoreThenStall,
    /// The inner action, sent byte by byte; see [`Action::byte_by_byte`].
    ByteByByte(Box<Action>),
    /// The inner action, followed by unsolicited bytes after a pause; see [`Action::then_sends`].
    ThenSends(Box<Action>, Duration, Vec<u8>),
}

impl Fault {
    /// Creates a fault that applies to every session, without a limit.
    pub fn at(at: FaultPhase, act: Action) -> Self {
        Self { at, to: Vec::new(), byte: 0, times: None, act }
    }

    /// Restricts the fault to a recipient.
    pub fn recipient(self, address: &str) -> Self {
        self.only(FaultTarget::Recipient(address.to_owned()))
    }

    /// Restricts the fault to a sender.
    pub fn sender(self, address: &str) -> Self {
        self.only(FaultTarget::Sender(address.to_owned()))
    }

    /// Restricts the fault to a connection, counted from 1.
    pub fn connection(self, number: usize) -> Self {
        self.only(FaultTarget::Connection(number))
    }

    /// Restricts the fault to a transaction of the server, counted from 1.
    pub fn message(self, number: usize) -> Self {
        self.only(FaultTarget::Message(number))
    }

    /// Restricts the fault to mails with an envelope that arrived together with the previous
    /// message.
    pub fn ahead(self) -> Self {
        self.only(FaultTarget::Ahead)
    }

    /// Restricts the fault to an RCPT by its position in the transaction, counted from 1.
    pub fn rcpt_number(self, number: usize) -> Self {
        self.only(FaultTarget::RcptNumber(number))
    }

    /// Restricts [`FaultPhase::Body`] to content after this number of bytes on the wire.
    pub fn byte(self, byte: usize) -> Self {
        Self { byte, ..self }
    }

    /// Limits how often the fault applies.
    pub fn times(self, count: usize) -> Self {
        Self { times: Some(count), ..self }
    }

    fn only(mut self, target: FaultTarget) -> Self {
        self.to.push(target);
        self
    }

    /// Returns whether the fault applies, and counts it if so.
    fn applies(&mut self, moment: &SessionMoment<'_>) -> bool {
        let applies = self.at == moment.phase
            && self.times != Some(0)
            && moment.bytes.contains(&self.byte)
            && self.to.iter().all(|target| target.matches(moment));
        if applies {
            self.times = self.times.map(|times| times - 1);
        }
        applies
    }
}

impl FaultTarget {
    fn matches(&self, moment: &SessionMoment<'_>) -> bool {
        match self {
            Self::Recipient(address) => moment.recipients.contains(address),
            Self::RcptNumber(number) => moment.rcpt_number == Some(*number),
            Self::Sender(address) => moment.sender == Some(address),
            Self::Connection(number) => moment.connection == *number,
            Self::Ahead => moment.is_ahead,
            Self::Message(number) => moment.message == Some(*number),
        }
    }
}

impl Action {
    /// Reply of one line, such as `reply(550, "5.1.1 no such user")`.
    pub fn reply(code: u16, line: &str) -> Self {
        Self::Reply(code, vec![line.to_owned()])
    }

    /// Reply of one line, after which the connection is closed, such as `reply_and_close(421,
    /// "4.3.2 bye")`.
    pub fn reply_and_close(code: u16, line: &str) -> Self {
        Self::ReplyAndClose(code, vec![line.to_owned()])
    }

    /// Sends the reply of this action one byte at a time.
    pub fn byte_by_byte(self) -> Self {
        Self::ByteByByte(Box::new(self))
    }

    /// Sends unsolicited bytes after the reply: in the same packet without a pause, otherwise
    /// later, even if the reply closes the connection.
    pub fn then_sends(self, pause: Duration, bytes: &str) -> Self {
        Self::ThenSends(Box::new(self), pause, bytes.as_bytes().to_vec())
    }

    /// Whether a mail with this action is stored. `usual` is the code of the usual reply.
    pub(super) fn stores(&self, usual: u16) -> bool {
        match self {
            Self::Reply(code, _) | Self::ReplyAndClose(code, _) => is_yes(*code),
            Self::StoreThenClose | Self::StoreThenStall => true,
            Self::Usual | Self::Delay(_) | Self::DelayUpTo(_) => is_yes(usual),
            Self::ByteByByte(act) | Self::ThenSends(act, ..) => act.stores(usual),
            Self::Raw(_) | Self::Stall | Self::Close | Self::Reset => false,
        }
    }
}

/// Random number from 0.0 to 1.0.
fn chance() -> f64 {
    f64::from(RandomState::new().build_hasher().finish() as u32) / f64::from(u32::MAX)
}

/// State of a session that a [`Fault`] is matched against.
#[derive(Debug)]
pub(super) struct SessionMoment<'a> {
    pub(super) phase: FaultPhase,
    pub(super) connection: usize,
    pub(super) message: Option<usize>,
    pub(super) rcpt_number: Option<usize>,
    pub(super) is_ahead: bool,
    /// Range of content bytes that just arrived; `0..1` outside content.
    pub(super) bytes: Range<usize>,
    pub(super) sender: Option<&'a String>,
    pub(super) recipients: &'a [String],
}

#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Returns the total delay of the matching faults, and the first other action.
    pub(super) fn take(&self, moment: &SessionMoment<'_>) -> (Duration, Option<Action>) {
        let mut delay = Duration::ZERO;
        for fault in self.lock().iter_mut() {
            if !fault.applies(moment) {
                continue;
            }
            match &fault.act {
                Action::Delay(more) => delay += *more,
                Action::DelayUpTo(most) => delay += most.mul_f64(chance()),
                other => return (delay, Some(other.clone())),
            }
        }
        (delay, None)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
