//! Login with AUTH PLAIN or AUTH LOGIN (RFC 4954), one after the other.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;

use crate::{
    capabilities::Capabilities,
    endpoint::Credentials,
    error::{ErrorKind, Phase, SmtpError, expect_positive},
    redaction::{Redaction, plain_response},
    reply::Reply,
    wire::Wire,
};

/// Reply that continues a login (RFC 4954 §4).
const CHALLENGE: u16 = 334;

/// Mechanism of AUTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    /// One round trip (RFC 4616).
    Plain,
    /// Three round trips.
    Login,
}

/// A login over one or more connections. Each mechanism is tried once: a server may offer one that
/// it refuses, and may close the connection after a refusal.
pub(crate) struct Login<'a> {
    credentials: &'a Credentials,
    limit: Duration,
    untried: Vec<Mechanism>,
    refused: Option<SmtpError>,
}

impl<'a> Login<'a> {
    /// Creates a login. The mechanism that worked last comes first, else PLAIN.
    pub(crate) fn new(credentials: &'a Credentials, limit: Duration) -> Self {
        let mut untried = vec![Mechanism::Plain, Mechanism::Login];
        if credentials.prefers_login() {
            untried.reverse();
        }
        Self { credentials, limit, untried, refused: None }
    }

    /// Tries the offered mechanisms in turn. Returns false if the next one needs a new connection.
    ///
    /// Replies are redacted from here on, because the server may echo the secret.
    pub(crate) async fn attempt(&mut self, wire: &mut Wire, offered: &Capabilities) -> Result<bool, SmtpError> {
        wire.redact(Redaction::of_login(&self.credentials.user, self.credentials.secret.expose_secret()));
        self.untried.retain(|mechanism| mechanism.is_in(offered));
        let mut refused_here = false;
        while !self.untried.is_empty() {
            let mechanism = self.untried.remove(0);
            let reply = self.run(mechanism, wire).await.and_then(|reply| expect_positive(Phase::Auth, reply));
            let Err(error) = reply else {
                self.credentials.set_prefers_login(mechanism == Mechanism::Login);
                return Ok(true);
            };
            if error.is_closed() && refused_here {
                // The refusal before closed the connection: this mechanism was not tried.
                self.untried.insert(0, mechanism);
                return Ok(false);
            }
            let needs_connection = error.is_closed() || matches!(error.kind(), ErrorKind::Unexpected(_));
            let is_refused = error.reply().is_some_and(|reply| reply.code >= 500);
            self.keep(error);
            if needs_connection && !self.untried.is_empty() {
                return Ok(false);
            }
            if !is_refused {
                break;
            }
            refused_here = true;
        }
        Err(self.refused.take().unwrap_or_else(|| SmtpError::new(Phase::Auth, ErrorKind::AuthMissing)))
    }

    /// Keeps the error that says most: a refusal of the credentials rather than of the mechanism.
    fn keep(&mut self, error: SmtpError) {
        let is_of_mechanism =
            |error: &SmtpError| error.reply().is_none_or(|reply| matches!(reply.code, 500..=504 | 421));
        if self.refused.as_ref().is_none_or(is_of_mechanism) {
            self.refused = Some(error);
        }
    }

    async fn run(&self, mechanism: Mechanism, wire: &mut Wire) -> Result<Reply, SmtpError> {
        match mechanism {
            Mechanism::Plain => plain(wire, self.credentials, self.limit).await,
            Mechanism::Login => login(wire, self.credentials, self.limit).await,
        }
    }
}

impl Mechanism {
    fn is_in(self, offered: &Capabilities) -> bool {
        match self {
            Self::Plain => offered.auth_plain,
            Self::Login => offered.auth_login,
        }
    }
}

/// Logs in with PLAIN. Some servers ignore the initial response and request it with a challenge
/// (RFC 4954 §4); it is then sent once more.
async fn plain(wire: &mut Wire, credentials: &Credentials, limit: Duration) -> Result<Reply, SmtpError> {
    let secret = credentials.secret.expose_secret();
    let response = STANDARD.encode(plain_response(&credentials.user, secret));
    let reply = wire.command(Phase::Auth, limit, &["AUTH PLAIN ", &response]).await?;
    if reply.code != CHALLENGE {
        return Ok(reply);
    }
    wire.command(Phase::Auth, limit, &[&response]).await
}

async fn login(wire: &mut Wire, credentials: &Credentials, limit: Duration) -> Result<Reply, SmtpError> {
    let user = STANDARD.encode(&credentials.user);
    let secret = STANDARD.encode(credentials.secret.expose_secret());
    let mut reply = wire.command(Phase::Auth, limit, &["AUTH LOGIN"]).await?;
    for response in [user, secret] {
        expect_challenge(reply)?;
        reply = wire.command(Phase::Auth, limit, &[&response]).await?;
    }
    Ok(reply)
}

fn expect_challenge(reply: Reply) -> Result<(), SmtpError> {
    if reply.code == CHALLENGE { Ok(()) } else { Err(SmtpError::new(Phase::Auth, reply)) }
}
