//! Access to images of a captured mail, for the frame that shows the mail.
//!
//! The frame is sandboxed, so its requests contain no cookie. Instead the address contains a proof
//! that it was created for a session with access to the mail. The proof is valid as long as the
//! session.

use postroom_core::Store;
use serde::Deserialize;

use super::{access::AccessGuard, visitor::Visitor};
use crate::handler_error::HandlerError;

/// Proof in the address of an image.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ImageProof {
    /// Hash of the session.
    by: String,
    proof: String,
}

impl AccessGuard {
    /// Returns the address of an image, relative to that of the frame.
    pub(crate) fn image_address(&self, visitor: &Visitor, mail: &str, number: usize) -> String {
        let by = &visitor.hash;
        format!("image/{number}?by={by}&proof={}", self.session_key().image_proof(by, mail, number))
    }
}

impl ImageProof {
    /// Checks the proof and its session.
    ///
    /// # Errors
    /// Returns an error if the proof is wrong, or the session has ended.
    pub(crate) async fn check(
        &self,
        guard: &AccessGuard,
        store: &Store,
        mail: &str,
        number: usize,
    ) -> Result<(), HandlerError> {
        let is_valid = guard.session_key().is_image_proof(&self.by, mail, number, &self.proof)
            && (!guard.requires_password() || store.has_session(&self.by).await?);
        if is_valid { Ok(()) } else { Err(HandlerError::no_password()) }
    }
}
