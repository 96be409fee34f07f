//! What is logged, and how.

use tracing::Level;

use super::{
    layers::Layers,
    variables::{LOG_FORMAT, LOG_LEVEL},
};
use crate::InvalidInput;

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// The least important lines that are still written.
    pub level: Level,
    /// Their form.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogSettings {
    pub(super) fn read(layers: &Layers) -> Result<Self, InvalidInput> {
        Ok(Self {
            level: layers.read_or_default(&LOG_LEVEL, level)?,
            format: layers.read_or_default(&LOG_FORMAT, format)?,
        })
    }
}

fn level(word: &str) -> Result<Level, InvalidInput> {
    let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    levels.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(word)).ok_or_else(|| {
        InvalidInput::new("level", format!("{word:?} is no level; it may be error, warn, info, debug or trace"))
    })
}

fn format(word: &str) -> Result<LogFormat, InvalidInput> {
    match word {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(InvalidInput::new("format", format!("{other:?} is no log format; it may be text or json"))),
    }
}
