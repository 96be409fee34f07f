//! The way to an image of a captured mail, for the frame that shows the mail.
//!
//! The frame is sandboxed, so the browser sends no cookie from it. The address proves instead that it was made for a
//! session that may see the mail, and holds as long as that session.

use serde::Deserialize;

use super::{Gate, Visitor};
use crate::{app::App, failure::Failure};

/// The proof in the address of an image.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ImageProof {
    /// Hash of the session.
    by: String,
    proof: String,
}

impl Gate {
    /// The address of an image, relative to that of the frame.
    pub(crate) fn image_address(&self, visitor: &Visitor, mail: &str, number: usize) -> String {
        let by = &visitor.hash;
        format!("image/{number}?by={by}&proof={}", self.sealer.image_proof(by, mail, number))
    }
}

impl ImageProof {
    /// Refuses whoever was not shown this mail, or has logged out since.
    pub(crate) async fn check(&self, app: &App, mail: &str, number: usize) -> Result<(), Failure> {
        let gate = app.gate();
        let holds = gate.sealer.is_image_proof(&self.by, mail, number, &self.proof)
            && (!gate.is_locked() || app.store()?.has_session(&self.by).await?);
        if holds { Ok(()) } else { Err(Failure::no_password()) }
    }
}
