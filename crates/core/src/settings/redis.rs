//! Where Redis is.

use redis::{ConnectionInfo, IntoConnectionInfo};
use secrecy::{ExposeSecret, SecretString};

use super::{
    layers::Layers,
    sentinel::WatchedPlace,
    value,
    variables::{POSTROOM_PREFIX, REDIS_TLS_INSECURE, REDIS_URL},
};
use crate::InvalidInput;

const SCHEMES: [&str; 5] = ["redis", "rediss", "redis+unix", "redis+sentinel", "rediss+sentinel"];

/// Where the server is that takes writes.
pub(crate) enum RedisPlace {
    /// Always there.
    Fixed(ConnectionInfo),
    /// Where Sentinels say.
    Watched(WatchedPlace),
}

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

    /// Where the server is that takes writes.
    pub(crate) fn server(&self) -> Result<RedisPlace, InvalidInput> {
        let url = self.url.expose_secret();
        place(url, self.insecure_tls).map_err(|problem| InvalidInput::new("REDIS_URL", problem))
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
                 redis+sentinel://[user:password@]sentinel[:port],…/master[/database], the same with \
                 rediss+sentinel:// for TLS to the servers, or redis+unix:///path/to/socket"
            ),
        )
    };
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        return Err(refuse("the value is no Redis URL".to_owned()));
    }
    let plain = text.strip_suffix("#insecure").unwrap_or(text);
    place(plain, false).map_err(|problem| refuse(format!("the value is no Redis URL ({problem})")))?;
    Ok((SecretString::from(plain), plain.len() < text.len()))
}

/// The error tells what is wrong, without the URL.
fn place(url: &str, insecure_tls: bool) -> Result<RedisPlace, String> {
    if url.split_once("://").is_some_and(|(scheme, _)| scheme.ends_with("+sentinel")) {
        return WatchedPlace::parse(url, insecure_tls).map(RedisPlace::Watched);
    }
    // The client's own word for "any certificate".
    let any = if insecure_tls && url.starts_with("rediss:") { "#insecure" } else { "" };
    let info = format!("{url}{any}").into_connection_info();
    info.map(RedisPlace::Fixed).map_err(|error| error.to_string())
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
