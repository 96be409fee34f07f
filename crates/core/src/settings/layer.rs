//! Values of one source of settings.

use std::collections::BTreeMap;

/// A value, and the name of its source.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) field: String,
}

/// Values of one source, by the variable's name.
pub(super) type Layer = BTreeMap<String, Found>;

/// Returns the number of the line at a byte offset.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}
