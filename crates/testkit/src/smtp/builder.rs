//! Extensions and limits of a server.

use super::fault::Action;
use std::time::Duration;

/// TLS mode of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS from the first byte, as on port 465.
    Implicit,
    /// Optional STARTTLS.
    StartTls,
    /// Required STARTTLS: mail is refused without it.
    StartTlsRequired,
}

/// Kind of a server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateKind {
    /// Signed by an authority that signs no other.
    #[default]
    OfAuthority,
    /// Signed by itself and marked as an authority, as `openssl req -x509` makes it.
    OfItself,
    /// Signed by itself, X.509 version 1, as `openssl x509 -req` makes it.
    Version1,
}

#[derive(Clone, Debug)]
pub(super) struct ServerOptions {
    pub(super) pipelining: bool,
    pub(super) eight_bit_mime: bool,
    pub(super) smtputf8: bool,
    pub(super) size: Option<usize>,
    pub(super) more_extensions: Vec<String>,
    pub(super) lower_case: bool,
    pub(super) tls: Option<TlsMode>,
    pub(super) certificate_name: String,
    pub(super) certificate_kind: CertificateKind,
    pub(super) only_tls12: bool,
    pub(super) login: Option<(String, String)>,
    pub(super) mechanisms: Vec<String>,
    pub(super) reply_delay: Duration,
    pub(super) max_messages: usize,
    /// Reply to a MAIL beyond `max_messages`.
    pub(super) spent: Action,
    pub(super) error_limit: Option<(usize, Action)>,
    pub(super) max_connections: usize,
    /// Number of connections at which the port is closed.
    pub(super) max_listening: usize,
    pub(super) connection_rate: Option<(usize, Duration, Action)>,
    pub(super) max_recipients: usize,
    pub(super) rate: Option<(usize, Action)>,
    pub(super) nagle: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            pipelining: true,
            eight_bit_mime: true,
            smtputf8: true,
            size: Some(50_000_000),
            more_extensions: Vec::new(),
            lower_case: false,
            tls: None,
            certificate_name: "127.0.0.1".to_owned(),
            certificate_kind: CertificateKind::default(),
            only_tls12: false,
            login: None,
            mechanisms: vec!["PLAIN".to_owned(), "LOGIN".to_owned()],
            reply_delay: Duration::ZERO,
            max_messages: usize::MAX,
            spent: Action::reply_and_close(421, "4.7.0 Too many messages on this connection"),
            error_limit: None,
            max_connections: usize::MAX,
            max_listening: usize::MAX,
            connection_rate: None,
            max_recipients: usize::MAX,
            rate: None,
            nagle: false,
        }
    }
}

impl ServerOptions {
    /// Extensions listed in the reply to EHLO.
    pub(super) fn extensions(&self, in_tls: bool) -> Vec<String> {
        let starttls = matches!(self.tls, Some(TlsMode::StartTls | TlsMode::StartTlsRequired)) && !in_tls;
        let offered = [
            self.pipelining.then(|| "PIPELINING".to_owned()),
            self.eight_bit_mime.then(|| "8BITMIME".to_owned()),
            self.smtputf8.then(|| "SMTPUTF8".to_owned()),
            self.size.map(|size| format!("SIZE {size}")),
            starttls.then(|| "STARTTLS".to_owned()),
            self.login.is_some().then(|| format!("AUTH {}", self.mechanisms.join(" "))),
            Some("ENHANCEDSTATUSCODES".to_owned()),
        ];
        let all = offered.into_iter().flatten().chain(self.more_extensions.iter().cloned());
        all.map(|line| if self.lower_case { line.to_lowercase() } else { line }).collect()
    }
}

/// Builder of a [`FakeSmtp`](super::FakeSmtp). The default server offers PIPELINING, 8BITMIME,
/// SMTPUTF8, SIZE and ENHANCEDSTATUSCODES.
#[derive(Clone, Debug, Default)]
pub struct FakeSmtpBuilder(ServerOptions);

impl FakeSmtpBuilder {
    /// Sets whether PIPELINING is offered. If not, pipelining is a violation.
    pub fn pipelining(mut self, offered: bool) -> Self {
        self.0.pipelining = offered;
        self
    }

    /// Sets whether 8BITMIME is offered.
    pub fn eight_bit_mime(mut self, offered: bool) -> Self {
        self.0.eight_bit_mime = offered;
        self
    }

    /// Sets whether SMTPUTF8 is offered.
    pub fn smtputf8(mut self, offered: bool) -> Self {
        self.0.smtputf8 = offered;
        self
    }

    /// Sets the maximum message size, announced by SIZE; `None` does not offer SIZE.
    pub fn size(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.0.size = limit.into();
        self
    }

    /// Adds a line to the reply to EHLO.
    pub fn extension(mut self, line: &str) -> Self {
        self.0.more_extensions.push(line.to_owned());
        self
    }

    /// Writes all extensions in lower case.
    pub fn lower_case(mut self) -> Self {
        self.0.lower_case = true;
        self
    }

    /// Enables TLS; the client must trust [`FakeSmtp::ca_pem`](super::FakeSmtp::ca_pem).
    pub fn tls(mut self, mode: TlsMode) -> Self {
        self.0.tls = Some(mode);
        self
    }

    /// Sets the name or address in the certificate, instead of 127.0.0.1.
    pub fn certificate_name(mut self, name: &str) -> Self {
        self.0.certificate_name = name.to_owned();
        self
    }

    /// Sets the kind of the certificate.
    pub fn certificate_kind(mut self, kind: CertificateKind) -> Self {
        self.0.certificate_kind = kind;
        self
    }

    /// Offers TLS 1.2 only.
    pub fn only_tls12(mut self) -> Self {
        self.0.only_tls12 = true;
        self
    }

    /// Requires AUTH with this user and password.
    pub fn auth(mut self, user: &str, password: &str) -> Self {
        self.0.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Sets the offered AUTH mechanisms, instead of PLAIN and LOGIN. Others than these two are
    /// announced but not supported.
    pub fn auth_mechanisms(mut self, mechanisms: &[&str]) -> Self {
        self.0.mechanisms = mechanisms.iter().map(ToString::to_string).collect();
        self
    }

    /// Delays each flush of replies, once for all commands that arrived together. This simulates
    /// the round-trip time of a network.
    pub fn reply_delay(mut self, delay: Duration) -> Self {
        self.0.reply_delay = delay;
        self
    }

    /// Limits the mails of a connection; the next MAIL is answered with 421 and the connection is
    /// closed.
    pub fn max_messages(mut self, count: usize) -> Self {
        self.0.max_messages = count;
        self
    }

    /// Limits the mails of a connection, like [`Self::max_messages`], with this action for the next
    /// MAIL, such as `Action::reply(452, "4.5.3 Too many messages sent")`.
    pub fn message_limit(mut self, count: usize, refusal: Action) -> Self {
        (self.0.max_messages, self.0.spent) = (count, refusal);
        self
    }

    /// Limits the refused commands of a connection. Each further command gets this action, such as
    /// `Action::reply_and_close(421, "4.7.0 Error: too many errors")`.
    pub fn error_limit(mut self, count: usize, refusal: Action) -> Self {
        self.0.error_limit = Some((count, refusal));
        self
    }

    /// Closes the port while this many connections are open, so that a further one is refused by
    /// the kernel.
    pub fn max_listening(mut self, count: usize) -> Self {
        self.0.max_listening = count;
        self
    }

    /// Limits new connections within a time. Further ones get this action instead of a greeting.
    pub fn connection_rate(mut self, count: usize, window: Duration, refusal: Action) -> Self {
        self.0.connection_rate = Some((count, window, refusal));
        self
    }

    /// Leaves Nagle's algorithm on and sends each reply in a write of its own, as many servers do.
    /// A reply then leaves only when the one before is acknowledged.
    pub fn nagle(mut self) -> Self {
        self.0.nagle = true;
        self
    }

    /// Limits concurrent connections; a further one is greeted with 421 and closed.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.0.max_connections = count;
        self
    }

    /// Limits the recipients of a transaction; further ones are refused with 452.
    pub fn max_recipients(mut self, count: usize) -> Self {
        self.0.max_recipients = count;
        self
    }

    /// Limits MAIL commands in any second, over all connections. Further ones get this action, such
    /// as `Action::reply(450, "4.7.0 Transmit rate limit exceeded")`.
    pub fn rate(mut self, per_second: usize, refusal: Action) -> Self {
        self.0.rate = Some((per_second, refusal));
        self
    }

    pub(super) fn into_options(self) -> ServerOptions {
        self.0
    }
}
