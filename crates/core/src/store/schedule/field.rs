//! Fields of stored records.

use std::collections::HashMap;

use crate::{Error, Result};

/// Reads a mandatory field.
pub(super) fn field<T: std::str::FromStr>(hash: &HashMap<String, String>, name: &str) -> Result<T> {
    let found = hash.get(name).and_then(|text| text.parse().ok());
    found.ok_or_else(|| Error::Protocol(format!("the field {name} is missing or invalid")))
}
