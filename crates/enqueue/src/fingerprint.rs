//! What tells one content from another under an idempotency key.

use std::fmt::Debug;

use postroom_core::{InvalidInput, Mail};
use sha2::{Digest, Sha256};

/// The hash of a mail and of whatever else makes it another request.
pub(crate) fn of_mail(mail: &Mail, more: &impl Debug) -> Result<String, InvalidInput> {
    let json = serde_json::to_string(mail).map_err(|error| InvalidInput::new("mail", error.to_string()))?;
    let mut hash = Sha256::new();
    hash.update(json);
    hash.update(format!("\n{more:?}"));
    Ok(hex(hash))
}

/// A finished hash as text.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
