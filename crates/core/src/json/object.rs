//! An object whose fields have known names.

use serde_json::{Map, Value};

use crate::{InvalidInput, bounds::quoted, nearest::nearest};

/// A field of an object.
pub(crate) struct Field {
    /// Name in messages and in the stored form.
    pub(crate) name: &'static str,
    /// Other names of the field, in lower case without underscores and hyphens.
    pub(crate) others: &'static [&'static str],
    /// Names that other programs use and that are refused with a hint to this field.
    pub(crate) hints: &'static [&'static str],
    /// Converts a value to the stored form, or returns `None` if it means that the field is absent.
    pub(crate) read: fn(&str, Value) -> Result<Option<Value>, InvalidInput>,
}

/// Converts an object to the stored form. `path` is its place in the input, empty for the whole.
/// Letter case, underscores and hyphens of a name do not count: `replyTo` and `Reply-To` are
/// `reply_to`.
///
/// # Errors
///
/// Returns the first field that is unknown, occurs under two names, or has another form.
pub(crate) fn read_fields(
    path: &str,
    object: Map<String, Value>,
    table: &'static [Field],
) -> Result<Map<String, Value>, InvalidInput> {
    let mut read = Map::new();
    for (key, value) in object {
        let at = join(path, &key);
        let Some(field) = find(&key, table) else { return Err(unknown(&at, &key, table)) };
        if let Some(value) = (field.read)(&at, value)?
            && read.insert(field.name.to_owned(), value).is_some()
        {
            return Err(InvalidInput::new(at, format!("the field {} is set twice, under two names", field.name)));
        }
    }
    Ok(read)
}

/// Returns an error about a field that must be present.
pub(crate) fn missing(path: &str, name: &str, may_be: &str) -> InvalidInput {
    InvalidInput::new(join(path, name), format!("the field is missing; it may be {may_be}"))
}

/// Returns the path of a field, as in `attachments[1].content`.
pub(super) fn join(path: &str, key: &str) -> String {
    const SHOWN: usize = 60;
    let is_plain = key.len() <= SHOWN && key.bytes().all(|b| b.is_ascii_graphic());
    let key = if is_plain { key.to_owned() } else { quoted(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn find<'a>(key: &str, table: &'a [Field]) -> Option<&'a Field> {
    let exact = table.iter().find(|field| field.name == key);
    exact.or_else(|| {
        let key = bare(key);
        table.iter().find(|field| bare(field.name) == key || field.others.contains(&&*key))
    })
}

/// Returns a name without letter case, underscores and hyphens.
fn bare(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

fn unknown(at: &str, key: &str, table: &[Field]) -> InvalidInput {
    let key = bare(key);
    let foreign = table.iter().find(|field| field.hints.contains(&&*key)).map(|field| field.name);
    let near = foreign.or_else(|| nearest(&key, table.iter().map(|field| field.name)));
    let hint = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    let names: Vec<&str> = table.iter().map(|field| field.name).collect();
    InvalidInput::new(at, format!("there is no such field{hint}; it may be {}", names.join(", ")))
}
