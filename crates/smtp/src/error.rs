//! Errors of a session, with methods that classify them.

use std::{fmt, io, time::Duration};

use thiserror::Error;

use crate::{
    refusal::Refusal,
    reply::{BadReply, Reply},
    tls_failure::TlsFailure,
};

/// Step of an SMTP session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Name lookup and TCP connection.
    Connect,
    /// TLS handshake.
    Tls,
    /// Greeting of the server.
    Greeting,
    /// EHLO or HELO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA and the reply to it.
    Data,
    /// Message text.
    Body,
    /// Final dot and the reply to it.
    Dot,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

/// Error of a session and the phase in which it occurred.
///
/// Unless [`SmtpError::is_in_doubt`], nothing was sent, and the mail may be retried on another
/// connection.
#[derive(Debug)]
pub struct SmtpError {
    phase: Phase,
    kind: ErrorKind,
    in_doubt: bool,
}

/// Kind of an [`SmtpError`].
#[derive(Debug, Error)]
pub enum ErrorKind {
    /// The network or TLS failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The time limit of the phase was exceeded.
    #[error("timed out after {0:?}")]
    Timeout(Duration),
    /// The server refused with a 4yz or 5yz reply, which includes 421 (closing).
    #[error("the server replied {0}")]
    Refused(Refusal),
    /// The server sent a malformed reply, or one that does not fit the command.
    #[error("the server sent an unexpected reply: {0}")]
    Unexpected(String),
    /// The server rejected an envelope that was pipelined with the previous message.
    #[error("the server rejected a pipelined envelope: {0}")]
    PipeliningRejected(String),
    /// A reply exceeded the maximum length.
    #[error("the reply of the server is too long")]
    ReplyTooLong,
    /// The host is not a name or address that a certificate can be checked against.
    #[error("{0:?} is not a host name or address")]
    BadHost(String),
    /// TLS is required, and the server does not offer it.
    #[error("TLS is required, and the server does not offer STARTTLS")]
    StartTlsMissing,
    /// Plain bytes followed the reply to STARTTLS, a sign of an injection attack.
    #[error("the server sent plain text after STARTTLS")]
    PlainAfterStartTls,
    /// Credentials are set, and the server offers neither AUTH PLAIN nor AUTH LOGIN.
    #[error("a login is configured, and the server offers neither AUTH PLAIN nor LOGIN")]
    AuthMissing,
    /// The message is larger than the limit of the server.
    #[error("the message has {size} bytes, and the server accepts at most {limit}")]
    TooBig {
        /// Size of the message in bytes.
        size: u64,
        /// Limit of the server in bytes (SIZE).
        limit: u64,
    },
    /// An address or a header requires SMTPUTF8, and the server does not offer it.
    #[error("{0} is not ASCII, and the server does not offer SMTPUTF8")]
    SmtpUtf8Missing(String),
    /// The message has 8-bit bytes, and the server does not offer 8BITMIME.
    #[error("the message has bytes beyond ASCII, and the server does not offer 8BITMIME")]
    EightBitMissing,
    /// The hook returned `Abort`. The connection was closed without the final dot.
    #[error("aborted before the final dot")]
    Aborted,
    /// An earlier transaction of this session did not end properly.
    #[error("the session can't be used again")]
    NotReusable,
}

impl Phase {
    /// Name of the phase in logs and records: `connect`, `tls`, `greeting`, `ehlo`, `starttls`,
    /// `auth`, `mail`, `rcpt`, `data`, `body`, `dot`, `rset`, `quit`.
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
    /// Creates an error before the commit point. Public for tests of code that handles errors.
    #[must_use]
    pub fn new(phase: Phase, kind: impl Into<ErrorKind>) -> Self {
        Self { phase, kind: kind.into(), in_doubt: false }
    }

    /// Marks the error as one after the commit point: the mail is in doubt.
    #[must_use]
    pub fn after_commit(self) -> Self {
        Self { in_doubt: true, ..self }
    }

    /// Phase in which the error occurred.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Kind of the error.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Reply with which the server refused, if it did.
    #[must_use]
    pub fn reply(&self) -> Option<&Refusal> {
        match &self.kind {
            ErrorKind::Refused(reply) => Some(reply),
            _ => None,
        }
    }

    /// Reason why a TLS handshake failed.
    #[must_use]
    pub fn tls_failure(&self) -> Option<TlsFailure> {
        match &self.kind {
            ErrorKind::Io(error) => TlsFailure::of(error),
            _ => None,
        }
    }

    /// Whether a time limit was exceeded.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, ErrorKind::Timeout(_))
    }

    /// Whether the connection ended, is unusable, or is being closed by the server (421). On a
    /// session that was idle, it may only mean that the server closed the idle connection.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match &self.kind {
            ErrorKind::Io(_) | ErrorKind::Closed | ErrorKind::PipeliningRejected(_) => true,
            ErrorKind::Refused(reply) => reply.is_closing(),
            _ => false,
        }
    }

    /// Whether a connection was not opened in a way that a server without room for it may choose:
    /// its port is closed, it does not answer, or it refuses for now.
    pub(crate) fn may_lack_room(&self) -> bool {
        match (&self.kind, self.phase) {
            (ErrorKind::Io(_) | ErrorKind::Timeout(_), Phase::Connect | Phase::Greeting) => true,
            (ErrorKind::Closed, Phase::Connect | Phase::Tls | Phase::Greeting | Phase::Ehlo) => true,
            (ErrorKind::Io(error), Phase::Tls) => {
                matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
            }
            (ErrorKind::Refused(reply), Phase::Greeting | Phase::Ehlo) => reply.is_transient(),
            _ => self.lacks_room(),
        }
    }

    /// Whether the server refused a connection because too many are open. Its words decide, since a
    /// server that shuts down or limits the rate of connections refuses them too.
    #[must_use]
    pub fn lacks_room(&self) -> bool {
        const NUMBER: [&str; 4] = ["connection", "too many", "concurren", "session"];
        const OTHER: [&str; 5] = ["shut", "going down", "restart", "rate", "login"];
        let is_opening = matches!(self.phase, Phase::Connect | Phase::Greeting | Phase::Ehlo | Phase::Auth);
        let Some(reply) = self.reply().filter(|reply| is_opening && reply.is_transient()) else { return false };
        let text = reply.message().to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        match self.phase {
            Phase::Auth => has(&["concurren", "too many connections", "too many sessions"]),
            _ => has(&NUMBER) && !has(&OTHER),
        }
    }

    /// Whether the hook before the commit point returned `Abort`.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        matches!(self.kind, ErrorKind::Aborted)
    }

    /// Whether the final dot may have been sent, so that it is unknown whether the server accepted
    /// the mail.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Whether the mail was certainly not sent.
    #[must_use]
    pub fn nothing_sent(&self) -> bool {
        !self.in_doubt
    }
}

/// Returns the reply if it is positive (2yz), an error otherwise.
pub(crate) fn expect_positive(phase: Phase, reply: Reply) -> Result<Reply, SmtpError> {
    if reply.is_positive() { Ok(reply) } else { Err(SmtpError::new(phase, reply)) }
}

impl From<Reply> for ErrorKind {
    /// Converts a reply other than the expected one.
    fn from(reply: Reply) -> Self {
        match Refusal::of(reply) {
            Ok(refusal) => Self::Refused(refusal),
            Err(reply) => Self::Unexpected(reply.to_string()),
        }
    }
}

impl From<BadReply> for ErrorKind {
    fn from(bad: BadReply) -> Self {
        match bad {
            BadReply::Syntax(line) => Self::Unexpected(format!("{line:?}")),
            BadReply::Mixed(refusal, code) => Self::Unexpected(format!("lines with the codes {refusal} and {code}")),
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
        write!(f, "{}: {}", self.phase, self.kind)?;
        if self.in_doubt {
            f.write_str("; it is unknown whether the mail was accepted")?;
        }
        Ok(())
    }
}

impl std::error::Error for SmtpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Io(error) => error.source(),
            _ => None,
        }
    }
}
