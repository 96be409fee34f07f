//! Sources of this process: its flags, its environment, and files of its working directory.

use std::{collections::BTreeMap, fs, io};

use super::{
    layers::Layers,
    sources::Sources,
    text_file::read_text,
    variables::{POSTROOM_CONFIG, Variable},
};
use crate::InvalidInput;

impl Sources {
    /// Reads the sources of this process: its environment and the files of its working directory.
    ///
    /// # Errors
    /// Returns an error if a file can't be read, or a variable of Postroom is not UTF-8.
    pub fn of_process(flags: &[(Variable, String)]) -> Result<Self, InvalidInput> {
        let mut sources = Self { flags: flags.to_vec(), env: environment()?, dotenv: optional(".env")?, file: None };
        sources.file = match Layers::new(&sources)?.find(&POSTROOM_CONFIG)? {
            Some(named) => {
                let text = read_text(&named.text).map_err(|problem| problem.at(named.field))?;
                Some((named.text, text))
            }
            None => optional("postroom.toml")?.map(|text| ("postroom.toml".to_owned(), text)),
        };
        Ok(sources)
    }
}

fn optional(path: &str) -> Result<Option<String>, InvalidInput> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(_) | Err(_) => read_text(path).map(Some),
    }
}

/// Reads the environment. Variables of Postroom must be UTF-8; others are ignored if they are not.
fn environment() -> Result<BTreeMap<String, String>, InvalidInput> {
    let mut env = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => {
                env.insert(name, value);
            }
            Err(_) if Variable::is_known(&name) => return Err(InvalidInput::new(name, "the value is not UTF-8")),
            Err(_) => {}
        }
    }
    Ok(env)
}
