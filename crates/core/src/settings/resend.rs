//! Settings of the provider Resend.

use std::{path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use super::{
    base_url::base_url,
    file::RawTransport,
    layers::{Layers, secret_or_file},
    value,
    variables::RESEND_API_KEY,
};
use crate::{HttpUrl, InvalidInput};

const DEFAULT_URL: &str = "https://api.resend.com";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings of an account at Resend.
#[derive(Debug, Clone)]
pub struct ResendSettings {
    /// API key of every request.
    pub api_key: SecretString,
    /// Base URL of the API.
    pub url: HttpUrl,
    /// Time limit of a mail, repeated requests included.
    pub timeout: Duration,
    /// File with additional certificate authorities (PEM).
    pub ca_file: Option<PathBuf>,
}

impl ResendSettings {
    /// Keys of a table of this kind.
    pub(super) const KEYS: &[&str] = &["api_key", "api_key_file", "url", "timeout", "ca_file"];

    /// Reads the environment; `None` without an API key.
    pub(super) fn of_environment(layers: &Layers) -> Result<Option<Self>, InvalidInput> {
        let Some(api_key) = key_of_environment(layers)? else { return Ok(None) };
        let url = base_url(DEFAULT_URL)?;
        Ok(Some(Self { api_key, url, timeout: DEFAULT_TIMEOUT, ca_file: None }))
    }

    /// Reads a table. Without a key of its own it uses the environment's.
    pub(super) fn of_table(raw: RawTransport, layers: &Layers) -> Result<Self, InvalidInput> {
        let api_key = match secret_or_file("api_key", raw.api_key, raw.api_key_file.as_deref())? {
            Some(key) => Some(checked(key).map_err(|problem| problem.at("api_key"))?),
            None => key_of_environment(layers)?,
        };
        let timeout = raw.timeout.map(|text| value::span_from(Duration::from_secs(1), &text)).transpose();
        Ok(Self {
            api_key: api_key
                .ok_or_else(|| InvalidInput::new("api_key", "the key is missing, and RESEND_API_KEY is not set"))?,
            url: base_url(raw.url.as_deref().unwrap_or(DEFAULT_URL))?,
            timeout: timeout.map_err(|problem| problem.at("timeout"))?.unwrap_or(DEFAULT_TIMEOUT),
            ca_file: raw.ca_file,
        })
    }
}

fn key_of_environment(layers: &Layers) -> Result<Option<SecretString>, InvalidInput> {
    let key = layers.secret(&RESEND_API_KEY)?;
    key.map(|key| checked(key).map_err(|problem| problem.at(RESEND_API_KEY.name))).transpose()
}

/// Checks that an API key has only visible characters, because it is sent in a header.
fn checked(key: SecretString) -> Result<SecretString, InvalidInput> {
    let shown = key.expose_secret();
    if !shown.is_empty() && shown.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(key);
    }
    Err(InvalidInput::new(
        "api_key",
        "the key is empty or contains a space or another character that API keys do not have; keys look like re_…",
    ))
}
