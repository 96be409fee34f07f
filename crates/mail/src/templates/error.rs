//! Errors of templates, with file and line.

use std::{fmt, path::PathBuf};

use postroom_core::bounds;
use tera::{Error, ErrorKind, ReportError};

use super::{meter::Exceeded, names::with_written_names, variables::ADDRESS};

/// Name of the headers of a bulk, in place of a template.
pub(super) const BULK_HEADERS: &str = "--header";

/// Error of a template that does not exist or does not render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderError {
    /// Name of the template.
    pub template: String,
    /// Path in the templates folder, such as `newsletter/body.pl.html` or `layouts/base.html`.
    pub file: Option<String>,
    /// Line in that file, counted from 1.
    pub line: Option<usize>,
    /// Description of the error, with the name of the variable.
    pub message: String,
    kind: RenderErrorKind,
}

/// Kind of a rendering error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RenderErrorKind {
    /// The template or one of its variables is invalid.
    Broken,
    /// No template has that name.
    Missing,
    /// The rendered subject is too long.
    LongSubject,
    /// The rendered value of a header is invalid.
    HeaderValue,
    /// A rendering limit was exceeded.
    Exceeds,
}

/// Error of loading a templates folder.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder or a file in it can't be read.
    #[error("can't read {}: {problem}", path.display())]
    Unreadable {
        /// Path of the file or folder.
        path: PathBuf,
        /// Description of the error.
        problem: String,
    },
    /// A file is not a valid template.
    #[error("{file}{}: {message}", line_of(*line))]
    Broken {
        /// Path in the templates folder.
        file: String,
        /// Line in that file, counted from 1.
        line: Option<usize>,
        /// Description of the error.
        message: String,
    },
    /// A folder is too large or contains itself.
    #[error("{}: {problem}", path.display())]
    Endless {
        /// Path of the file or folder.
        path: PathBuf,
        /// Description of the limit.
        problem: String,
    },
    /// A template lacks a file.
    #[error("template {template}: {problem}")]
    Incomplete {
        /// Name of the template.
        template: String,
        /// Description of the missing file.
        problem: String,
    },
}

impl RenderError {
    pub(super) fn missing(template: &str, existing: &[String]) -> Self {
        let existing = if existing.is_empty() {
            "the folder has none".into()
        } else {
            format!("the folder has {}", existing.join(", "))
        };
        let message = format!("the template does not exist; {existing}");
        Self { template: template.into(), file: None, line: None, message, kind: RenderErrorKind::Missing }
    }

    /// Explains why `email` is not defined for a mail with this number of addresses in `to`.
    pub(super) fn about_address(mut self, addresses: usize) -> Self {
        if addresses != 1 && self.message.starts_with(&format!("Variable `{ADDRESS}` is not defined")) {
            let why = format!("{ADDRESS} is the address of a mail with one address in to; this mail has {addresses}. ");
            self.message.insert_str(0, &why);
        }
        self
    }

    pub(super) fn exceeds(template: &str, file: &str, exceeded: Exceeded) -> Self {
        let (file, message) = (Some(file.into()), exceeded.to_string());
        Self { template: template.into(), file, line: None, message, kind: RenderErrorKind::Exceeds }
    }

    /// Error found before a file was rendered.
    pub(super) fn of_variables(template: &str, message: String) -> Self {
        Self { template: template.into(), file: None, line: None, message, kind: RenderErrorKind::Broken }
    }

    pub(super) fn of_tera(template: &str, file: &str, error: &Error) -> Self {
        let location = TeraLocation::of(error);
        Self {
            template: template.into(),
            file: Some(location.file.unwrap_or_else(|| file.into())),
            line: location.line,
            message: location.message,
            kind: RenderErrorKind::Broken,
        }
    }

    /// Error of a subject with this number of octets.
    pub(super) fn long_subject(template: &str, file: &str, octets: usize) -> Self {
        let message = format!("the subject has {octets} octets; the limit is {}", bounds::SUBJECT);
        Self {
            template: template.into(),
            file: Some(file.into()),
            line: None,
            message,
            kind: RenderErrorKind::LongSubject,
        }
    }

    /// Error of a header's rendered value.
    pub(super) fn header_value(template: &str, file: &str, line: Option<usize>, message: String) -> Self {
        let kind = RenderErrorKind::HeaderValue;
        Self { template: template.into(), file: Some(file.into()), line, message, kind }
    }

    /// Whether the value of a header is invalid. Other variables may give a valid one.
    #[must_use]
    pub fn is_header_value(&self) -> bool {
        self.kind == RenderErrorKind::HeaderValue
    }

    /// Whether the subject is too long. Other variables may give a shorter one.
    #[must_use]
    pub fn is_long_subject(&self) -> bool {
        self.kind == RenderErrorKind::LongSubject
    }

    /// Whether the template does not exist. A deploy that adds it may not have reached this machine
    /// yet.
    #[must_use]
    pub fn is_missing_template(&self) -> bool {
        self.kind == RenderErrorKind::Missing
    }

    /// Whether a rendering limit was exceeded.
    pub(super) fn is_limit(&self) -> bool {
        self.kind == RenderErrorKind::Exceeds
    }
}

impl LoadError {
    pub(super) fn of_tera(error: &Error) -> Self {
        let location = TeraLocation::of(error);
        Self::Broken {
            file: location.file.unwrap_or_else(|| "templates".into()),
            line: location.line,
            message: location.message,
        }
    }

    pub(super) fn endless(path: impl Into<PathBuf>, problem: impl fmt::Display) -> Self {
        Self::Endless { path: path.into(), problem: problem.to_string() }
    }

    pub(super) fn broken(file: &str, message: impl fmt::Display) -> Self {
        Self::Broken { file: file.into(), line: None, message: message.to_string() }
    }

    pub(super) fn broken_at(file: &str, line: usize, message: impl fmt::Display) -> Self {
        Self::Broken { file: file.into(), line: Some(line), message: message.to_string() }
    }

    pub(super) fn unreadable(path: impl Into<PathBuf>, problem: impl fmt::Display) -> Self {
        Self::Unreadable { path: path.into(), problem: problem.to_string() }
    }
}

/// Location and message of a tera error.
struct TeraLocation {
    file: Option<String>,
    line: Option<usize>,
    message: String,
}

impl TeraLocation {
    fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => Self::reported(report),
            ErrorKind::MissingParent { current, parent } => Self {
                file: Some(current.clone()),
                line: None,
                message: format!("it extends {parent}, which does not exist"),
            },
            _ => Self::of_text(&with_written_names(&error.to_string())),
        }
    }

    /// Reads the first of the reports that tera has as text only: `error: MESSAGE`, and
    /// ` --> FILE:LINE:COLUMN` below.
    fn of_text(text: &str) -> Self {
        let report = text.split_once("error: ").and_then(|(_, report)| report.split_once('\n'));
        let found = report.and_then(|(message, rest)| {
            let place = rest.lines().next()?.trim_start().strip_prefix("--> ")?;
            let mut parts = place.rsplitn(3, ':');
            let (_, line, file) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
            Some(Self { file: Some(file.to_owned()), line: Some(line), message: message.to_owned() })
        });
        found.unwrap_or_else(|| Self { file: None, line: None, message: text.to_owned() })
    }

    fn reported(report: &ReportError) -> Self {
        let file = (!report.filename().is_empty()).then(|| report.filename().to_owned());
        Self { file, line: Some(report.span().start_line), message: with_written_names(report.message()) }
    }
}

fn line_of(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers of a bulk belong to no template.
        if self.template != BULK_HEADERS {
            write!(f, "template {}: ", self.template)?;
        }
        if let Some(file) = &self.file {
            write!(f, "{file}{}: ", line_of(self.line))?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for RenderError {}
