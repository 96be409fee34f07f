//! One connection to a server, used for one mail after another.

use std::{future::Future, pin::pin};

use tokio::time::{Duration, Instant};

use crate::{
    capabilities::Capabilities,
    dial::dial,
    endpoint::Endpoint,
    envelope::Envelope,
    error::{ErrorKind, Phase, SmtpError},
    hook::{Commit, Hook},
    limits::TimeLimits,
    mail_parameters::{MailParameters, MailSize, NextEnvelope},
    refusal::Refusal,
    send_report::{SendOutcome, SendReport},
    session_limit::SessionUse,
    transaction::{Start, Transaction, is_large},
    wire::Wire,
};

/// A server that replies to the final dot within this time is quick.
const QUICK_REPLY: Duration = Duration::from_secs(1);

/// A connection that is ready for mail: greeted, encrypted and logged in as the endpoint requires.
#[derive(Debug)]
pub struct Session {
    wire: Wire,
    offered: Capabilities,
    limits: TimeLimits,
    connected_at: Instant,
    used_at: Instant,
    messages: u64,
    /// Mails refused since the last accepted one.
    refused_in_a_row: u64,
    quick: bool,
    /// Whether the connection is closed instead of being used again.
    retired: bool,
    /// Error that ended the connection after refusals that stand.
    ended: Option<SmtpError>,
    state: SessionState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionState {
    Ready,
    /// The next mail begins with RSET, because the last one was refused with its transaction open.
    ResetDue,
    /// The envelope of the next mail was pipelined with the last message.
    EnvelopeSent,
    /// A mail is being sent. The state remains if the future is dropped.
    Busy,
    Broken,
}

impl Session {
    /// Opens a session, up to and including the login.
    ///
    /// # Errors
    /// Returns an error if a phase fails, with its [`Phase`] and [`ErrorKind`].
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, SmtpError> {
        let (wire, offered) = dial(endpoint).await?;
        let now = Instant::now();
        Ok(Self {
            wire,
            offered,
            limits: endpoint.limits.clone(),
            connected_at: now,
            used_at: now,
            messages: 0,
            refused_in_a_row: 0,
            quick: false,
            retired: false,
            ended: None,
            state: SessionState::Ready,
        })
    }

    /// Sends one mail.
    ///
    /// The hook `before_commit` runs at most once. The final dot is written only after the hook
    /// returned [`Commit::Proceed`].
    /// - For a message of up to 64 KiB, the hook starts when DATA was written and a recipient is
    ///   accepted. It runs while the client waits for reply 354.
    /// - For a larger message, the hook starts when the whole message was written, so that its mark
    ///   is not set during a long upload.
    /// - The hook does not run for a mail refused at MAIL or at every RCPT. A crash before these
    ///   replies leaves no doubt.
    /// - The hook has no time limit here and needs its own.
    ///
    /// If this future is dropped before its end, the session is unusable. The mail is then in doubt
    /// if the hook had ended.
    ///
    /// # Errors
    /// Returns an error if nothing was sent. A message with 8-bit bytes requires a server with
    /// 8BITMIME (see [`Session::capabilities`]); without it the error is returned before anything
    /// is written.
    pub async fn send<F>(
        &mut self,
        envelope: &Envelope,
        message: &[u8],
        before_commit: F,
    ) -> Result<SendReport, SmtpError>
    where
        F: Future<Output = Commit>,
    {
        self.send_with_next(envelope, message, before_commit, |_| None).await
    }

    /// Sends one mail. The transaction calls `next` at most once, before it writes the final dot.
    /// The envelope that `next` returns is pipelined; see [`Session::is_envelope_sent`].
    pub(crate) async fn send_with_next<F, N>(
        &mut self,
        envelope: &Envelope,
        message: &[u8],
        before_commit: F,
        next: N,
    ) -> Result<SendReport, SmtpError>
    where
        F: Future<Output = Commit>,
        N: FnOnce(&Capabilities) -> Option<NextEnvelope>,
    {
        let start = match self.state {
            SessionState::Ready => Start::Mail,
            SessionState::ResetDue => Start::Reset,
            SessionState::EnvelopeSent => Start::Pipelined,
            SessionState::Busy | SessionState::Broken => {
                return Err(SmtpError::new(Phase::Mail, ErrorKind::NotReusable));
            }
        };
        let parameters = MailParameters::choose(&self.offered, envelope, MailSize::of(message))?;
        self.state = SessionState::Busy;
        self.messages += 1;
        let mut before_commit = pin!(before_commit);
        let mut transaction = Transaction {
            wire: &mut self.wire,
            limits: &self.limits,
            offered: &self.offered,
            hook: Hook::new(before_commit.as_mut(), !is_large(message)),
            envelope,
            parameters,
            start,
            next: Some(next),
            next_written: false,
            reply_time: None,
            ended: None,
        };
        let result = transaction.run(message).await;
        let next_written = transaction.next_written;
        self.ended = transaction.ended;
        self.quick = transaction.reply_time.is_some_and(|time| time < QUICK_REPLY);
        self.end_of_mail(&result, next_written);
        result
    }

    /// Whether another mail can be sent: the last transaction ended properly.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        matches!(self.state, SessionState::Ready | SessionState::ResetDue)
    }

    /// Use of the connection so far.
    pub(crate) fn usage(&self) -> SessionUse {
        let (mails, errors) = (self.messages, self.wire.refusals());
        SessionUse { mails, errors, refused_in_a_row: self.refused_in_a_row }
    }

    /// Reply (421) with which the server ended the connection after refusals that stand.
    pub(crate) fn closing_reply(&self) -> Option<&Refusal> {
        self.ended.as_ref()?.reply()
    }

    /// Closes the connection after its last mail instead of using it again.
    pub(crate) fn retire(&mut self) {
        self.retired = true;
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired
    }

    /// Whether the envelope of the next mail was pipelined.
    pub(crate) fn is_envelope_sent(&self) -> bool {
        self.state == SessionState::EnvelopeSent
    }

    /// Whether the last reply to a final dot was quick. Only then may another envelope be
    /// pipelined.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick
    }

    /// Whether the server closed the idle connection or sent something on it. Cheap: check it
    /// before each reuse.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.wire.has_input()
    }

    /// Sends QUIT if the session is usable, and closes the connection.
    pub async fn quit(mut self) {
        if self.is_reusable() {
            let limit = self.limits.quit;
            // The connection is closed whatever the reply is.
            if self.wire.command(Phase::Quit, limit, &["QUIT"]).await.is_ok() {
                self.wire.wait_for_close().await;
            }
        }
        self.wire.close();
    }

    /// Extensions that the server offers, after TLS if it is used.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.offered
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.wire.is_tls()
    }

    /// Number of mails begun on this connection.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Time since the connection was opened.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.connected_at.elapsed()
    }

    /// Time since the connection was last used.
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.used_at.elapsed()
    }

    fn end_of_mail(&mut self, result: &Result<SendReport, SmtpError>, next_written: bool) {
        self.used_at = Instant::now();
        self.refused_in_a_row = match result {
            Ok(report) if report.is_refused() => self.refused_in_a_row + 1,
            _ => 0,
        };
        self.state = match result {
            Ok(report) if self.ended.is_none() => after(&report.outcome),
            Ok(_) | Err(_) => SessionState::Broken,
        };
        if next_written && self.state != SessionState::Broken {
            self.state = SessionState::EnvelopeSent;
        } else if !self.wire.is_drained() {
            self.state = SessionState::Broken;
        }
        if self.state == SessionState::Broken {
            self.wire.close();
        }
    }
}

fn after(outcome: &SendOutcome) -> SessionState {
    match outcome {
        SendOutcome::Accepted { .. } => SessionState::Ready,
        SendOutcome::AllRefused | SendOutcome::Refused { .. } => SessionState::ResetDue,
        SendOutcome::InDoubt { .. } | SendOutcome::Spent { .. } => SessionState::Broken,
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpListener, sync::Arc};

    use socket2::SockRef;

    use super::*;
    use crate::{address::Address, stream::Stream};

    const OFFERED: Capabilities = Capabilities {
        pipelining: true,
        eight_bit_mime: false,
        smtputf8: false,
        starttls: false,
        size: false,
        max_size: None,
        auth_plain: false,
        auth_login: false,
    };

    fn to(recipients: usize) -> Envelope {
        let domain = vec!["x".repeat(60); 3].join(".");
        let address = |number: usize| Address::parse(&format!("{number}{}@{domain}", "y".repeat(50)));
        Envelope::new(None, (0..recipients).map(|number| address(number).expect("an address")).collect()).expect("some")
    }

    /// Opens a session whose socket buffers are small, so that a large write blocks.
    fn session(port: u16) -> Session {
        let tcp = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        SockRef::from(&tcp).set_send_buffer_size(4096).expect("a small buffer");
        tcp.set_nonblocking(true).expect("a non-blocking socket");
        let tcp = tokio::net::TcpStream::from_std(tcp).expect("a stream");
        let short = Duration::from_millis(300);
        let limits = TimeLimits { data: short, dot: short, dot_max: short, ..TimeLimits::default() };
        let now = Instant::now();
        Session {
            wire: Wire::new(Stream::Plain(tcp)),
            offered: OFFERED,
            limits,
            connected_at: now,
            used_at: now,
            messages: 0,
            refused_in_a_row: 0,
            quick: true,
            retired: false,
            ended: None,
            state: SessionState::Ready,
        }
    }

    /// The write fails inside the pipelined envelope: the server may already have the final dot.
    #[tokio::test]
    async fn a_mail_is_in_doubt_if_the_write_fails_after_its_final_dot() {
        for (size, in_doubt) in [(500, true), (60_000, false)] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            SockRef::from(&listener).set_recv_buffer_size(4096).expect("a small buffer");
            let port = listener.local_addr().expect("an address").port();
            let server = std::thread::spawn(move || {
                let (mut tcp, _) = listener.accept().expect("a connection");
                let read = tcp.read(&mut [0; 4096]).expect("an envelope");
                std::io::Write::write_all(&mut tcp, b"250 ok\r\n250 ok\r\n354 go\r\n").expect("written");
                (tcp, read)
            });
            let mut session = session(port);
            let next = |offered: &Capabilities| {
                let envelope = Arc::new(to(50));
                let parameters = MailParameters::choose(offered, &envelope, MailSize::of(b"x")).ok()?;
                Some(NextEnvelope { envelope, parameters })
            };
            let message = [b"Subject: x\r\n\r\n".as_slice(), &b"x\r\n".repeat(size / 3)].concat();
            let result = session.send_with_next(&to(1), &message, async { Commit::Proceed }, next).await;
            drop(server.join().expect("it ends"));
            assert_eq!(session.state, SessionState::Broken);
            match result {
                Ok(SendReport { outcome: SendOutcome::InDoubt { error }, .. }) => {
                    assert!(in_doubt && error.phase() == Phase::Body, "{error}");
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => assert!(!in_doubt && error.nothing_sent() && error.phase() == Phase::Body, "{error}"),
            }
        }
    }
}
