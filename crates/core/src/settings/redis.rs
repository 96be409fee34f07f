//! Location of Redis.

use std::path::PathBuf;

use redis::{ConnectionInfo, IntoConnectionInfo};
use secrecy::{ExposeSecret, SecretString};

use super::{
    ca_file,
    layers::Layers,
    sentinel::WatchedRedis,
    trust::Trust,
    value,
    variables::{POSTROOM_PREFIX, REDIS_CA_FILE, REDIS_TLS_INSECURE, REDIS_URL},
};
use crate::{InvalidInput, bounds::quoted};

const SCHEMES: [&str; 5] = ["redis", "rediss", "redis+unix", "redis+sentinel", "rediss+sentinel"];

const CONTRADICTION: &str = "REDIS_TLS_INSECURE (or #insecure in REDIS_URL) accepts any certificate, \
                             so this file would be ignored; remove one of them";

/// Location of the server that accepts writes.
pub(crate) enum RedisLocation {
    /// A fixed server.
    Fixed(ConnectionInfo),
    /// A server that Sentinels name.
    Watched(WatchedRedis),
}

/// Location of Redis, and the prefix of the keys.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// URL, which may contain a password.
    pub url: SecretString,
    /// Prefix of all keys.
    pub prefix: String,
    /// Whether any certificate is accepted.
    pub insecure_tls: bool,
    /// File with certificate authorities that replace the public ones.
    pub ca_file: Option<PathBuf>,
    /// Text of that file (PEM), read if the URL uses TLS.
    pub ca_pem: Option<Vec<u8>>,
}

impl RedisSettings {
    pub(super) fn read(layers: &Layers) -> Result<Self, InvalidInput> {
        let (url, insecure_by_url) = layers.read_or_default(&REDIS_URL, url)?;
        let insecure_tls = layers.read_or_default(&REDIS_TLS_INSECURE, value::yes_or_no)? || insecure_by_url;
        let ca_file = layers.path(&REDIS_CA_FILE)?;
        let has_tls = has_tls(&url);
        if ca_file.is_some() && has_tls && insecure_tls {
            return Err(InvalidInput::new(REDIS_CA_FILE.name, CONTRADICTION));
        }
        Ok(Self {
            url,
            prefix: layers.read_or_default(&POSTROOM_PREFIX, prefix)?,
            insecure_tls,
            ca_pem: if has_tls { layers.read(&REDIS_CA_FILE, ca_file::read)? } else { None },
            ca_file,
        })
    }

    /// Returns the location of the server that accepts writes.
    pub(crate) fn server(&self) -> Result<RedisLocation, InvalidInput> {
        let url = self.url.expose_secret();
        let trust = Trust { insecure: self.insecure_tls, ca_pem: self.ca_pem.clone() };
        parse_location(url, trust).map_err(|problem| InvalidInput::new("REDIS_URL", problem))
    }

    /// Returns warnings about the protection of the connection, each a sentence.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let tls = has_tls(&self.url);
        let insecure = "REDIS_TLS_INSECURE: the certificate of Redis is not checked, so anyone on the network can \
                        read and change mail; to trust a private certificate authority, set REDIS_CA_FILE";
        let unused = "REDIS_CA_FILE is ignored, because REDIS_URL does not use TLS (rediss:// or rediss+sentinel://)";
        let all = [(tls && self.insecure_tls, insecure), (!tls && self.ca_file.is_some(), unused)];
        all.into_iter().filter_map(|(is_so, warning)| is_so.then_some(warning)).collect()
    }

    /// Logs the warnings. Each program calls this once at start.
    pub fn warn(&self) {
        for warning in self.warnings() {
            tracing::warn!("{warning}");
        }
    }

    /// Returns the URL without user, password and parameters, for messages.
    #[must_use]
    pub fn redacted_url(&self) -> String {
        let url = self.url.expose_secret();
        let (scheme, rest) = url.split_once("://").unwrap_or(("redis", url));
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        format!("{scheme}://{host}{path}")
    }
}

/// Parses the URL, and whether it ends with `#insecure`, by which the client accepts any
/// certificate. Errors never contain the URL, which may hold a password.
fn url(text: &str) -> Result<(SecretString, bool), InvalidInput> {
    let refuse = |why: String| {
        InvalidInput::new(
            "url",
            format!(
                "{why}; it may be redis://[user:password@]host[:port][/database], or with rediss:// for TLS; \
                 redis+sentinel://[user:password@]sentinel[:port],…/master[/database], or with \
                 rediss+sentinel:// for TLS to the servers, or redis+unix:///path/to/socket"
            ),
        )
    };
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        return Err(refuse("the value is not a Redis URL".to_owned()));
    }
    let plain = text.strip_suffix("#insecure").unwrap_or(text);
    check_parameters(plain)?;
    parse_location(plain, Trust::default())
        .map_err(|problem| refuse(format!("the value is not a Redis URL ({})", without_kind(&problem))))?;
    Ok((SecretString::from(plain), plain.len() < text.len()))
}

/// Returns the client's message without the name of its kind of error.
fn without_kind(problem: &str) -> &str {
    problem.split(" - ").next().unwrap_or(problem)
}

/// Rejects a parameter that the client would ignore. Only the URL of a socket has parameters for
/// user, password and database.
fn check_parameters(url: &str) -> Result<(), InvalidInput> {
    let Some((place, query)) = url.split_once('?') else { return Ok(()) };
    let known: &[&str] = match place.split_once("://") {
        Some(("redis+unix", _)) => &["user", "pass", "db", "protocol"],
        _ => &["protocol"],
    };
    for name in query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty()) {
        if !known.contains(&name) {
            let advice = match name {
                "db" | "database" => "the database follows the host, as in redis://host:6379/3".to_owned(),
                "ssl" | "tls" | "ssl_cert_reqs" => "the scheme rediss:// uses TLS".to_owned(),
                "user" | "username" | "pass" | "password" => {
                    "user and password stand before the host, as in redis://user:password@host".to_owned()
                }
                _ => format!("it may be {}", known.join(", ")),
            };
            let problem = format!("the parameter {} of the URL has no effect; {advice}", quoted(name));
            return Err(InvalidInput::new("url", problem));
        }
    }
    Ok(())
}

fn has_tls(url: &SecretString) -> bool {
    url.expose_secret().starts_with("rediss")
}

/// Parses a URL. The error describes the problem without the URL.
fn parse_location(url: &str, trust: Trust) -> Result<RedisLocation, String> {
    if url.split_once("://").is_some_and(|(scheme, _)| scheme.ends_with("+sentinel")) {
        return WatchedRedis::parse(url, trust).map(RedisLocation::Watched);
    }
    let info = url.into_connection_info().map_err(|error| error.to_string())?;
    trust.applied_to(info).map(RedisLocation::Fixed)
}

fn prefix(text: &str) -> Result<String, InvalidInput> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if text.len() <= 64 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(InvalidInput::new(
        "prefix",
        format!(
            "{text:?} can't be a key prefix; it may be 1 to 64 characters of a-z, A-Z, 0-9, _, - and . \
             (no braces, colons or spaces)"
        ),
    ))
}
