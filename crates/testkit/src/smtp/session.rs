//! Session of one connection.

mod answer;
mod auth;
mod data;
mod transaction;

use super::builder::TlsMode;
use super::command::SmtpCommand;
use super::fault::{Action, FaultPhase};
use super::reply::{ServerReply, is_yes};
use super::state::SmtpState;
use super::wire::ServerWire;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use transaction::TransactionEnvelope;

/// Maximum length of a command line, well above that of AUTH (RFC 4954 §4).
const COMMAND_LIMIT: usize = 12_288;

/// Maximum length of other commands with CRLF (RFC 5321 §4.5.3.1.4), plus room for extensions.
const USUAL_COMMAND_LIMIT: usize = 512 + 100;

/// Serves one connection until it ends.
pub(super) async fn serve(shared: Arc<SmtpState>, stream: TcpStream, number: usize, open_connections: usize) {
    let wire = ServerWire::new(stream, shared.options.reply_delay, shared.options.nagle);
    let mut session = ServerSession {
        wire,
        number,
        is_one_too_many: open_connections > shared.options.max_connections,
        greeted: false,
        tls: false,
        user: None,
        accepted: 0,
        errors: 0,
        group: 0,
        mail_group: None,
        message: None,
        is_idle: false,
        is_ahead: false,
        envelope: None,
        open: OpenConnection(Arc::clone(&shared)),
        shared,
    };
    let Err(end) = session.run().await;
    match end {
        SessionEnd::Close => {
            // Counted as closed before the client can notice the close and reconnect.
            drop(session.open);
            session.wire.close().await;
        }
        SessionEnd::Reset => session.wire.reset(),
        SessionEnd::Stall => std::future::pending().await,
        SessionEnd::Gone => {}
    }
}

struct ServerSession {
    shared: Arc<SmtpState>,
    wire: ServerWire,
    number: usize,
    is_one_too_many: bool,
    greeted: bool,
    tls: bool,
    user: Option<String>,
    accepted: usize,
    /// Number of refused commands.
    errors: usize,
    /// Number of the current group of commands; each read starts a group.
    group: usize,
    /// Group that contained the last MAIL.
    mail_group: Option<usize>,
    /// Number of the current transaction, or of the previous one.
    message: Option<usize>,
    /// Whether a mail has ended and no command has followed.
    is_idle: bool,
    /// Whether the current commands arrived before the previous mail was answered.
    is_ahead: bool,
    envelope: Option<TransactionEnvelope>,
    open: OpenConnection,
}

/// Reason for the end of a session.
enum SessionEnd {
    Close,
    Reset,
    Stall,
    Gone,
}

impl From<io::Error> for SessionEnd {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Open connection; it counts as closed when dropped.
struct OpenConnection(Arc<SmtpState>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.ledger.closed();
    }
}

impl ServerSession {
    async fn run(&mut self) -> Result<Infallible, SessionEnd> {
        self.answer(FaultPhase::Accept, ServerReply::none()).await?;
        if self.shared.options.tls == Some(TlsMode::Implicit) {
            self.handshake().await?;
        }
        self.banner().await?;
        loop {
            let line = self.next_line().await?;
            self.shared.ledger.command(self.number, &line);
            let command = SmtpCommand::parse(&line);
            self.check_length(&line, &command);
            self.check_pipelining(&command);
            match self.too_many_errors().filter(|_| command != SmtpCommand::Quit) {
                Some(refusal) => drop(self.perform(Some(refusal), ServerReply::none()).await?),
                None => self.execute(command).await?,
            }
            if std::mem::take(&mut self.is_idle) && self.wire.pending().is_empty() {
                self.apply_idle_faults().await?;
            }
        }
    }

    async fn execute(&mut self, command: SmtpCommand) -> Result<(), SessionEnd> {
        match command {
            SmtpCommand::Ehlo => self.ehlo().await,
            SmtpCommand::Helo => self.helo().await,
            SmtpCommand::StartTls => self.start_tls().await,
            SmtpCommand::Auth { mechanism, initial } => self.auth(&mechanism, initial).await,
            SmtpCommand::Mail(path) => self.mail(path).await,
            SmtpCommand::Rcpt(path) => self.rcpt(path).await,
            SmtpCommand::Data => self.data().await,
            SmtpCommand::Rset => self.rset().await,
            SmtpCommand::Quit => self.quit().await,
            SmtpCommand::Noop => self.reply(&ServerReply::new(250, "2.0.0 Ok")),
            SmtpCommand::Malformed => {
                self.reply_to_violation("a malformed command", &ServerReply::new(501, "5.5.4 Syntax error"))
            }
            SmtpCommand::Unknown => {
                self.reply_to_violation("not a command", &ServerReply::new(500, "5.5.2 Command unknown"))
            }
        }
    }

    async fn banner(&mut self) -> Result<(), SessionEnd> {
        if self.is_one_too_many {
            self.wire.write(&ServerReply::new(421, "4.7.0 Too many connections").bytes());
            return Err(SessionEnd::Close);
        }
        if let Some(refusal) = self.connects_too_fast() {
            self.perform(Some(refusal), ServerReply::none()).await?;
            return Err(SessionEnd::Close);
        }
        let code = self.answer(FaultPhase::Banner, ServerReply::new(220, "fake.postroom.test ESMTP")).await?;
        if code == 220 { Ok(()) } else { Err(SessionEnd::Close) }
    }

    async fn ehlo(&mut self) -> Result<(), SessionEnd> {
        let mut lines = vec!["fake.postroom.test".to_owned()];
        lines.extend(self.shared.options.extensions(self.tls));
        self.greet(ServerReply::of_lines(250, &lines)).await
    }

    async fn helo(&mut self) -> Result<(), SessionEnd> {
        self.greet(ServerReply::new(250, "fake.postroom.test")).await
    }

    async fn greet(&mut self, usual: ServerReply) -> Result<(), SessionEnd> {
        self.envelope = None;
        self.greeted = is_yes(self.answer(FaultPhase::Ehlo, usual).await?);
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), SessionEnd> {
        let offered = matches!(self.shared.options.tls, Some(TlsMode::StartTls | TlsMode::StartTlsRequired));
        if !offered || self.tls {
            return self.reply_to_violation("STARTTLS was not offered", &ServerReply::new(502, "5.5.1 Not offered"));
        }
        self.wire.discard_pending();
        let code = self.answer(FaultPhase::StartTls, ServerReply::new(220, "2.0.0 Go ahead")).await?;
        if is_yes(code) { self.handshake().await } else { Ok(()) }
    }

    async fn handshake(&mut self) -> Result<(), SessionEnd> {
        self.wire.flush().await?;
        self.answer(FaultPhase::Tls, ServerReply::none()).await?;
        self.wire.flush().await?;
        self.wire.start_tls(&self.shared.identity.acceptor).await?;
        (self.tls, self.greeted, self.user) = (true, false, None);
        Ok(())
    }

    async fn rset(&mut self) -> Result<(), SessionEnd> {
        self.answer(FaultPhase::Rset, ServerReply::new(250, "2.0.0 Ok")).await?;
        (self.envelope, self.mail_group) = (None, None);
        Ok(())
    }

    async fn quit(&mut self) -> Result<(), SessionEnd> {
        self.answer(FaultPhase::Quit, ServerReply::new(221, "2.0.0 Bye")).await?;
        Err(SessionEnd::Close)
    }

    fn too_many_errors(&self) -> Option<Action> {
        let (count, refusal) = self.shared.options.error_limit.as_ref()?;
        (self.errors >= *count).then(|| refusal.clone())
    }

    fn connects_too_fast(&self) -> Option<Action> {
        let (count, window, refusal) = self.shared.options.connection_rate.as_ref()?;
        (!self.shared.connection_pace.allows_within(*count, *window)).then(|| refusal.clone())
    }

    fn reply(&mut self, reply: &ServerReply) -> Result<(), SessionEnd> {
        self.errors += usize::from(reply.code >= 400);
        self.wire.write(&reply.bytes());
        Ok(())
    }

    /// Records a violation and replies.
    fn reply_to_violation(&mut self, what: &str, reply: &ServerReply) -> Result<(), SessionEnd> {
        self.violation(what);
        self.reply(reply)
    }

    fn violation(&self, what: &str) {
        self.shared.ledger.violation(self.number, what);
    }

    /// Returns the next line without its CRLF. Pending replies are sent before waiting for input.
    async fn next_line(&mut self) -> Result<String, SessionEnd> {
        let line = loop {
            if let Some(line) = self.wire.take_line() {
                break line;
            }
            if self.wire.pending().len() > COMMAND_LIMIT {
                self.violation("a command line without an end");
                return Err(SessionEnd::Close);
            }
            self.wire.flush().await?;
            self.wire.read().await?;
            self.group += 1;
            self.is_ahead = false;
        };
        let content = line.strip_suffix(b"\r\n").unwrap_or_else(|| {
            self.violation("a command ends with a bare LF");
            &line[..line.len() - 1]
        });
        Ok(String::from_utf8_lossy(content).into_owned())
    }

    fn check_length(&self, line: &str, command: &SmtpCommand) {
        if line.len() + 2 > USUAL_COMMAND_LIMIT && !matches!(command, SmtpCommand::Auth { .. }) {
            self.violation("a command line is too long");
        }
    }

    fn check_pipelining(&self, command: &SmtpCommand) {
        if self.wire.pending().is_empty() {
            return;
        }
        if !self.shared.options.pipelining {
            self.violation("commands are pipelined although that is not offered");
        } else if command.ends_command_group() {
            self.violation(&format!("more follows {command:?} before its reply"));
        }
    }
}
