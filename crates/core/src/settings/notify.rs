//! Settings of webhooks for finished batches.

use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::SecretSlice;

use super::{
    layers::Layers,
    variables::{NOTIFY_WEBHOOK_CA_FILE, NOTIFY_WEBHOOK_SECRET},
};
use crate::InvalidInput;

/// Prefix of a secret in base64 (Standard Webhooks specification).
const BASE64: &str = "whsec_";

/// Settings of webhooks for finished batches.
#[derive(Debug, Clone, Default)]
pub struct NotifySettings {
    /// Key that signs the requests; without it they are not signed.
    pub signing_key: Option<SecretSlice<u8>>,
    /// File with additional certificate authorities (PEM).
    pub ca_file: Option<PathBuf>,
}

impl NotifySettings {
    pub(super) fn read(layers: &Layers) -> Result<Self, InvalidInput> {
        Ok(Self {
            signing_key: layers.read(&NOTIFY_WEBHOOK_SECRET, key)?,
            ca_file: layers.path(&NOTIFY_WEBHOOK_CA_FILE)?,
        })
    }
}

fn key(text: &str) -> Result<SecretSlice<u8>, InvalidInput> {
    let Some(base64) = text.strip_prefix(BASE64) else { return Ok(text.as_bytes().to_vec().into()) };
    match STANDARD.decode(base64) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes.into()),
        _ => Err(InvalidInput::new(
            "secret",
            format!("the text after {BASE64} is not base64; without {BASE64} the secret may be any text"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_is_base64_or_any_text() {
        for (text, bytes) in [("whsec_aGVsbG8=", "hello"), ("hello", "hello")] {
            assert_eq!(key(text).expect(text).expose_secret(), bytes.as_bytes());
        }
        for bad in ["whsec_", "whsec_hello!"] {
            let error = key(bad).expect_err(bad).to_string();
            assert!(error.contains("base64") && !error.contains("hello!"), "{error}");
        }
    }
}
