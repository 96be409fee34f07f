//! Settings of scheduled mail.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::{file::RawSchedule, template::TemplateSettings, value};
use crate::{
    InvalidInput, Mail, MailboxList, Priority, QueueName,
    schedule::{Missed, Timetable, Timing},
};

const DEFAULT_GRACE: Duration = Duration::from_secs(3_600);

/// A mail or a batch that is sent on a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleSettings {
    /// Name, unique in the file.
    pub name: String,
    /// Firing times.
    pub timing: Timing,
    /// Content and recipients.
    pub mail: Mail,
    /// Whether each recipient gets a separate mail, as a batch.
    pub each: bool,
    /// Queue; default: the template's queue, else `bulk` for a batch and `emails` for one mail.
    pub queue: QueueName,
    /// Priority; default: the template's priority.
    pub priority: Priority,
    /// Time after which a mail is no longer sent; default: the template's.
    pub expires_in: Option<Duration>,
    /// Whether the schedule fires.
    pub enabled: bool,
    /// Handling of times that passed while no beat was running.
    pub missed: Missed,
}

/// Reads all schedules, in the file's order.
pub(super) fn read_all(
    raw: Vec<RawSchedule>,
    timezone: Tz,
    templates: &BTreeMap<String, TemplateSettings>,
) -> Result<Vec<ScheduleSettings>, InvalidInput> {
    let mut names = BTreeSet::new();
    let mut all = Vec::with_capacity(raw.len());
    for raw in raw {
        let name = raw.name.clone();
        let in_schedule = |problem: InvalidInput| {
            let field = format!("[[schedule]] {name}: {}", problem.field);
            problem.at(field)
        };
        let schedule = read(raw, timezone, templates).map_err(in_schedule)?;
        if !names.insert(schedule.name.clone()) {
            return Err(in_schedule(InvalidInput::new("name", "another schedule has the same name")));
        }
        all.push(schedule);
    }
    Ok(all)
}

fn read(
    mut raw: RawSchedule,
    timezone: Tz,
    templates: &BTreeMap<String, TemplateSettings>,
) -> Result<ScheduleSettings, InvalidInput> {
    let template = raw.template.as_ref().and_then(|name| templates.get(name)).cloned().unwrap_or_default();
    let second = Duration::from_secs(1);
    let expires_in = raw.expires_in.take().map(|text| value::span_from(second, &text)).transpose();
    let queue = raw.queue.take().map(|name| name.parse()).transpose()?;
    let default_queue = if raw.each { QueueName::bulk() } else { QueueName::emails() };
    let priority = raw.priority.map(Priority::try_from).transpose()?;
    let timing = timing(&mut raw, timezone)?;
    Timetable::of(&timing)?;
    Ok(ScheduleSettings {
        name: value::name(&raw.name).map_err(|problem| problem.at("name"))?,
        timing,
        missed: missed(raw.missed.as_deref(), raw.grace.as_deref())?,
        each: raw.each,
        queue: queue.or(template.queue).unwrap_or(default_queue),
        priority: priority.or(template.priority).unwrap_or_default(),
        expires_in: expires_in.map_err(|problem| problem.at("expires_in"))?.or(template.expires_in),
        enabled: raw.enabled.unwrap_or(true),
        mail: mail(raw)?,
    })
}

fn timing(raw: &mut RawSchedule, timezone: Tz) -> Result<Timing, InvalidInput> {
    let zone =
        raw.timezone.take().map(|name| value::timezone(&name)).transpose().map_err(|problem| problem.at("timezone"))?;
    match (raw.cron.take(), raw.every.take(), zone) {
        (Some(expression), None, zone) => Ok(Timing::Cron { expression, timezone: zone.unwrap_or(timezone) }),
        (None, Some(every), None) => {
            let every = value::span_from(Duration::from_secs(1), &every);
            every.map(Timing::Every).map_err(|problem| problem.at("every"))
        }
        (None, Some(_), Some(_)) => {
            Err(InvalidInput::new("timezone", "the key requires cron; it can't be used with every"))
        }
        (Some(_), Some(_), _) => Err(InvalidInput::new("every", "cron is set too; set one of them")),
        (None, None, _) => {
            Err(InvalidInput::new("cron", "the key is missing; set cron = \"0 8 * * *\" or every = \"5m\""))
        }
    }
}

fn missed(word: Option<&str>, grace: Option<&str>) -> Result<Missed, InvalidInput> {
    let grace = grace.map(|text| value::span_from(Duration::from_secs(1), text)).transpose();
    let grace = grace.map_err(|problem| problem.at("grace"))?;
    match (word.unwrap_or("run"), grace) {
        ("run", grace) => Ok(Missed::Run { grace: grace.unwrap_or(DEFAULT_GRACE) }),
        ("skip", None) => Ok(Missed::Skip),
        ("skip", Some(_)) => Err(InvalidInput::new("grace", "the key requires missed = \"run\"")),
        (other, _) => Err(InvalidInput::new("missed", format!("{other:?} is not valid; it may be run or skip"))),
    }
}

fn mail(raw: RawSchedule) -> Result<Mail, InvalidInput> {
    let to: Result<Vec<MailboxList>, InvalidInput> = raw.to.iter().map(|text| text.parse()).collect();
    let mail = Mail {
        to: to.map_err(|problem| problem.at("to"))?.into_iter().flat_map(|list| list.0).collect(),
        subject: raw.subject,
        text: raw.text.map(Into::into),
        template: raw.template,
        vars: json_table(raw.vars)?,
        locale: raw.locale,
        ..Mail::default()
    };
    check(&mail, raw.each)?;
    Ok(mail)
}

/// Checks the mail. With `each`, the number of recipients is not limited.
fn check(mail: &Mail, each: bool) -> Result<(), InvalidInput> {
    if each && !mail.to.is_empty() { mail.check_content() } else { mail.check() }
}

fn json_table(table: toml::Table) -> Result<Map<String, Value>, InvalidInput> {
    table.into_iter().map(|(key, value)| json(value).map(|value| (key, value))).collect()
}

/// Converts a value to JSON; dates become text.
fn json(value: toml::Value) -> Result<Value, InvalidInput> {
    let no_number = || InvalidInput::new("vars", "a template variable can't be inf or nan");
    match value {
        toml::Value::String(text) => Ok(Value::String(text)),
        toml::Value::Integer(number) => Ok(Value::from(number)),
        toml::Value::Float(number) => serde_json::Number::from_f64(number).map(Value::Number).ok_or_else(no_number),
        toml::Value::Boolean(yes) => Ok(Value::Bool(yes)),
        toml::Value::Datetime(time) => Ok(Value::String(time.to_string())),
        toml::Value::Array(items) => items.into_iter().map(json).collect::<Result<_, _>>().map(Value::Array),
        toml::Value::Table(table) => json_table(table).map(Value::Object),
    }
}
