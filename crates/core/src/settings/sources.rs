//! Sources of settings, as raw text.

use std::collections::BTreeMap;

use super::variables::Variable;

/// Raw settings, the source with the highest precedence first. They contain secrets, so the type
/// can't be printed.
#[derive(Clone, Default)]
pub struct Sources {
    /// Flags of the command line.
    pub flags: Vec<(Variable, String)>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Text of `.env`.
    pub dotenv: Option<String>,
    /// Name and text of the toml file.
    pub file: Option<(String, String)>,
}
