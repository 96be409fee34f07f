//! What is wrong with a template, said so that its author finds the place.

use std::{fmt, path::PathBuf};

use postroom_core::bounds;
use tera::{Error, ErrorKind, ReportError};

use super::meter::Exceeded;

/// A template that does not exist or does not render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderError {
    /// The template's name.
    pub template: String,
    /// The file in the templates folder, as in `newsletter/body.pl.html` or `layouts/base.html`.
    pub file: Option<String>,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// What is wrong, with the variable's name.
    pub message: String,
    kind: Kind,
}

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The template, or a variable that it needs.
    Broken,
    /// There is none of that name.
    Missing,
    /// Its subject is too long with these variables.
    LongSubject,
    /// It takes more than a rendering may take.
    Exceeds,
}

/// A templates folder that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder or a file in it can't be read.
    #[error("can't read {}: {problem}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A file that is not a sound template.
    #[error("{file}{}: {message}", line_of(*line))]
    Broken {
        /// The file in the templates folder.
        file: String,
        /// The line, from 1.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
    /// A folder that is too large, or leads into itself.
    #[error("{}: {problem}", path.display())]
    Endless {
        /// The file or folder.
        path: PathBuf,
        /// What it may be.
        problem: String,
    },
    /// Files that do not make a template.
    #[error("template {template}: {problem}")]
    Incomplete {
        /// The template's name.
        template: String,
        /// What is missing.
        problem: String,
    },
}

impl RenderError {
    pub(super) fn missing(template: &str, known: &[String]) -> Self {
        let known = if known.is_empty() { "there are none".into() } else { format!("there are {}", known.join(", ")) };
        let message = format!("there is no such template; {known}");
        Self { template: template.into(), file: None, line: None, message, kind: Kind::Missing }
    }

    pub(super) fn exceeds(template: &str, file: &str, exceeded: Exceeded) -> Self {
        let (file, message) = (Some(file.into()), exceeded.to_string());
        Self { template: template.into(), file, line: None, message, kind: Kind::Exceeds }
    }

    /// Before any file was rendered.
    pub(super) fn of_variables(template: &str, message: String) -> Self {
        Self { template: template.into(), file: None, line: None, message, kind: Kind::Broken }
    }

    pub(super) fn of_tera(template: &str, file: &str, error: &Error) -> Self {
        let place = Place::of(error);
        Self {
            template: template.into(),
            file: Some(place.file.unwrap_or_else(|| file.into())),
            line: place.line,
            message: place.message,
            kind: Kind::Broken,
        }
    }

    /// A subject of so many octets.
    pub(super) fn long_subject(template: &str, file: &str, octets: usize) -> Self {
        let message = format!("the subject has {octets} octets; it may have {}", bounds::SUBJECT);
        Self { template: template.into(), file: Some(file.into()), line: None, message, kind: Kind::LongSubject }
    }

    /// Whether the variables make the subject too long: other variables may not.
    #[must_use]
    pub fn is_long_subject(&self) -> bool {
        self.kind == Kind::LongSubject
    }

    /// Whether there is no template of that name: perhaps it comes with a deploy that has not reached this machine yet.
    #[must_use]
    pub fn is_missing_template(&self) -> bool {
        self.kind == Kind::Missing
    }

    /// Whether it takes more than the rendering was allowed.
    pub(super) fn is_limit(&self) -> bool {
        self.kind == Kind::Exceeds
    }
}

impl LoadError {
    pub(super) fn of_tera(error: &Error) -> Self {
        let place = Place::of(error);
        Self::Broken {
            file: place.file.unwrap_or_else(|| "templates".into()),
            line: place.line,
            message: place.message,
        }
    }

    pub(super) fn endless(path: impl Into<PathBuf>, problem: impl fmt::Display) -> Self {
        Self::Endless { path: path.into(), problem: problem.to_string() }
    }

    pub(super) fn broken(file: &str, message: impl fmt::Display) -> Self {
        Self::Broken { file: file.into(), line: None, message: message.to_string() }
    }

    pub(super) fn unreadable(path: impl Into<PathBuf>, problem: impl fmt::Display) -> Self {
        Self::Unreadable { path: path.into(), problem: problem.to_string() }
    }
}

/// Where tera says that something is wrong.
struct Place {
    file: Option<String>,
    line: Option<usize>,
    message: String,
}

impl Place {
    fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => Self::reported(report),
            ErrorKind::MissingParent { current, parent } => Self {
                file: Some(current.clone()),
                line: None,
                message: format!("it extends {parent}, which does not exist"),
            },
            _ => Self { file: None, line: None, message: error.to_string() },
        }
    }

    fn reported(report: &ReportError) -> Self {
        let file = (!report.filename().is_empty()).then(|| report.filename().to_owned());
        Self { file, line: Some(report.span().start_line), message: report.message().to_owned() }
    }
}

fn line_of(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template {}: ", self.template)?;
        if let Some(file) = &self.file {
            write!(f, "{file}{}: ", line_of(self.line))?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for RenderError {}
