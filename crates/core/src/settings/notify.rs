//! How those are told who want to know of a batch's end.

use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::SecretSlice;

use super::{
    layers::Layers,
    variables::{NOTIFY_WEBHOOK_CA_FILE, NOTIFY_WEBHOOK_SECRET},
};
use crate::InvalidInput;

/// What a secret begins with that is given as base64, after the Standard Webhooks specification.
const BASE64: &str = "whsec_";

/// How URLs are told that a batch is done.
#[derive(Debug, Clone, Default)]
pub struct NotifySettings {
    /// The key that requests are signed with; without it they are not.
    pub signing_key: Option<SecretSlice<u8>>,
    /// Further certificate authorities (PEM).
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
            format!("what follows {BASE64} is not base64; without {BASE64} it may be any text"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn base64_or_any_text() {
        for (text, bytes) in [("whsec_aGVsbG8=", "hello"), ("hello", "hello")] {
            assert_eq!(key(text).expect(text).expose_secret(), bytes.as_bytes());
        }
        for bad in ["whsec_", "whsec_hello!"] {
            let error = key(bad).expect_err(bad).to_string();
            assert!(error.contains("base64") && !error.contains("hello!"), "{error}");
        }
    }
}
