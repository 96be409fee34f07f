//! Trouble on purpose: when, for whom, how often and what.

use super::reply::is_yes;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One kind of trouble, made by [`Fault::at`] and narrowed down by its other methods.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The moment of a session.
    pub at: Phase,
    /// Only where all of these hold; none is for all.
    pub to: Vec<Target>,
    /// In [`Phase::Body`]: once more than so many bytes of a mail's content have come.
    pub byte: usize,
    /// How often; `None` is always.
    pub times: Option<usize>,
    /// What happens.
    pub act: Action,
}

/// A moment of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The connection was just accepted.
    Accept,
    /// The greeting.
    Banner,
    /// The reply to EHLO or HELO.
    Ehlo,
    /// The reply to STARTTLS.
    StartTls,
    /// The TLS handshake.
    Tls,
    /// The last reply of an AUTH.
    Auth,
    /// The reply to MAIL.
    Mail,
    /// The reply to one RCPT.
    Rcpt,
    /// The reply to DATA.
    Data,
    /// Content of a mail arrived: the first, or more than [`Fault::byte`] of it.
    Body,
    /// The reply to the final dot.
    Dot,
    /// The reply to RSET.
    Rset,
    /// The reply to QUIT.
    Quit,
    /// After the final dot of a mail was answered, while nothing comes. A pause is one of idleness: a client that says
    /// something before its end escapes.
    Idle,
}

/// For whom a [`Fault`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This recipient: in [`Phase::Rcpt`] the one asked for, after that one of those accepted.
    Recipient(String),
    /// In [`Phase::Rcpt`] the RCPT with this place in its transaction, counted from 1.
    RcptNumber(usize),
    /// This sender.
    Sender(String),
    /// This connection, counted from 1.
    Connection(usize),
    /// A mail whose envelope came with the message of the one before.
    Ahead,
    /// This transaction of the server, counted from 1 by the MAIL commands it got; outside of one, the last before.
    Message(usize),
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Action {
    /// The usual reply: to except one moment from another fault, or to add to by the methods below.
    Usual,
    /// This code and these lines of text instead of the usual reply; the session goes on as that code means.
    Reply(u16, Vec<String>),
    /// The same, then the connection ends.
    ReplyAndClose(u16, Vec<String>),
    /// These bytes instead of the usual reply, which need not be SMTP; the command counts as refused.
    Raw(Vec<u8>),
    /// A pause, then whatever else is to happen.
    Delay(Duration),
    /// The usual reply, after a random time up to this.
    DelayUpTo(Duration),
    /// No answer ever, and nothing more is read.
    Stall,
    /// The connection ends in good order (FIN).
    Close,
    /// The connection breaks (RST).
    Reset,
    /// The mail is kept, then the connection ends without a reply: the client can't know. For [`Phase::Dot`].
    StoreThenClose,
    /// The mail is kept and never answered. For [`Phase::Dot`].
    StoreThenStall,
    /// What this action says, byte by byte: see [`Action::byte_by_byte`].
    ByteByByte(Box<Action>),
    /// This action, and after a pause bytes that nobody asked for: see [`Action::then_says`].
    ThenSays(Box<Action>, Duration, Vec<u8>),
}

impl Fault {
    /// This trouble at this moment, for everybody and always.
    pub fn at(at: Phase, act: Action) -> Self {
        Self { at, to: Vec::new(), byte: 0, times: None, act }
    }

    /// Only for this recipient.
    pub fn recipient(self, address: &str) -> Self {
        self.only(Target::Recipient(address.to_owned()))
    }

    /// Only for this sender.
    pub fn sender(self, address: &str) -> Self {
        self.only(Target::Sender(address.to_owned()))
    }

    /// Only on this connection, counted from 1.
    pub fn connection(self, number: usize) -> Self {
        self.only(Target::Connection(number))
    }

    /// Only for this transaction of the server, counted from 1.
    pub fn message(self, number: usize) -> Self {
        self.only(Target::Message(number))
    }

    /// Only for a mail whose envelope came with the message of the one before.
    pub fn ahead(self) -> Self {
        self.only(Target::Ahead)
    }

    /// Only for the RCPT with this place in its transaction, counted from 1.
    pub fn rcpt_number(self, number: usize) -> Self {
        self.only(Target::RcptNumber(number))
    }

    /// In [`Phase::Body`], only once more than so many bytes of the content have come, as they are on the wire.
    pub fn byte(self, byte: usize) -> Self {
        Self { byte, ..self }
    }

    /// Only so many times.
    pub fn times(self, count: usize) -> Self {
        Self { times: Some(count), ..self }
    }

    fn only(mut self, target: Target) -> Self {
        self.to.push(target);
        self
    }

    /// Counts down and says yes if this fault is for that moment.
    fn strikes(&mut self, moment: &Moment<'_>) -> bool {
        let strikes = self.at == moment.phase
            && self.times != Some(0)
            && moment.bytes.contains(&self.byte)
            && self.to.iter().all(|target| target.fits(moment));
        if strikes {
            self.times = self.times.map(|times| times - 1);
        }
        strikes
    }
}

impl Target {
    fn fits(&self, moment: &Moment<'_>) -> bool {
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
    /// A reply of one line, such as `reply(550, "5.1.1 no such user")`.
    pub fn reply(code: u16, line: &str) -> Self {
        Self::Reply(code, vec![line.to_owned()])
    }

    /// A reply of one line after which the connection ends, such as `reply_and_close(421, "4.3.2 bye")`.
    pub fn reply_and_close(code: u16, line: &str) -> Self {
        Self::ReplyAndClose(code, vec![line.to_owned()])
    }

    /// What this action says, one byte at a time.
    pub fn byte_by_byte(self) -> Self {
        Self::ByteByByte(Box::new(self))
    }

    /// The same, and then bytes that nobody asked for: in the same packet without a pause, else late, even after a
    /// reply that ends the connection.
    pub fn then_says(self, pause: Duration, bytes: &str) -> Self {
        Self::ThenSays(Box::new(self), pause, bytes.as_bytes().to_vec())
    }

    /// Whether a mail that gets this instead of the reply with the code `usual` is kept.
    pub(super) fn keeps(&self, usual: u16) -> bool {
        match self {
            Self::Reply(code, _) | Self::ReplyAndClose(code, _) => is_yes(*code),
            Self::StoreThenClose | Self::StoreThenStall => true,
            Self::Usual | Self::Delay(_) | Self::DelayUpTo(_) => is_yes(usual),
            Self::ByteByByte(act) | Self::ThenSays(act, ..) => act.keeps(usual),
            Self::Raw(_) | Self::Stall | Self::Close | Self::Reset => false,
        }
    }
}

/// From 0.0 to 1.0, as chance has it.
fn chance() -> f64 {
    f64::from(RandomState::new().build_hasher().finish() as u32) / f64::from(u32::MAX)
}

/// Where a session is, for a [`Fault`] to be matched with.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    pub(super) phase: Phase,
    pub(super) connection: usize,
    pub(super) message: Option<usize>,
    pub(super) rcpt_number: Option<usize>,
    pub(super) is_ahead: bool,
    /// Which bytes of the content came just now; the first alone outside of a content.
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

    /// The pauses for this moment added up, and the first other action there is.
    pub(super) fn take(&self, moment: &Moment<'_>) -> (Duration, Option<Action>) {
        let mut delay = Duration::ZERO;
        for fault in self.lock().iter_mut() {
            if !fault.strikes(moment) {
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
