//! Raw content of `postroom.toml`: its tables, and the values at its top level.

use std::{collections::BTreeMap, path::PathBuf};

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    layer::{Found, Layer},
    sources::Sources,
    toml_file::TomlFile,
    variables,
};
use crate::{InvalidInput, nearest::nearest};

/// Tables of the file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTables {
    pub(super) queue: BTreeMap<String, RawQueue>,
    pub(super) transport: BTreeMap<String, RawTransport>,
    pub(super) template: BTreeMap<String, RawTemplate>,
    pub(super) domain: BTreeMap<String, RawDomain>,
    pub(super) schedule: Vec<RawSchedule>,
}

const TABLES: [&str; 5] = ["queue", "transport", "template", "domain", "schedule"];

/// `[queue.NAME]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawQueue {
    pub(super) on_unknown: Option<String>,
    pub(super) attempts: Option<u32>,
    pub(super) backoff: Option<String>,
    pub(super) backoff_max: Option<String>,
    pub(super) lease: Option<String>,
    pub(super) max_age: Option<String>,
    pub(super) retention: Option<String>,
    pub(super) transports: Option<Vec<String>>,
    pub(super) rate: Option<String>,
    pub(super) quota: Option<u64>,
    pub(super) per: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) over: Option<String>,
}

/// `[transport.NAME]`; the keys of each kind are checked later.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTransport {
    pub(super) kind: String,
    pub(super) path: Option<PathBuf>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) security: Option<String>,
    pub(super) username: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub(super) password: Option<SecretString>,
    pub(super) password_file: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) hello_name: Option<String>,
    pub(super) timeouts: Option<RawTimeouts>,
    #[serde(default, deserialize_with = "secret")]
    pub(super) api_key: Option<SecretString>,
    pub(super) api_key_file: Option<String>,
    pub(super) url: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) connections: Option<u32>,
    pub(super) envelope_from: Option<String>,
    pub(super) rate: Option<String>,
    pub(super) quota: Option<u64>,
    pub(super) per: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) over: Option<String>,
}

/// `[transport.NAME.timeouts]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTimeouts {
    pub(super) connect: Option<String>,
    pub(super) tls: Option<String>,
    pub(super) greeting: Option<String>,
    pub(super) command: Option<String>,
    pub(super) data: Option<String>,
    pub(super) dot: Option<String>,
    pub(super) dot_per_megabyte: Option<String>,
    pub(super) dot_max: Option<String>,
}

/// `[template.NAME]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTemplate {
    pub(super) queue: Option<String>,
    pub(super) priority: Option<u8>,
    pub(super) expires_in: Option<String>,
    pub(super) attempts: Option<u32>,
    pub(super) backoff: Option<String>,
    pub(super) backoff_max: Option<String>,
    pub(super) sensitive: bool,
    pub(super) rate: Option<String>,
}

/// `[domain."NAME"]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDomain {
    pub(super) rate: Option<String>,
}

/// `[[schedule]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSchedule {
    pub(super) name: String,
    pub(super) cron: Option<String>,
    pub(super) every: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) template: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) text: Option<String>,
    pub(super) to: Vec<String>,
    #[serde(default)]
    pub(super) each: bool,
    #[serde(default)]
    pub(super) vars: toml::Table,
    pub(super) locale: Option<String>,
    pub(super) queue: Option<String>,
    pub(super) priority: Option<u8>,
    pub(super) expires_in: Option<String>,
    pub(super) enabled: Option<bool>,
    pub(super) missed: Option<String>,
    pub(super) grace: Option<String>,
}

/// Adds file and line to a problem of one of the tables.
pub(super) fn located(sources: &Sources, problem: InvalidInput) -> InvalidInput {
    match &sources.file {
        Some((name, text)) => TomlFile { name, text }.located(problem),
        None => problem,
    }
}

/// Parses the tables of the toml file, if there is one.
pub(super) fn tables(sources: &Sources) -> Result<RawTables, InvalidInput> {
    let Some((name, text)) = &sources.file else { return Ok(RawTables::default()) };
    let source = TomlFile { name, text };
    let file = source.parse()?;
    let span = file.span();
    let tables: DeTable<'_> =
        file.into_inner().into_iter().filter(|(key, _)| TABLES.contains(&key.get_ref().as_ref())).collect();
    RawTables::deserialize(toml::de::Deserializer::from(Spanned::new(span, tables))).map_err(|e| source.refuse(&e))
}

/// Parses the top-level values, by the name of the corresponding variable.
pub(super) fn scalars(name: &str, text: &str) -> Result<Layer, InvalidInput> {
    let source = TomlFile { name, text };
    let mut layer = Layer::new();
    for (key, value) in source.parse()?.into_inner() {
        if TABLES.contains(&key.get_ref().as_ref()) {
            continue;
        }
        let variable = variable_of(key.get_ref()).ok_or_else(|| source.unknown_key(&key))?;
        let field = format!("{}, {}", source.location(key.span()), key.get_ref());
        let text = plain(value.get_ref()).ok_or_else(|| {
            InvalidInput::new(
                &field,
                "the value is not valid; it may be a text in quotes, a whole number, true or false",
            )
        })?;
        layer.insert(variable, Found { text, field });
    }
    Ok(layer)
}

impl TomlFile<'_> {
    fn unknown_key<T: AsRef<str>>(&self, key: &Spanned<T>) -> InvalidInput {
        let name = key.get_ref().as_ref();
        let keys: Vec<String> = variables::ALL.iter().filter_map(variables::Variable::key).collect();
        let known = || TABLES.into_iter().chain(keys.iter().map(String::as_str));
        let hint = nearest(name, known()).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
        let all: Vec<&str> = known().collect();
        InvalidInput::new(
            self.location(key.span()),
            format!("unknown setting {name:?}{hint}; it may be one of the tables and settings {}", all.join(", ")),
        )
    }
}

fn variable_of(key: &str) -> Option<String> {
    variables::ALL.iter().find_map(|variable| {
        let own = variable.key()?;
        if own == key {
            return Some(variable.name.to_owned());
        }
        variable.file_name().filter(|_| key.strip_suffix("_file") == Some(&own))
    })
}

fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Deserialises a string whose value never appears in error messages.
fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    match toml::Value::deserialize(from)? {
        toml::Value::String(text) => Ok(Some(SecretString::from(text))),
        _ => Err(de::Error::custom("the value is not valid; it may be a text in quotes")),
    }
}
