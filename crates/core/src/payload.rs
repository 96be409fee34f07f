//! Stored form of a job: a header line for the scripts and the mail as a line of JSON. Sensitive
//! variables have a separate third line.

use std::time::Duration;

use crate::{Backoff, InvalidInput, Mail, OnUnknown, Policy, Priority};

/// Fields of the header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Priority of the job.
    pub priority: Priority,
    /// Time of enqueueing, in Unix milliseconds.
    pub enqueued_ms: i64,
    /// Time at which the job was first due, in Unix milliseconds.
    pub due_ms: i64,
    /// Time at which the job expires, in Unix milliseconds, if ever.
    pub expires_ms: Option<i64>,
    /// Policy of the job, fixed when it was enqueued.
    pub policy: Policy,
    /// Id of the job's batch as text, parsed where needed.
    pub batch: Option<String>,
    /// Whether the variables are never shown, and deleted when the job finishes.
    pub sensitive: bool,
}

/// Encodes a mail as the lines that follow the header.
pub(crate) fn encode_content(mail: &Mail, sensitive: bool) -> Result<String, InvalidInput> {
    let mail = mail.without_large_contents();
    if !sensitive {
        return json(&*mail);
    }
    let mut shown = mail.into_owned();
    let vars = std::mem::take(&mut shown.vars);
    Ok(format!("{}\n{}", json(&shown)?, json(&vars)?))
}

fn json(value: &impl serde::Serialize) -> Result<String, InvalidInput> {
    serde_json::to_string(value).map_err(|error| InvalidInput::new("mail", error.to_string()))
}

/// Decodes a payload into its header and its mail.
///
/// # Errors
/// Returns a description of the line that can't be decoded.
pub(crate) fn decode(payload: &str) -> Result<(Header, Mail), String> {
    let mut lines = payload.splitn(3, '\n');
    let header = lines.next().and_then(decode_header).ok_or("the header can't be decoded")?;
    let mut mail: Mail = serde_json::from_str(lines.next().unwrap_or_default()).map_err(|error| error.to_string())?;
    if let Some(vars) = lines.next() {
        mail.vars = serde_json::from_str(vars).map_err(|error| error.to_string())?;
    }
    Ok((header, mail))
}

pub(crate) fn decode_header(line: &str) -> Option<Header> {
    let mut words = line.split(' ').skip(1);
    let mut number = || words.next()?.parse::<i64>().ok();
    let priority = Priority::try_from(u8::try_from(number()?).ok()?).ok()?;
    let (enqueued_ms, due_ms, expires_ms, max_age) = (number()?, number()?, number()?, number()?);
    let (attempts, lease) = (number()?, number()?);
    let on_unknown: OnUnknown = words.next()?.parse().ok()?;
    let mut number = || words.next()?.parse::<i64>().ok();
    let (retention, base, max) = (number()?, number()?, number()?);
    let (batch, flags) = (words.next()?, words.next()?);
    let policy = Policy {
        attempts: u32::try_from(attempts).ok()?,
        backoff: if max == 0 {
            Backoff::Fixed(ms(base))
        } else {
            Backoff::Exponential { base: ms(base), max: ms(max) }
        },
        lease: ms(lease),
        max_age: ms(max_age),
        on_unknown,
        retention: (retention > 0).then(|| ms(retention)),
    };
    Some(Header {
        priority,
        enqueued_ms,
        due_ms,
        expires_ms: (expires_ms > 0).then_some(expires_ms),
        policy,
        batch: (batch != "-").then(|| batch.to_owned()),
        sensitive: flags == "sensitive",
    })
}

fn ms(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or(0))
}
