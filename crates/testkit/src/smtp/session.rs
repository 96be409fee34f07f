//! Session of one connection.

mod answer;
mod auth;
mod data;
mod transaction;

use super::Shared;
use super::builder::TlsMode;
use super::command::Command;
use super::fault::Phase;
use super::reply::{Reply, is_yes};
use super::wire::Wire;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use transaction::Envelope;

/// Maximum length of a command line, well above that of AUTH (RFC 4954 §4).
const COMMAND_LIMIT: usize = 12_288;

/// Maximum length of other commands with CRLF (RFC 5321 §4.5.3.1.4), plus room for extensions.
const USUAL_COMMAND_LIMIT: usize = 512 + 100;

/// Serves one connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let (number, standing) = shared.ledger.open();
    let wire = Wire::new(stream, shared.options.reply_delay);
    let mut session = Session {
        wire,
        number,
        is_one_too_many: standing > shared.options.max_connections,
        greeted: false,
        tls: false,
        user: None,
        accepted: 0,
        flight: 0,
        mail_flight: None,
        message: None,
        is_idle: false,
        is_ahead: false,
        envelope: None,
        open: Open(Arc::clone(&shared)),
        shared,
    };
    let Err(end) = session.converse().await;
    match end {
        End::Close => {
            // Counted as closed before the client can notice the close and reconnect.
            drop(session.open);
            session.wire.close().await;
        }
        End::Reset => session.wire.reset(),
        End::Stall => std::future::pending().await,
        End::Gone => {}
    }
}

struct Session {
    shared: Arc<Shared>,
    wire: Wire,
    number: usize,
    is_one_too_many: bool,
    greeted: bool,
    tls: bool,
    user: Option<String>,
    accepted: usize,
    /// Number of the current group of commands; each read starts a group.
    flight: usize,
    /// Group that contained the last MAIL.
    mail_flight: Option<usize>,
    /// Number of the current transaction, or of the previous one.
    message: Option<usize>,
    /// Whether a mail has ended and no command has followed.
    is_idle: bool,
    /// Whether the current commands arrived before the previous mail was answered.
    is_ahead: bool,
    envelope: Option<Envelope>,
    open: Open,
}

/// Reason for the end of a session.
enum End {
    Close,
    Reset,
    Stall,
    Gone,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Open connection; it counts as closed when dropped.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ledger.closed();
    }
}

impl Session {
    async fn converse(&mut self) -> Result<Infallible, End> {
        self.answer(Phase::Accept, Reply::none()).await?;
        if self.shared.options.tls == Some(TlsMode::Implicit) {
            self.handshake().await?;
        }
        self.banner().await?;
        loop {
            let line = self.next_line().await?;
            self.shared.ledger.command(self.number, &line);
            let command = Command::parse(&line);
            self.check_length(&line, &command);
            self.check_flight(&command);
            self.obey(command).await?;
            if std::mem::take(&mut self.is_idle) && self.wire.pending().is_empty() {
                self.rest().await?;
            }
        }
    }

    async fn obey(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Ehlo => self.ehlo().await,
            Command::Helo => self.helo().await,
            Command::StartTls => self.start_tls().await,
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial).await,
            Command::Mail(path) => self.mail(path).await,
            Command::Rcpt(path) => self.rcpt(path).await,
            Command::Data => self.data().await,
            Command::Rset => self.rset().await,
            Command::Quit => self.quit().await,
            Command::Noop => self.say(&Reply::new(250, "2.0.0 Ok")),
            Command::Malformed => self.blame("a malformed command", &Reply::new(501, "5.5.4 Syntax error")),
            Command::Unknown => self.blame("not a command", &Reply::new(500, "5.5.2 Command unknown")),
        }
    }

    async fn banner(&mut self) -> Result<(), End> {
        if self.is_one_too_many {
            self.wire.write(&Reply::new(421, "4.7.0 Too many connections").bytes());
            return Err(End::Close);
        }
        let code = self.answer(Phase::Banner, Reply::new(220, "fake.postroom.test ESMTP")).await?;
        if code == 220 { Ok(()) } else { Err(End::Close) }
    }

    async fn ehlo(&mut self) -> Result<(), End> {
        let mut lines = vec!["fake.postroom.test".to_owned()];
        lines.extend(self.shared.options.extensions(self.tls));
        self.greet(Reply::of_lines(250, &lines)).await
    }

    async fn helo(&mut self) -> Result<(), End> {
        self.greet(Reply::new(250, "fake.postroom.test")).await
    }

    async fn greet(&mut self, usual: Reply) -> Result<(), End> {
        self.envelope = None;
        self.greeted = is_yes(self.answer(Phase::Ehlo, usual).await?);
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), End> {
        let offered = matches!(self.shared.options.tls, Some(TlsMode::StartTls | TlsMode::StartTlsRequired));
        if !offered || self.tls {
            return self.blame("STARTTLS was not offered", &Reply::new(502, "5.5.1 Not offered"));
        }
        self.wire.discard_pending();
        let code = self.answer(Phase::StartTls, Reply::new(220, "2.0.0 Go ahead")).await?;
        if is_yes(code) { self.handshake().await } else { Ok(()) }
    }

    async fn handshake(&mut self) -> Result<(), End> {
        self.wire.flush().await?;
        self.answer(Phase::Tls, Reply::none()).await?;
        self.wire.flush().await?;
        self.wire.start_tls(&self.shared.identity.acceptor).await?;
        (self.tls, self.greeted, self.user) = (true, false, None);
        Ok(())
    }

    async fn rset(&mut self) -> Result<(), End> {
        self.answer(Phase::Rset, Reply::new(250, "2.0.0 Ok")).await?;
        (self.envelope, self.mail_flight) = (None, None);
        Ok(())
    }

    async fn quit(&mut self) -> Result<(), End> {
        self.answer(Phase::Quit, Reply::new(221, "2.0.0 Bye")).await?;
        Err(End::Close)
    }

    fn say(&mut self, reply: &Reply) -> Result<(), End> {
        self.wire.write(&reply.bytes());
        Ok(())
    }

    /// Records a violation and replies.
    fn blame(&mut self, what: &str, reply: &Reply) -> Result<(), End> {
        self.violation(what);
        self.say(reply)
    }

    fn violation(&self, what: &str) {
        self.shared.ledger.violation(self.number, what);
    }

    /// Returns the next line without its CRLF. Pending replies are sent before waiting for input.
    async fn next_line(&mut self) -> Result<String, End> {
        let line = loop {
            if let Some(line) = self.wire.take_line() {
                break line;
            }
            if self.wire.pending().len() > COMMAND_LIMIT {
                self.violation("a command line without an end");
                return Err(End::Close);
            }
            self.wire.flush().await?;
            self.wire.read().await?;
            self.flight += 1;
            self.is_ahead = false;
        };
        let content = line.strip_suffix(b"\r\n").unwrap_or_else(|| {
            self.violation("a command ends with a bare LF");
            &line[..line.len() - 1]
        });
        Ok(String::from_utf8_lossy(content).into_owned())
    }

    fn check_length(&self, line: &str, command: &Command) {
        if line.len() + 2 > USUAL_COMMAND_LIMIT && !matches!(command, Command::Auth { .. }) {
            self.violation("a command line is too long");
        }
    }

    fn check_flight(&self, command: &Command) {
        if self.wire.pending().is_empty() {
            return;
        }
        if !self.shared.options.pipelining {
            self.violation("commands are pipelined although that is not offered");
        } else if command.ends_a_flight() {
            self.violation(&format!("more follows {command:?} before its reply"));
        }
    }
}
