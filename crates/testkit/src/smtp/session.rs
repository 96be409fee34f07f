//! One connection's conversation.

mod auth;
mod data;
mod transaction;

use super::Shared;
use super::builder::TlsMode;
use super::command::Command;
use super::fault::{Action, Moment, Phase};
use super::reply::{Reply, is_yes};
use super::wire::Wire;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use transaction::Envelope;

/// The longest command line taken, well above what AUTH needs (RFC 4954, 4).
const COMMAND_LIMIT: usize = 12_288;

/// Serves one connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let (number, open) = shared.ledger.open();
    let wire = Wire::new(stream, shared.options.reply_delay);
    let mut session = Session {
        wire,
        number,
        is_one_too_many: open > shared.options.max_connections,
        greeted: false,
        tls: false,
        user: None,
        accepted: 0,
        envelope: None,
        _open: Open(Arc::clone(&shared)),
        shared,
    };
    let Err(end) = session.converse().await;
    match end {
        End::Close => session.wire.close().await,
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
    envelope: Option<Envelope>,
    _open: Open,
}

/// Why a conversation is over.
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

/// Counts the connection as open while it lives.
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
            self.check_flight(&command);
            self.obey(command).await?;
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
        self.envelope = None;
        Ok(())
    }

    async fn quit(&mut self) -> Result<(), End> {
        self.answer(Phase::Quit, Reply::new(221, "2.0.0 Bye")).await?;
        Err(End::Close)
    }

    /// Replies as usual or as a fault says, and returns the code that the client gets.
    async fn answer(&mut self, phase: Phase, usual: Reply) -> Result<u16, End> {
        let action = self.trouble(phase, None).await?;
        self.perform(action, usual).await
    }

    /// What a fault does now instead of the usual, after the pause it makes.
    async fn trouble(&mut self, phase: Phase, recipient: Option<&String>) -> Result<Option<Action>, End> {
        let envelope = self.envelope.as_ref();
        let recipients = match recipient {
            Some(recipient) => std::slice::from_ref(recipient),
            None => envelope.map_or(&[][..], |envelope| &envelope.recipients),
        };
        let (delay, action) = self.shared.faults.take(&Moment {
            phase,
            connection: self.number,
            message: envelope.map(|envelope| envelope.number),
            sender: envelope.map(|envelope| &envelope.sender),
            recipients,
        });
        if !delay.is_zero() {
            self.wire.flush().await?;
            tokio::time::sleep(delay).await;
        }
        Ok(action)
    }

    async fn perform(&mut self, action: Option<Action>, usual: Reply) -> Result<u16, End> {
        match action {
            None | Some(Action::Delay(_)) => {
                self.wire.write(&usual.bytes());
                Ok(usual.code)
            }
            Some(Action::ByteByByte) => {
                self.wire.send_byte_by_byte(&usual.bytes()).await?;
                Ok(usual.code)
            }
            Some(Action::Reply(code, lines)) => {
                self.wire.write(&Reply::of_lines(code, &lines).bytes());
                Ok(code)
            }
            Some(Action::ReplyAndClose(code, lines)) => {
                self.wire.write(&Reply::of_lines(code, &lines).bytes());
                Err(End::Close)
            }
            Some(Action::Raw(bytes)) => {
                self.wire.write(&bytes);
                Ok(0)
            }
            Some(Action::Close | Action::StoreThenClose) => self.end_after_flush(End::Close).await,
            Some(Action::Reset) => self.end_after_flush(End::Reset).await,
            Some(Action::Stall | Action::StoreThenStall) => self.end_after_flush(End::Stall).await,
        }
    }

    /// Earlier replies of the same flight still go out.
    async fn end_after_flush(&mut self, end: End) -> Result<u16, End> {
        self.wire.flush().await?;
        Err(end)
    }

    fn say(&mut self, reply: &Reply) -> Result<(), End> {
        self.wire.write(&reply.bytes());
        Ok(())
    }

    /// Replies to something that no client in good order does.
    fn blame(&mut self, what: &str, reply: &Reply) -> Result<(), End> {
        self.violation(what);
        self.say(reply)
    }

    fn violation(&self, what: &str) {
        self.shared.ledger.violation(self.number, what);
    }

    /// The next line without its CRLF; replies are sent when there is none.
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
        };
        let content = line.strip_suffix(b"\r\n").unwrap_or_else(|| {
            self.violation("a command ends with a bare LF");
            &line[..line.len() - 1]
        });
        Ok(String::from_utf8_lossy(content).into_owned())
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
