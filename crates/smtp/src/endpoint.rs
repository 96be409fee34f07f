//! SMTP server and how to connect to it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use secrecy::SecretString;

use crate::{address::HelloName, limits::TimeLimits, tls::TlsClient};

/// Everything needed to open a session.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host name or IP address, without a port.
    pub host: String,
    /// Port: usually 465 for implicit TLS, 587 for STARTTLS, 25 between servers.
    pub port: u16,
    /// Encryption of the connection.
    pub security: ConnectionSecurity,
    /// Login, if the server requires one.
    pub credentials: Option<Credentials>,
    /// Client name in EHLO.
    pub hello_name: HelloName,
    /// Time limit of each phase.
    pub limits: TimeLimits,
}

/// Encryption of a connection. There is no opportunistic TLS, because an active attacker can strip
/// it.
#[derive(Clone, Debug)]
pub enum ConnectionSecurity {
    /// TLS from the first byte, as on port 465.
    ImplicitTls(TlsClient),
    /// STARTTLS. Nothing is sent if the server does not offer it.
    StartTls(TlsClient),
    /// No encryption, not even of the login. For a server on this machine or in a private network.
    None,
}

/// User name and secret; `Debug` omits the secret.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password or key.
    pub secret: SecretString,
    /// Whether the server accepted AUTH LOGIN after it had refused AUTH PLAIN.
    prefers_login: Arc<AtomicBool>,
}

impl Endpoint {
    /// Creates an endpoint without a login and with default limits. Set the fields to change them.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16, security: ConnectionSecurity) -> Self {
        Self {
            host: host.into(),
            port,
            security,
            credentials: None,
            hello_name: HelloName::default(),
            limits: TimeLimits::default(),
        }
    }
}

impl Credentials {
    /// Creates credentials from a user name and a secret.
    pub fn new(user: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { user: user.into(), secret: SecretString::from(secret.into()), prefers_login: Arc::default() }
    }

    /// Whether AUTH LOGIN is tried before AUTH PLAIN.
    pub(crate) fn prefers_login(&self) -> bool {
        self.prefers_login.load(Ordering::Relaxed)
    }

    /// Records which mechanism the server accepted, for the next connection.
    pub(crate) fn set_prefers_login(&self, login: bool) {
        self.prefers_login.store(login, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_omits_the_secret() {
        let mut endpoint = Endpoint::new("localhost", 25, ConnectionSecurity::None);
        endpoint.credentials = Some(Credentials::new("ada", "hunter2"));
        let shown = format!("{endpoint:?}");
        assert!(shown.contains("ada") && !shown.contains("hunter2"), "{shown}");
    }
}
