//! Settings of transports.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr, time::Duration};

use secrecy::SecretString;

use super::{
    file::{RawTimeouts, RawTransport},
    hello::own_hello_name,
    layers::{Layers, secret_or_file},
    resend::ResendSettings,
    value,
    variables::{
        MAIL_TRANSPORT, SMTP_CA_FILE, SMTP_HELLO_NAME, SMTP_HOST, SMTP_PASSWORD, SMTP_PORT, SMTP_SECURITY,
        SMTP_USERNAME,
    },
};
use crate::{InvalidInput, Mailbox, host};

/// Name of the transport that the environment describes.
pub(super) const DEFAULT: &str = "default";

/// A transport of mail.
#[derive(Debug, Clone)]
pub enum TransportSettings {
    /// SMTP to a mail server.
    Smtp(SmtpSettings),
    /// HTTP API of the provider Resend.
    Resend(ResendSettings),
    /// `.eml` files in a folder.
    File(PathBuf),
    /// Storage in Redis, for the monitor to show.
    Capture,
    /// Discards the mail; for benchmarks.
    Discard,
}

impl TransportSettings {
    /// Whether the transport is a provider that sets the envelope itself.
    #[must_use]
    pub fn has_no_envelope(&self) -> bool {
        matches!(self, Self::Resend(_))
    }
}

/// Settings of an SMTP server.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Protection of the connection.
    pub security: Security,
    /// User name and password.
    pub credentials: Option<(String, SecretString)>,
    /// File with additional certificate authorities (PEM).
    pub ca_file: Option<PathBuf>,
    /// Name sent with EHLO.
    pub hello_name: String,
    /// Time limits that differ from the session's defaults.
    pub timeouts: Box<SmtpTimeouts>,
}

/// Protection of an SMTP connection. Opportunistic TLS is not offered, because an attacker can
/// disable it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// STARTTLS, required before anything is sent.
    StartTls,
    /// No encryption.
    None,
}

/// Time limits of the phases of an SMTP session; the session's default if absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SmtpTimeouts {
    /// Limit of the connection attempt.
    pub connect: Option<Duration>,
    /// Limit of the TLS handshake.
    pub tls: Option<Duration>,
    /// Limit of the wait for the greeting.
    pub greeting: Option<Duration>,
    /// Limit of the wait for the reply to a command.
    pub command: Option<Duration>,
    /// Limit of the wait for the reply to DATA, and of sending each block of the message.
    pub data: Option<Duration>,
    /// Limit of the wait for the reply to the final dot.
    pub dot: Option<Duration>,
    /// Addition to `dot` for each megabyte of the message.
    pub dot_per_megabyte: Option<Duration>,
    /// Maximum of `dot` with its additions.
    pub dot_max: Option<Duration>,
}

/// Reads all transports by name: those of the toml, and the one of the environment.
pub(super) fn read_all(
    layers: &Layers,
    raw: BTreeMap<String, RawTransport>,
    sender: Option<&Mailbox>,
) -> Result<BTreeMap<String, TransportSettings>, InvalidInput> {
    let hello = layers.read(&SMTP_HELLO_NAME, value::hello_name)?.unwrap_or_else(|| own_hello_name(sender));
    let mut all = BTreeMap::new();
    for (name, raw) in raw {
        let in_table = |key: &str| format!("[transport.{name}] {key}");
        value::name(&name).map_err(|problem| problem.at(format!("[transport.{name}]")))?;
        let transport = from_table(raw, &hello, layers).map_err(|problem| {
            let field = in_table(&problem.field);
            problem.at(field)
        })?;
        all.insert(name, transport);
    }
    if let Some(transport) = from_environment(layers, &hello)? {
        refuse_twice(layers, all.contains_key(DEFAULT))?;
        all.insert(DEFAULT.to_owned(), transport);
    }
    Ok(all)
}

/// Refuses a transport that the toml describes twice. The environment may override a table.
fn refuse_twice(layers: &Layers, in_table: bool) -> Result<(), InvalidInput> {
    for variable in [MAIL_TRANSPORT, SMTP_HOST] {
        if in_table && layers.is_from_file(&variable) {
            let key = variable.key().unwrap_or_default();
            return Err(InvalidInput::new(
                "[transport.default]",
                format!("{key} configures the same transport; remove one of them"),
            ));
        }
    }
    Ok(())
}

fn from_environment(layers: &Layers, hello: &str) -> Result<Option<TransportSettings>, InvalidInput> {
    let smtp = smtp_of_environment(layers, hello)?;
    let Some(word) = layers.find(&MAIL_TRANSPORT)? else { return Ok(smtp.map(TransportSettings::Smtp)) };
    let refuse = |problem: String| Err(InvalidInput::new(&word.field, problem));
    match (word.text.as_str(), smtp) {
        ("smtp", Some(smtp)) => Ok(Some(TransportSettings::Smtp(smtp))),
        ("smtp", None) => refuse("smtp requires SMTP_HOST, which is not set".to_owned()),
        ("resend", _) => match ResendSettings::of_environment(layers)? {
            Some(resend) => Ok(Some(TransportSettings::Resend(resend))),
            None => refuse("resend requires RESEND_API_KEY, which is not set".to_owned()),
        },
        ("capture", _) => Ok(Some(TransportSettings::Capture)),
        ("discard", _) => Ok(Some(TransportSettings::Discard)),
        (other, _) => match other.strip_prefix("file:").filter(|path| !path.is_empty()) {
            Some(path) => Ok(Some(TransportSettings::File(PathBuf::from(path)))),
            None => {
                refuse(format!("{other:?} is not a transport; it may be smtp, resend, file:DIR, capture or discard"))
            }
        },
    }
}

fn smtp_of_environment(layers: &Layers, hello: &str) -> Result<Option<SmtpSettings>, InvalidInput> {
    let parts = SmtpParts {
        host: layers.read(&SMTP_HOST, host::check)?,
        port: layers.read(&SMTP_PORT, host::port)?,
        security: layers.read(&SMTP_SECURITY, str::parse)?,
        username: layers.text(&SMTP_USERNAME)?,
        password: layers.secret(&SMTP_PASSWORD)?,
        ca_file: layers.path(&SMTP_CA_FILE)?,
        hello_name: hello.to_owned(),
        timeouts: Box::default(),
    };
    parts.join().map_err(|problem| {
        let field = format!("SMTP_{}", problem.field.to_uppercase());
        problem.at(field)
    })
}

fn from_table(raw: RawTransport, hello: &str, layers: &Layers) -> Result<TransportSettings, InvalidInput> {
    raw.refuse_foreign_keys()?;
    match raw.kind.as_str() {
        "smtp" => smtp_of_table(raw, hello).map(TransportSettings::Smtp),
        "resend" => ResendSettings::of_table(raw, layers).map(TransportSettings::Resend),
        "file" => {
            let path = raw.path.filter(|path| !path.as_os_str().is_empty());
            path.map(TransportSettings::File)
                .ok_or_else(|| InvalidInput::new("path", "the key is missing; it names the folder for the .eml files"))
        }
        "capture" => Ok(TransportSettings::Capture),
        "discard" => Ok(TransportSettings::Discard),
        other => Err(InvalidInput::new(
            "kind",
            format!("{other:?} is not a transport; it may be smtp, resend, file, capture or discard"),
        )),
    }
}

fn smtp_of_table(raw: RawTransport, hello: &str) -> Result<SmtpSettings, InvalidInput> {
    let password = secret_or_file("password", raw.password, raw.password_file.as_deref())?;
    let hello_name = raw.hello_name.map_or_else(|| Ok(hello.to_owned()), |name| value::hello_name(&name));
    let parts = SmtpParts {
        host: raw.host.map(|host| host::check(&host)).transpose().map_err(|problem| problem.at("host"))?,
        port: raw.port.map(|port| host::port(&port.to_string())).transpose().map_err(|problem| problem.at("port"))?,
        security: raw.security.map(|word| word.parse()).transpose()?,
        username: raw.username,
        password,
        ca_file: raw.ca_file,
        hello_name: hello_name.map_err(|problem| problem.at("hello_name"))?,
        timeouts: Box::new(SmtpTimeouts::read(raw.timeouts.unwrap_or_default())?),
    };
    parts.join()?.ok_or_else(|| InvalidInput::new("host", "the key is missing; it names the mail server"))
}

/// Keys of a table of kind `smtp`.
const SMTP_KEYS: &[&str] = &[
    "host",
    "port",
    "security",
    "username",
    "password",
    "password_file",
    "ca_file",
    "hello_name",
    "timeouts",
    "connections",
    "envelope_from",
];

impl RawTransport {
    /// Refuses keys that do not apply to the kind.
    fn refuse_foreign_keys(&self) -> Result<(), InvalidInput> {
        let own: &[&str] = match self.kind.as_str() {
            "smtp" => SMTP_KEYS,
            "resend" => ResendSettings::KEYS,
            "file" => &["path"],
            "capture" => &["envelope_from"],
            "discard" => &[],
            _ => return Ok(()),
        };
        match self.kind_specific_keys().into_iter().find(|key| !own.contains(key)) {
            Some(key) => Err(InvalidInput::new(key, format!("the key does not apply to kind = {:?}", self.kind))),
            None => Ok(()),
        }
    }

    /// Returns the keys in the table that apply only to some kinds.
    fn kind_specific_keys(&self) -> Vec<&'static str> {
        let keys = [
            ("path", self.path.is_some()),
            ("host", self.host.is_some()),
            ("port", self.port.is_some()),
            ("security", self.security.is_some()),
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
            ("password_file", self.password_file.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("hello_name", self.hello_name.is_some()),
            ("timeouts", self.timeouts.is_some()),
            ("api_key", self.api_key.is_some()),
            ("api_key_file", self.api_key_file.is_some()),
            ("url", self.url.is_some()),
            ("timeout", self.timeout.is_some()),
            ("connections", self.connections.is_some()),
            ("envelope_from", self.envelope_from.is_some()),
        ];
        keys.into_iter().filter_map(|(key, is_set)| is_set.then_some(key)).collect()
    }
}

impl SmtpTimeouts {
    fn read(raw: RawTimeouts) -> Result<Self, InvalidInput> {
        let limit = |key: &str, text: Option<String>| {
            text.map(|text| value::span_from(Duration::from_millis(1), &text))
                .transpose()
                .map_err(|problem| problem.at(format!("timeouts.{key}")))
        };
        Ok(Self {
            connect: limit("connect", raw.connect)?,
            tls: limit("tls", raw.tls)?,
            greeting: limit("greeting", raw.greeting)?,
            command: limit("command", raw.command)?,
            data: limit("data", raw.data)?,
            dot: limit("dot", raw.dot)?,
            dot_per_megabyte: limit("dot_per_megabyte", raw.dot_per_megabyte)?,
            dot_max: limit("dot_max", raw.dot_max)?,
        })
    }
}

impl FromStr for Security {
    type Err = InvalidInput;

    fn from_str(word: &str) -> Result<Self, InvalidInput> {
        match word {
            "tls" => Ok(Self::Tls),
            "starttls" => Ok(Self::StartTls),
            "none" => Ok(Self::None),
            other => {
                Err(InvalidInput::new("security", format!("{other:?} is not valid; it may be tls, starttls or none")))
            }
        }
    }
}

impl Security {
    /// Returns the default. A relay on this machine needs no TLS, if nothing but its host is set.
    fn default_for(port: Option<u16>, is_own_relay: bool) -> Self {
        match port {
            Some(465 | 2465) => Self::Tls,
            None if is_own_relay => Self::None,
            _ => Self::StartTls,
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Tls => 465,
            Self::StartTls => 587,
            Self::None => 25,
        }
    }
}

/// Parts of the settings of an SMTP server, from any source.
struct SmtpParts {
    host: Option<String>,
    port: Option<u16>,
    security: Option<Security>,
    username: Option<String>,
    password: Option<SecretString>,
    ca_file: Option<PathBuf>,
    hello_name: String,
    timeouts: Box<SmtpTimeouts>,
}

impl SmtpParts {
    /// Joins the parts; `None` without a host. A user name and a password require each other.
    fn join(self) -> Result<Option<SmtpSettings>, InvalidInput> {
        let credentials = match (self.username, self.password) {
            (Some(username), Some(password)) => Some((username, password)),
            (Some(_), None) => {
                return Err(InvalidInput::new("password", "the password is missing, but a user name is set"));
            }
            (None, Some(_)) => {
                return Err(InvalidInput::new("username", "the user name is missing, but a password is set"));
            }
            (None, None) => None,
        };
        let is_bare = credentials.is_none() && self.ca_file.is_none();
        let is_own_relay = is_bare && self.host.as_deref().is_some_and(host::is_on_this_machine);
        let security = self.security.unwrap_or_else(|| Security::default_for(self.port, is_own_relay));
        Ok(self.host.map(|host| SmtpSettings {
            host,
            port: self.port.unwrap_or_else(|| security.default_port()),
            security,
            credentials,
            ca_file: self.ca_file,
            hello_name: self.hello_name,
            timeouts: self.timeouts,
        }))
    }
}
