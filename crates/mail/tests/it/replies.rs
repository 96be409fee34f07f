//! Every reply code at every step of an SMTP session. A mail is accepted only by a 2yz reply to its
//! final dot.

use std::{collections::BTreeSet, ops::Range, sync::Arc, time::Duration};

use postroom_core::settings::{Security, SmtpSettings, TransportSettings};
use postroom_mail::{Attempt, Commit, Transport, Verdict};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::fixture::{MemorySink, addresses, message};

const CODES: Range<u16> = 200..600;
const TO: [&str; 2] = ["a@example.net", "b@example.net"];
/// Time limit of one session: longer than any session takes on a busy machine, shorter than the
/// limits of a client.
const SESSION_LIMIT: Duration = Duration::from_secs(60);

/// Command whose reply is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Greeting,
    Ehlo,
    /// Fallback after EHLO was answered with 502.
    Helo,
    StartTls,
    AuthPlain,
    /// Response after the command with an initial response was answered with 334.
    AuthPlainAgain,
    AuthLogin,
    AuthLoginUser,
    AuthLoginSecret,
    Mail,
    /// RCPT of the first recipient.
    Rcpt,
    Data,
    Dot,
    /// RSET before the second mail.
    Rset,
    Quit,
}

use Step::{
    AuthLogin, AuthLoginSecret, AuthLoginUser, AuthPlain, AuthPlainAgain, Data, Dot, Ehlo, Greeting, Helo, Mail, Quit,
    Rcpt, Rset, StartTls,
};

const STEPS: [Step; 15] = [
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    AuthPlain,
    AuthPlainAgain,
    AuthLogin,
    AuthLoginUser,
    AuthLoginSecret,
    Mail,
    Rcpt,
    Data,
    Dot,
    Rset,
    Quit,
];

/// One session: the replaced reply, and the format of the server's replies.
#[derive(Clone, Copy, Debug)]
struct ReplyCase {
    step: Step,
    code: u16,
    lines: usize,
    pipelining: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_2yz_reply_to_the_final_dot_is_an_acceptance() {
    let mut running = tokio::task::JoinSet::new();
    for step in STEPS {
        // The commands from MAIL on are pipelined or not.
        let modes = if matches!(step, Mail | Rcpt | Data | Dot | Rset) { &[true, false][..] } else { &[true] };
        for (pipelining, lines) in modes.iter().flat_map(|mode| [(*mode, 1), (*mode, 3)]) {
            running.spawn(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                for code in CODES {
                    let case = ReplyCase { step, code, lines, pipelining };
                    timeout(SESSION_LIMIT, case.check(&listener))
                        .await
                        .unwrap_or_else(|_| panic!("{case:?} did not end"));
                }
            });
        }
    }
    while let Some(done) = running.join_next().await {
        done.expect("no panic");
    }
}

impl ReplyCase {
    /// Sends a mail, and a second one if the first is to be refused. Compares the results of the
    /// client with the mails that the server accepted.
    async fn check(self, listener: &TcpListener) {
        let mut server = ScriptedServer { case: self, accepted: Vec::new(), refusals: usize::from(self.step == Rset) };
        let transport = self.transport(listener);
        let mails = 1 + server.refusals;
        let client = async {
            let mut attempts = Vec::new();
            for _ in 0..mails {
                attempts.push(transport.send(&message(), &addresses(&TO), async { Commit::Proceed }).await);
            }
            transport.close().await;
            attempts
        };
        let attempts = tokio::select! {
            attempts = client => attempts,
            () = server.serve(listener) => unreachable!("the server serves until the client ends"),
        };
        let accepted: Vec<BTreeSet<String>> = attempts.iter().map(accepted).filter(|to| !to.is_empty()).collect();
        assert_eq!(accepted, server.accepted, "{self:?}: {attempts:?}");
        self.check_blame(attempts.last().expect("a mail"));
    }

    /// A reply that is neither the expected one nor a refusal is the fault of the server, not of
    /// the mail.
    fn check_blame(self, last: &Attempt) {
        let is_odd = self.code < 400 && last.verdict != Verdict::Accepted;
        if is_odd && self.step == Dot {
            assert_eq!(last.verdict, Verdict::Unknown, "{self:?}: {last:?}");
        } else if is_odd {
            assert_eq!(last.verdict, Verdict::NothingSent, "{self:?}: {last:?}");
        }
    }

    fn transport(self, listener: &TcpListener) -> Transport {
        let wants_login = matches!(self.step, AuthPlain | AuthPlainAgain | AuthLogin | AuthLoginUser | AuthLoginSecret);
        let security = if self.step == StartTls { Security::StartTls } else { Security::None };
        let settings = SmtpSettings {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().expect("an address").port(),
            security,
            credentials: wants_login.then(|| ("ada".to_owned(), "secret".to_owned().into())),
            ca_file: None,
            hello_name: "test.example.org".to_owned(),
            timeouts: Box::default(),
        };
        Transport::from_settings("main", &TransportSettings::Smtp(settings), Arc::<MemorySink>::default()).expect("one")
    }

    /// Reply to this step: the usual one, or the replaced one.
    fn reply(self, step: Step, usual: u16) -> (u16, String) {
        let replaced = step == self.step;
        let (code, lines) = if replaced { (self.code, self.lines) } else { (usual, 1) };
        let mut text: String = (1..lines).map(|number| format!("{code}-line {number}\r\n")).collect();
        text.push_str(&format!("{code} ok\r\n"));
        (code, text)
    }

    fn ehlo(self) -> (u16, String) {
        if self.step == Ehlo {
            return self.reply(Ehlo, 250);
        }
        let plain = matches!(self.step, AuthPlain | AuthPlainAgain);
        let mut text = "250-mx\r\n".to_owned();
        text.push_str(if plain { "250-AUTH PLAIN\r\n" } else { "250-AUTH LOGIN\r\n" });
        text.push_str(if self.pipelining { "250-PIPELINING\r\n" } else { "" });
        text.push_str(if self.step == StartTls { "250-STARTTLS\r\n" } else { "" });
        text.push_str("250 HELP\r\n");
        (250, text)
    }
}

/// Server that gives the usual reply to every command except one step.
struct ScriptedServer {
    case: ReplyCase,
    /// Recipients of each accepted mail.
    accepted: Vec<BTreeSet<String>>,
    /// Number of mails that are still to be refused at the dot.
    refusals: usize,
}

type CommandLines = tokio::io::Lines<BufReader<tokio::net::tcp::OwnedReadHalf>>;

impl ScriptedServer {
    async fn serve(&mut self, listener: &TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            // The client may disconnect at any time.
            let _ = self.serve_connection(stream).await;
        }
    }

    async fn serve_connection(&mut self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        let mut lines: CommandLines = BufReader::new(read).lines();
        write.write_all(self.case.reply(Greeting, 220).1.as_bytes()).await?;
        let mut to = BTreeSet::new();
        while let Some(line) = lines.next_line().await? {
            let (code, text) = self.answer(&line, &mut to);
            write.write_all(text.as_bytes()).await?;
            match (line.split(' ').next().unwrap_or_default(), code) {
                ("DATA", 354) => self.content(&mut lines, &mut write, &mut to).await?,
                ("AUTH", 334) => self.log_in(&line, &mut lines, &mut write).await?,
                // This server does not support TLS.
                ("STARTTLS", 200..300) | ("QUIT", _) => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }

    fn answer(&self, line: &str, to: &mut BTreeSet<String>) -> (u16, String) {
        let case = self.case;
        match line.split(' ').next().unwrap_or_default() {
            "EHLO" if case.step == Helo => (502, "502 what?\r\n".to_owned()),
            "EHLO" => case.ehlo(),
            "HELO" => case.reply(Helo, 250),
            "STARTTLS" => case.reply(StartTls, 220),
            "AUTH" if case.step == AuthPlainAgain => (334, "334 \r\n".to_owned()),
            "AUTH" if line.starts_with("AUTH PLAIN") => case.reply(AuthPlain, 235),
            "AUTH" => case.reply(AuthLogin, 334),
            "MAIL" => case.reply(Mail, 250),
            "RCPT" => {
                let first = line.contains(TO[0]);
                let (code, text) = if first { case.reply(Rcpt, 250) } else { (250, "250 ok\r\n".to_owned()) };
                if (200..300).contains(&code) {
                    to.insert(line.trim_start_matches("RCPT TO:<").trim_end_matches('>').to_owned());
                }
                (code, text)
            }
            "DATA" => case.reply(Data, 354),
            "RSET" => {
                to.clear();
                case.reply(Rset, 250)
            }
            "QUIT" => case.reply(Quit, 221),
            _ => (500, "500 what?\r\n".to_owned()),
        }
    }

    /// Replies to the lines of a login after the first 334.
    async fn log_in(
        &self,
        command: &str,
        lines: &mut CommandLines,
        write: &mut (impl AsyncWriteExt + Unpin),
    ) -> std::io::Result<()> {
        let steps = match command.starts_with("AUTH PLAIN") {
            true => vec![(AuthPlainAgain, 235)],
            false => vec![(AuthLoginUser, 334), (AuthLoginSecret, 235)],
        };
        for (step, usual) in steps {
            if lines.next_line().await?.is_none() {
                return Ok(());
            }
            let (code, text) = self.case.reply(step, usual);
            write.write_all(text.as_bytes()).await?;
            if code != 334 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the message and replies to its final dot.
    async fn content(
        &mut self,
        lines: &mut CommandLines,
        write: &mut (impl AsyncWriteExt + Unpin),
        to: &mut BTreeSet<String>,
    ) -> std::io::Result<()> {
        while let Some(line) = lines.next_line().await? {
            if line != "." {
                continue;
            }
            let usual = if self.refusals > 0 { 554 } else { 250 };
            self.refusals = self.refusals.saturating_sub(1);
            let (code, text) = self.case.reply(Dot, usual);
            let to = std::mem::take(to);
            if (200..300).contains(&code) && !to.is_empty() {
                self.accepted.push(to);
            }
            return write.write_all(text.as_bytes()).await;
        }
        Ok(())
    }
}

fn accepted(attempt: &Attempt) -> BTreeSet<String> {
    let accepted = attempt.recipients.iter().filter(|own| own.verdict == Verdict::Accepted);
    accepted.map(|own| own.address.to_string()).collect()
}
