//! Where Redis is.

use redis::IntoConnectionInfo;
use secrecy::{ExposeSecret, SecretString};

use super::{
    layers::Layers,
    value,
    variables::{POSTROOM_PREFIX, REDIS_TLS_INSECURE, REDIS_URL},
};
use crate::InvalidInput;

const SCHEMES: [&str; 3] = ["redis", "rediss", "redis+unix"];

/// Where Redis is, and which keys in it are ours.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Its URL, which may hold a password.
    pub url: SecretString,
    /// What all keys begin with.
    pub prefix: String,
    /// Whether any certificate is accepted.
    pub insecure_tls: bool,
}

impl RedisSettings {
    pub(super) fn read(layers: &Layers) -> Result<Self, InvalidInput> {
        let (url, insecure_by_url) = layers.read_or_default(&REDIS_URL, url)?;
        Ok(Self {
            url,
            prefix: layers.read_or_default(&POSTROOM_PREFIX, prefix)?,
            insecure_tls: layers.read_or_default(&REDIS_TLS_INSECURE, value::yes_or_no)? || insecure_by_url,
        })
    }

    /// The URL without user, password and parameters, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        let url = self.url.expose_secret();
        let (scheme, rest) = url.split_once("://").unwrap_or(("redis", url));
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        format!("{scheme}://{host}{path}")
    }
}

/// The URL, and whether it ends in `#insecure`, the client's word for any certificate. The URL is
/// never part of the message: it may hold a password.
fn url(text: &str) -> Result<(SecretString, bool), InvalidInput> {
    let refuse = |why: String| {
        InvalidInput::new(
            "url",
            format!(
                "{why}; it may be redis://[user:password@]host[:port][/database], the same with rediss:// for TLS, \
                 or redis+unix:///path/to/socket"
            ),
        )
    };
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        return Err(refuse("the value is no Redis URL".to_owned()));
    }
    let plain = text.strip_suffix("#insecure").unwrap_or(text);
    plain.into_connection_info().map_err(|error| refuse(format!("the value is no Redis URL ({error})")))?;
    Ok((SecretString::from(plain), plain.len() < text.len()))
}

fn prefix(text: &str) -> Result<String, InvalidInput> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if text.len() <= 64 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(InvalidInput::new(
        "prefix",
        format!(
            "{text:?} can't begin a key; it may be 1 to 64 of a-z, A-Z, 0-9, _, - and . (no braces, colons or spaces)"
        ),
    ))
}
