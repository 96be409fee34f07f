//! JSON as other programs write it: errors in plain words, which name the field, its path and the
//! form it may have.

mod object;
mod syntax;
mod unique;

use serde_json::Value;

pub use self::syntax::{parse_object, parse_value};
pub(crate) use self::{
    object::{Field, missing, read_fields},
    unique::unique_object,
};
use crate::{InvalidInput, bounds::quoted};

/// Returns an error for a value of the wrong kind.
pub(crate) fn wrong_form(path: &str, found: &Value, may_be: &str) -> InvalidInput {
    InvalidInput::new(path, format!("{} is not valid; it may be {may_be}", shown(found)))
}

/// Describes a value in a message.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(yes) => format!("the value {yes}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Whether a value means that its field is absent: null, an empty text, or a list of such values.
pub(crate) fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.iter().all(is_absent),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// Reads a text; an empty one is absent.
pub(crate) fn read_text(path: &str, value: Value) -> Result<Option<Value>, InvalidInput> {
    match value {
        absent if is_absent(&absent) => Ok(None),
        Value::String(text) => Ok(Some(Value::String(text))),
        Value::Number(number) => {
            let may_be = format!("a text in quotes, such as \"{number}\"");
            Err(wrong_form(path, &Value::Number(number), &may_be))
        }
        other => Err(wrong_form(path, &other, "a text in quotes")),
    }
}
