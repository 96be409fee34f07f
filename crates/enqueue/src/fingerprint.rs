//! Fingerprints that detect different content under one idempotency key.

use std::fmt::Debug;

use postroom_core::{InvalidInput, Mail};
use sha2::{Digest, Sha256};

/// Returns the hash of a mail and of everything `more` that makes the request a different one.
pub(crate) fn of_mail(mail: &Mail, more: &impl Debug) -> Result<String, InvalidInput> {
    let json = serde_json::to_string(mail).map_err(|error| InvalidInput::new("mail", error.to_string()))?;
    let mut hash = Sha256::new();
    hash.update(json);
    hash.update(format!("\n{more:?}"));
    Ok(format!("{:x}", hash.finalize()))
}
