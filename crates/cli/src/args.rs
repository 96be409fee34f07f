//! Flags that several commands share.

use std::{collections::BTreeSet, time::Duration};

use chrono::DateTime;
use postroom_core::{
    InvalidInput, Mailbox, MailboxList, Priority, QueueName, bounds, parse_object, parse_span, parse_value, store::Due,
};
use postroom_enqueue::Options;
use serde_json::{Map, Value};

use crate::{
    exit::{CommandError, Result},
    files,
};

/// Queue, priority, times and key of a mail or a bulk.
#[derive(Debug, clap::Args)]
pub(crate) struct TermArgs {
    /// Queue; default: the template's, else emails (bulk for a bulk)
    #[arg(long, value_name = "QUEUE")]
    pub(crate) queue: Option<QueueName>,
    /// Priority from 0 (first) to 9 (last); default: the template's, else 5
    #[arg(long, value_name = "0-9")]
    pub(crate) priority: Option<Priority>,
    /// Send after this delay, such as 10m or 1h30m
    #[arg(long = "in", value_name = "DURATION", value_parser = span, conflicts_with = "at", allow_hyphen_values = true)]
    pub(crate) after: Option<Duration>,
    /// Send at this time (RFC 3339), such as 2027-01-31T08:00:00+01:00; a time in the past means
    /// now
    #[arg(long, value_name = "TIME", value_parser = time_ms, allow_hyphen_values = true)]
    pub(crate) at: Option<i64>,
    /// Cancel the mail if it was not sent within this time from now
    #[arg(long, value_name = "DURATION", value_parser = positive_span, allow_hyphen_values = true)]
    pub(crate) expires_in: Option<Duration>,
    /// Idempotency key: repeat the command with the same content within 24 hours and nothing is
    /// sent twice
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

/// Variables of a template.
#[derive(Debug, clap::Args)]
pub(crate) struct VarArgs {
    /// Set a variable to a text, which may begin with @; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    var: Vec<(String, String)>,
    /// Set a variable to a JSON value, such as a number, a list or an object; repeatable
    #[arg(long, value_name = "NAME=JSON", value_parser = json_pair)]
    var_json: Vec<(String, Value)>,
    /// Read variables from a file that holds a JSON object; - reads standard input
    #[arg(long, value_name = "FILE")]
    vars: Option<String>,
}

/// Headers beyond those that Postroom writes.
#[derive(Debug, clap::Args)]
pub(crate) struct HeaderArgs {
    /// Add a header; repeatable
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
}

impl HeaderArgs {
    /// Returns all headers.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if a name occurs twice, in any letter case.
    pub(crate) fn all(&self) -> Result<&[(String, String)], InvalidInput> {
        for (at, (name, _)) in self.headers.iter().enumerate() {
            if let Some((same, _)) = self.headers[..at].iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return Err(InvalidInput::new("--header", format!("{name} is set twice, as {same} and {name}")));
            }
        }
        Ok(&self.headers)
    }
}

impl VarArgs {
    /// Returns all variables. `--var` and `--var-json` take precedence over the file.
    pub(crate) fn read(&self) -> Result<Map<String, Value>> {
        let given = self.var.iter().map(|(name, _)| name).chain(self.var_json.iter().map(|(name, _)| name));
        let mut names = BTreeSet::new();
        if let Some(name) = given.into_iter().find(|name| !names.insert(*name)) {
            return Err(CommandError::usage("--var", format!("the variable {name} is set twice")));
        }
        let mut all = self.vars.as_deref().map(object_of_file).transpose()?.unwrap_or_default();
        all.extend(self.var.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
        all.extend(self.var_json.iter().cloned());
        Ok(all)
    }

    pub(crate) fn read_stdin(&self) -> bool {
        self.vars.as_deref() == Some("-")
    }

    pub(crate) fn are_set(&self) -> bool {
        self.vars.is_some() || !self.var.is_empty() || !self.var_json.is_empty()
    }
}

fn object_of_file(path: &str) -> Result<Map<String, Value>> {
    let text = files::text("--vars", path, bounds::VARIABLES as u64)?;
    let refuse =
        |error: InvalidInput| InvalidInput::new("--vars", format!("{path} is not a JSON object: {}", error.problem));
    Ok(parse_object(text.as_bytes(), 1).map_err(refuse)?)
}

/// Parses a duration for clap.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|error| error.problem)
}

/// Parses a duration longer than 0 for clap.
pub(crate) fn positive_span(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span.is_zero() { Err("it must be longer than 0".to_owned()) } else { Ok(span) }
}

fn time_ms(text: &str) -> Result<i64, String> {
    DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis()).map_err(|_| {
        "it may be a time with a zone (RFC 3339), such as 2027-01-31T08:00:00Z or 2027-01-31T08:00:00+01:00".to_owned()
    })
}

/// Parses `NAME: VALUE` for clap.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it has no colon; use 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// Parses `NAME=VALUE` for clap.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has no =; use NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name before the = is empty; use NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Parses `NAME=JSON` for clap.
fn json_pair(text: &str) -> Result<(String, Value), String> {
    let (name, json) = pair(text)?;
    let value = parse_value(json.as_bytes(), 1).map_err(|error| format!("it is not JSON: {}", error.problem))?;
    Ok((name, value))
}

/// Joins the address lists of a repeatable flag.
pub(crate) fn joined(lists: &[MailboxList]) -> Vec<Mailbox> {
    lists.iter().flat_map(|list| list.0.iter().cloned()).collect()
}
