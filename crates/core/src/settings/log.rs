//! Settings of the log.

use tracing::Level;

use super::{
    layers::Layers,
    variables::{LOG_FORMAT, LOG_LEVEL},
};
use crate::InvalidInput;

/// Settings of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Lowest level that is logged.
    pub level: Level,
    /// Format of the lines.
    pub format: LogFormat,
}

/// Format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Readable text, one line per event.
    Text,
    /// One JSON object per line.
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
        InvalidInput::new("level", format!("{word:?} is not a log level; it may be error, warn, info, debug or trace"))
    })
}

fn format(word: &str) -> Result<LogFormat, InvalidInput> {
    match word {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(InvalidInput::new("format", format!("{other:?} is not a log format; it may be text or json"))),
    }
}
