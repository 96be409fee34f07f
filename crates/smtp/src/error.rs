//! Errors one can ask questions.

use std::{fmt, io, time::Duration};

use thiserror::Error;

use crate::{
    refusal::Refusal,
    reply::{BadReply, Reply},
    wire::CLOSING,
};

/// Where in the conversation something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Name lookup and TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The server's greeting.
    Greeting,
    /// EHLO or HELO.
    Ehlo,
    /// The STARTTLS command.
    StartTls,
    /// The login.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, until the server says go on.
    Data,
    /// The message itself.
    Body,
    /// The final dot and the reply to it.
    Dot,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

/// Trouble with a connection, and the phase it was in.
///
/// Unless [`SmtpError::is_in_doubt`], nothing was sent: the mail may be tried again on another connection.
#[derive(Debug)]
pub struct SmtpError {
    phase: Phase,
    trouble: Trouble,
    in_doubt: bool,
}

/// What went wrong.
#[derive(Debug, Error)]
pub enum Trouble {
    /// The network or TLS failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The phase's time limit ran out.
    #[error("nothing within the limit of {0:?}")]
    Timeout(Duration),
    /// The server refused to go on, or said 421 and is closing.
    #[error("the server said {0}")]
    Refused(Refusal),
    /// The server sent what is no reply, or a reply that does not answer the command.
    #[error("the server sent an unexpected reply: {0}")]
    Unexpected(String),
    /// The server lost step with an envelope that had been said with the message before it.
    #[error("the server did not take an envelope that was said ahead: {0}")]
    OutOfStep(String),
    /// A reply longer than any server has a reason for.
    #[error("the server's reply does not end")]
    ReplyTooLong,
    /// The host's name can't be checked against a certificate.
    #[error("{0:?} is not a host name or address")]
    BadHost(String),
    /// TLS is required, and the server does not offer it.
    #[error("TLS is required, and the server does not offer STARTTLS")]
    StartTlsMissing,
    /// Plain bytes followed the reply to STARTTLS: somebody between us and the server is at work.
    #[error("the server sent plain text after STARTTLS")]
    PlainAfterStartTls,
    /// There are credentials, and the server offers neither PLAIN nor LOGIN.
    #[error("a login is configured, and the server offers neither AUTH PLAIN nor LOGIN")]
    AuthMissing,
    /// The message is larger than the server takes.
    #[error("the message has {size} bytes, and the server takes {limit}")]
    TooBig {
        /// Bytes of the message.
        size: u64,
        /// The server's SIZE.
        limit: u64,
    },
    /// An address that only a server with SMTPUTF8 takes.
    #[error("{0} is not ASCII, and the server does not offer SMTPUTF8")]
    SmtpUtf8Missing(String),
    /// A message with 8-bit bytes that only a server with 8BITMIME takes.
    #[error("the message has bytes beyond ASCII, and the server does not offer 8BITMIME")]
    EightBitMissing,
    /// The hook before the commit point said no; the connection was closed without the final dot.
    #[error("given up before the final dot")]
    Aborted,
    /// An earlier conversation on this session did not end as it should.
    #[error("this session can't be used again")]
    NotReusable,
}

impl Phase {
    /// One lower-case word, the same in every record: `connect`, `tls`, `greeting`, `ehlo`, `starttls`, `auth`, `mail`,
    /// `rcpt`, `data`, `body`, `dot`, `rset`, `quit`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::StartTls => "starttls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Body => "body",
            Self::Dot => "dot",
            Self::Rset => "rset",
            Self::Quit => "quit",
        }
    }
}

impl SmtpError {
    /// Trouble before the commit point, as sessions make it; open to tests of what is made of it.
    #[must_use]
    pub fn new(phase: Phase, trouble: impl Into<Trouble>) -> Self {
        Self { phase, trouble: trouble.into(), in_doubt: false }
    }

    /// The same after the commit point.
    #[must_use]
    pub fn after_commit(self) -> Self {
        Self { in_doubt: true, ..self }
    }

    /// Where it happened.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What went wrong.
    #[must_use]
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// The reply by which the server refused, if it did.
    #[must_use]
    pub fn reply(&self) -> Option<&Refusal> {
        match &self.trouble {
            Trouble::Refused(reply) => Some(reply),
            _ => None,
        }
    }

    /// Whether a time limit ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.trouble, Trouble::Timeout(_))
    }

    /// Whether the connection ended or is of no use any more, or the server said 421 and is closing it. On a session that
    /// had been idle this may mean no more than that it was idle for too long.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match &self.trouble {
            Trouble::Io(_) | Trouble::Closed | Trouble::OutOfStep(_) => true,
            Trouble::Refused(reply) => reply.code == CLOSING,
            _ => false,
        }
    }

    /// Whether the hook before the commit point said no.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        matches!(self.trouble, Trouble::Aborted)
    }

    /// Whether the message and its final dot had left, so that it can't be known if it was accepted.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Whether the mail surely did not go out.
    #[must_use]
    pub fn nothing_sent(&self) -> bool {
        !self.in_doubt
    }
}

impl From<Reply> for Trouble {
    /// A reply other than the one that was asked for.
    fn from(reply: Reply) -> Self {
        match Refusal::of(reply) {
            Ok(refusal) => Self::Refused(refusal),
            Err(reply) => Self::Unexpected(reply.to_string()),
        }
    }
}

impl From<BadReply> for Trouble {
    fn from(bad: BadReply) -> Self {
        match bad {
            BadReply::Syntax(line) => Self::Unexpected(format!("{line:?}")),
            BadReply::Mixed(refusal, code) => {
                Self::Unexpected(format!("its lines have the codes {refusal} and {code}"))
            }
            BadReply::TooLong => Self::ReplyTooLong,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SmtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.phase, self.trouble)?;
        if self.in_doubt {
            f.write_str("; it can't be known whether the mail was accepted")?;
        }
        Ok(())
    }
}

impl std::error::Error for SmtpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.trouble {
            Trouble::Io(error) => error.source(),
            _ => None,
        }
    }
}
