//! Precedence of settings: flag before environment before `.env` before toml.

use std::path::PathBuf;

use secrecy::SecretString;

use super::{
    file,
    layer::{Found, Layer, line_of},
    sources::Sources,
    text_file::read_text,
    variables::{self, Variable},
};
use crate::InvalidInput;

/// All sources, the one with the highest precedence first.
pub(super) struct Layers(Vec<Layer>);

impl Layers {
    pub(super) fn new(sources: &Sources) -> Result<Self, InvalidInput> {
        let file = match &sources.file {
            Some((name, text)) => file::scalars(name, text)?,
            None => Layer::new(),
        };
        let dotenv = dotenv(sources.dotenv.as_deref().unwrap_or_default())?;
        let env = sources.env.iter().map(|(name, text)| (name.clone(), text.clone(), name.clone()));
        Ok(Self(vec![flags(&sources.flags), of_environment(env)?, dotenv, file]))
    }

    /// Returns the value with the highest precedence, if any. An empty value counts as unset.
    pub(super) fn find(&self, variable: &Variable) -> Result<Option<Found>, InvalidInput> {
        for layer in &self.0 {
            if let Some(found) = find_in(layer, variable)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Whether the value comes from the toml file.
    pub(super) fn is_from_file(&self, variable: &Variable) -> bool {
        let holds = |layer: &Layer| layer.get(variable.name).is_some_and(|found| !found.text.is_empty());
        self.0.iter().position(holds) == Some(self.0.len() - 1)
    }

    /// Finds and parses a value. A problem names the source of the value.
    pub(super) fn read<T>(
        &self,
        variable: &Variable,
        parse: impl FnOnce(&str) -> Result<T, InvalidInput>,
    ) -> Result<Option<T>, InvalidInput> {
        self.find(variable)?.map(|found| parse(&found.text).map_err(|problem| problem.at(found.field))).transpose()
    }

    /// Finds and parses a value, or parses the variable's default.
    pub(super) fn read_or_default<T>(
        &self,
        variable: &Variable,
        parse: impl FnOnce(&str) -> Result<T, InvalidInput>,
    ) -> Result<T, InvalidInput> {
        let default =
            || variable.default().map(|text| Found { text: text.to_owned(), field: variable.name.to_owned() });
        let found = self.find(variable)?.or_else(default);
        let found = found.ok_or_else(|| InvalidInput::new(variable.name, "the variable is not set"))?;
        parse(&found.text).map_err(|problem| problem.at(found.field))
    }

    pub(super) fn text(&self, variable: &Variable) -> Result<Option<String>, InvalidInput> {
        self.read(variable, |text| Ok(text.to_owned()))
    }

    pub(super) fn path(&self, variable: &Variable) -> Result<Option<PathBuf>, InvalidInput> {
        self.read(variable, |text| Ok(PathBuf::from(text)))
    }

    pub(super) fn secret(&self, variable: &Variable) -> Result<Option<SecretString>, InvalidInput> {
        self.read(variable, |text| Ok(SecretString::from(text)))
    }
}

/// Reads a secret from its file, without trailing line breaks.
fn secret_file(path: &str) -> Result<String, InvalidInput> {
    let text = read_text(path)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(InvalidInput::new(path, format!("the file {path} is empty")));
    }
    Ok(secret.to_owned())
}

/// Returns the secret of a table, set directly or in a file.
pub(super) fn secret_or_file(
    key: &str,
    value: Option<SecretString>,
    file: Option<&str>,
) -> Result<Option<SecretString>, InvalidInput> {
    let in_file = format!("{key}_file");
    match (value, file) {
        (Some(_), Some(_)) => Err(InvalidInput::new(in_file, format!("{key} is set too; set one of them"))),
        (None, Some(path)) => secret_file(path).map(|text| Some(text.into())).map_err(|problem| problem.at(in_file)),
        (value, None) => Ok(value),
    }
}

fn find_in(layer: &Layer, variable: &Variable) -> Result<Option<Found>, InvalidInput> {
    let get = |name: &str| layer.get(name).filter(|found| !found.text.is_empty());
    let file = variable.file_name().and_then(|name| get(&name));
    match (get(variable.name), file) {
        (Some(found), Some(file)) => {
            Err(InvalidInput::new(&found.field, format!("{} is set too; set one of them", file.field)))
        }
        (Some(found), None) => Ok(Some(Found { text: found.text.clone(), field: found.field.clone() })),
        (None, Some(file)) => secret_file(&file.text)
            .map(|text| Some(Found { text, field: file.field.clone() }))
            .map_err(|problem| problem.at(&file.field)),
        (None, None) => Ok(None),
    }
}

fn flags(flags: &[(Variable, String)]) -> Layer {
    let found = |(variable, text): &(Variable, String)| {
        (variable.name.to_owned(), Found { text: text.clone(), field: variable.flag() })
    };
    flags.iter().map(found).collect()
}

/// Parses `.env`. As in a shell, the last value of a name wins. Errors show only the number of a
/// bad line, which may contain a secret.
fn dotenv(text: &str) -> Result<Layer, InvalidInput> {
    let text = text.trim_start_matches('\u{feff}');
    let mut pairs = Vec::new();
    for pair in dotenvy::from_read_iter(text.as_bytes()) {
        let (name, value) = pair.map_err(|error| bad_line(text, &error))?;
        let field = format!("{name} in .env");
        pairs.push((name, value, field));
    }
    of_environment(pairs.into_iter())
}

fn bad_line(text: &str, error: &dotenvy::Error) -> InvalidInput {
    let at = match error {
        dotenvy::Error::LineParse(line, _) => text.find(line.trim_end()),
        _ => None,
    };
    let field = at.map_or_else(|| ".env".to_owned(), |at| format!(".env, line {}", line_of(text, at)));
    InvalidInput::new(
        field,
        "the line can't be parsed; it may be NAME=value, with quotes around a value that has spaces or #",
    )
}

/// Selects the variables of Postroom, and refuses unknown ones with its prefix.
fn of_environment(pairs: impl Iterator<Item = (String, String, String)>) -> Result<Layer, InvalidInput> {
    let mut layer = Layer::new();
    for (name, text, field) in pairs {
        if Variable::is_known(&name) {
            layer.insert(name, Found { text, field });
        } else if name.starts_with("POSTROOM_") && !text.is_empty() {
            return Err(InvalidInput::new(field, format!("unknown setting; it may be {}", postroom_names())));
        }
    }
    Ok(layer)
}

fn postroom_names() -> String {
    let names: Vec<_> = variables::ALL.iter().map(|v| v.name).filter(|name| name.starts_with("POSTROOM_")).collect();
    names.join(" or ")
}
