//! How mail leaves by Resend.

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

const USUAL_URL: &str = "https://api.resend.com";
const USUAL_TIMEOUT: Duration = Duration::from_secs(30);

/// An account at Resend and how to speak to it.
#[derive(Debug, Clone)]
pub struct ResendSettings {
    /// What every request shows.
    pub api_key: SecretString,
    /// Where the API is.
    pub url: HttpUrl,
    /// How long it may take until a mail is answered, its repeats included.
    pub timeout: Duration,
    /// Further certificate authorities (PEM).
    pub ca_file: Option<PathBuf>,
}

impl ResendSettings {
    /// The keys of a table that go with it.
    pub(super) const KEYS: &[&str] = &["api_key", "api_key_file", "url", "timeout", "ca_file"];

    /// As the environment describes it; `None` without a key.
    pub(super) fn of_environment(layers: &Layers) -> Result<Option<Self>, InvalidInput> {
        let Some(api_key) = key_of_environment(layers)? else { return Ok(None) };
        let url = base_url(USUAL_URL)?;
        Ok(Some(Self { api_key, url, timeout: USUAL_TIMEOUT, ca_file: None }))
    }

    /// As a table describes it; a key that it lacks is the environment's.
    pub(super) fn of_table(raw: RawTransport, layers: &Layers) -> Result<Self, InvalidInput> {
        let api_key = match secret_or_file("api_key", raw.api_key, raw.api_key_file.as_deref())? {
            Some(key) => Some(checked(key).map_err(|problem| problem.at("api_key"))?),
            None => key_of_environment(layers)?,
        };
        let timeout = raw.timeout.map(|text| value::span_from(Duration::from_secs(1), &text)).transpose();
        Ok(Self {
            api_key: api_key
                .ok_or_else(|| InvalidInput::new("api_key", "it is missing, and RESEND_API_KEY is not set"))?,
            url: base_url(raw.url.as_deref().unwrap_or(USUAL_URL))?,
            timeout: timeout.map_err(|problem| problem.at("timeout"))?.unwrap_or(USUAL_TIMEOUT),
            ca_file: raw.ca_file,
        })
    }
}

fn key_of_environment(layers: &Layers) -> Result<Option<SecretString>, InvalidInput> {
    let key = layers.secret(&RESEND_API_KEY)?;
    key.map(|key| checked(key).map_err(|problem| problem.at(RESEND_API_KEY.name))).transpose()
}

/// It goes into a header, where nothing but visible characters may stand.
fn checked(key: SecretString) -> Result<SecretString, InvalidInput> {
    let shown = key.expose_secret();
    if !shown.is_empty() && shown.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(key);
    }
    Err(InvalidInput::new(
        "api_key",
        "it is empty or holds a space or another character that no key has; keys look like re_…",
    ))
}
