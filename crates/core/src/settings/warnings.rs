//! Warnings about settings that are valid but dangerous.

use secrecy::ExposeSecret;

use super::{Security, Settings, SmtpSettings, TransportSettings};
use crate::host::is_on_this_machine;

/// Minimum length of a key in the Standard Webhooks specification, in bytes.
const SHORTEST_SECRET: usize = 24;

/// Minimum length of the monitor's password if other machines can reach it, in characters.
pub const LEAST_MONITOR_PASSWORD: usize = 8;

impl Settings {
    /// Returns warnings for the operator at start, each a sentence.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let logins = self.transports.iter().filter_map(|(name, transport)| match transport {
            TransportSettings::Smtp(smtp) => bare_login(name, smtp),
            TransportSettings::Resend(_)
            | TransportSettings::File(_)
            | TransportSettings::Capture
            | TransportSettings::Discard => None,
        });
        let envelopes = self.unused_envelope_senders();
        let secrets = self.short_webhook_secret().into_iter().chain(self.short_monitor_password());
        logins.chain(envelopes).chain(secrets).collect()
    }

    /// Warns about an envelope sender of a transport without an envelope. Only that of the
    /// environment can be one; in a table it is an error.
    fn unused_envelope_senders(&self) -> impl Iterator<Item = String> {
        let is_unused = |name: &&String| self.transports.get(*name).is_some_and(TransportSettings::has_no_envelope);
        self.envelope_senders.keys().filter(is_unused).map(|name| {
            format!("SMTP_ENVELOPE_FROM has no effect: transport {name} sends through Resend, which has no envelope")
        })
    }

    /// Warns about a password that is refused as soon as other machines can reach the monitor.
    #[must_use]
    pub fn short_monitor_password(&self) -> Option<String> {
        let length = self.monitor_password.as_ref()?.expose_secret().chars().count();
        (length < LEAST_MONITOR_PASSWORD).then(|| {
            format!(
                "MONITOR_PASSWORD has {length} characters, so it can be guessed: use at least {LEAST_MONITOR_PASSWORD}"
            )
        })
    }

    fn short_webhook_secret(&self) -> Option<String> {
        let length = self.notify.signing_key.as_ref()?.expose_secret().len();
        (length < SHORTEST_SECRET).then(|| {
            format!(
                "NOTIFY_WEBHOOK_SECRET has {length} bytes, so it can be guessed: use at least {SHORTEST_SECRET}, \
                 such as whsec_$(openssl rand -base64 32)"
            )
        })
    }
}

/// Warns about a password that is sent without encryption.
fn bare_login(name: &str, smtp: &SmtpSettings) -> Option<String> {
    let is_bare = smtp.security == Security::None && smtp.credentials.is_some() && !is_on_this_machine(&smtp.host);
    is_bare.then(|| {
        format!(
            "transport {name} sends its password to {} without TLS, so anyone on the network can read it: set \
             SMTP_SECURITY (security in postroom.toml) to starttls or tls",
            smtp.host
        )
    })
}
