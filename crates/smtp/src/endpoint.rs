//! A server to send through, and how.

use secrecy::SecretString;

use crate::{address::HelloName, limits::TimeLimits, tls::TlsClient};

/// Everything needed to open a session.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// A name or an address, without a port.
    pub host: String,
    /// 465 for implicit TLS, 587 for STARTTLS, 25 between servers.
    pub port: u16,
    /// How the conversation is protected.
    pub security: Security,
    /// The login, if the server wants one.
    pub credentials: Option<Credentials>,
    /// What we call ourselves.
    pub hello_name: HelloName,
    /// How long each phase may take.
    pub limits: TimeLimits,
}

/// How a conversation is protected. There is no "TLS if offered": that protects from nobody.
#[derive(Clone, Debug)]
pub enum Security {
    /// TLS from the first byte, as on port 465.
    ImplicitTls(TlsClient),
    /// STARTTLS, without which nothing is sent.
    StartTls(TlsClient),
    /// Plain text, the login too: for a server on this machine or a private network.
    None,
}

/// A user and a secret, which is never shown.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password or key.
    pub secret: SecretString,
}

impl Endpoint {
    /// No login, default limits; the fields are there to be set.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16, security: Security) -> Self {
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
    /// A user and a secret.
    pub fn new(user: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { user: user.into(), secret: SecretString::from(secret.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let mut endpoint = Endpoint::new("localhost", 25, Security::None);
        endpoint.credentials = Some(Credentials::new("ada", "hunter2"));
        let shown = format!("{endpoint:?}");
        assert!(shown.contains("ada") && !shown.contains("hunter2"), "{shown}");
    }
}
