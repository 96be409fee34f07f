//! Flags that several commands have.

use std::time::Duration;

use chrono::DateTime;
use postroom_core::{InvalidInput, Priority, QueueName, bounds, parse_span, store::Due};
use serde_json::{Map, Value};

use super::{exit::Result, files};
use crate::Options;

/// Which queue, how urgent, when, until when.
#[derive(Debug, clap::Args)]
pub(crate) struct TermArgs {
    /// The queue; default: the template's, else the usual one
    #[arg(long, value_name = "QUEUE")]
    pub(crate) queue: Option<QueueName>,
    /// 0 (first) to 9 (last); default: the template's, else 5
    #[arg(long, value_name = "0-9")]
    pub(crate) priority: Option<Priority>,
    /// Send after that long, as in 10m or 1h30m
    #[arg(long = "in", value_name = "DURATION", value_parser = span, conflicts_with = "at")]
    pub(crate) after: Option<Duration>,
    /// Send at that time (RFC 3339), as in 2027-01-31T08:00:00+01:00; one that has passed means now
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    pub(crate) at: Option<i64>,
    /// Not worth sending after that long from now: it is cancelled then
    #[arg(long, value_name = "DURATION", value_parser = positive_span)]
    pub(crate) expires_in: Option<Duration>,
    /// Your own name for this request: said again with the same content, nothing is sent twice (for 24 hours)
    #[arg(long, value_name = "KEY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) key: Option<String>,
}

impl TermArgs {
    pub(crate) fn options(&self) -> Options {
        let due = match (self.after, self.at) {
            (Some(span), _) => Due::In(span),
            (None, Some(ms)) => Due::At(ms),
            (None, None) => Due::Now,
        };
        Options {
            queue: self.queue.clone(),
            priority: self.priority,
            due,
            expires_in: self.expires_in,
            key: self.key.clone(),
            ..Options::default()
        }
    }
}

/// The variables of a template.
#[derive(Debug, clap::Args)]
pub(crate) struct VarArgs {
    /// A variable, as text, an @ too; again for each
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    var: Vec<(String, String)>,
    /// A variable, as JSON: a number, a list, an object; again for each
    #[arg(long, value_name = "NAME=JSON", value_parser = json_pair)]
    var_json: Vec<(String, Value)>,
    /// A file that holds a JSON object of variables; - is standard input
    #[arg(long, value_name = "FILE")]
    vars: Option<String>,
}

impl VarArgs {
    /// All of them: single ones win over the file's.
    pub(crate) fn read(&self) -> Result<Map<String, Value>> {
        let mut all = self.vars.as_deref().map(object_of_file).transpose()?.unwrap_or_default();
        all.extend(self.var.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
        all.extend(self.var_json.iter().cloned());
        Ok(all)
    }

    pub(crate) fn use_stdin(&self) -> bool {
        self.vars.as_deref() == Some("-")
    }

    pub(crate) fn are_given(&self) -> bool {
        self.vars.is_some() || !self.var.is_empty() || !self.var_json.is_empty()
    }
}

fn object_of_file(path: &str) -> Result<Map<String, Value>> {
    let text = files::text("--vars", path, bounds::VARIABLES as u64)?;
    let refuse = |error| InvalidInput::new("--vars", format!("{path} holds no JSON object: {error}"));
    Ok(serde_json::from_str(&text).map_err(refuse)?)
}

/// A length of time, for clap.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|error| error.problem)
}

/// One that is not nothing, for clap.
pub(crate) fn positive_span(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span.is_zero() { Err("it may be more than nothing".to_owned()) } else { Ok(span) }
}

fn time_ms(text: &str) -> Result<i64, String> {
    DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis()).map_err(|error| {
        format!("{error}; it may be a time with its zone, as in 2027-01-31T08:00:00Z or 2027-01-31T08:00:00+01:00")
    })
}

/// `name=value`, for clap.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has no =; it may be NAME=VALUE")?;
    if name.is_empty() {
        return Err("nothing stands before the =; it may be NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn json_pair(text: &str) -> Result<(String, Value), String> {
    let (name, json) = pair(text)?;
    let value = serde_json::from_str(&json).map_err(|error| format!("{json:?} is not JSON: {error}"))?;
    Ok((name, value))
}
