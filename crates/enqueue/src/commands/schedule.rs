//! `postroom schedule list` and `postroom schedule run`

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use clap::Subcommand;
use postroom_core::{
    InvalidInput, Mail, Mailbox,
    schedule::Timetable,
    schedule::Timing,
    settings::ScheduleSettings,
};
use serde::Serialize;
use serde_json::json;

use super::{
    Context,
    args::span,
    exit::{Failure, Result},
    outcome, queues, send,
};
use crate::Options;

const EXAMPLES: &str = "Examples:
  postroom schedule list
  postroom schedule run daily-report --wait 10s";

/// How many fire times are shown.
const SHOWN: usize = 5;

/// Show the schedules of postroom.toml, or run one now
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List them, each with its next five times
    #[command(after_help = "Examples:\n  postroom schedule list --json | jq -r '.next[0]'")]
    List,
    /// Send what one of them sends, now; prints the id of the job, or of the batch
    #[command(after_help = "Examples:\n  postroom schedule run daily-report --wait 10s")]
    Run {
        /// Its name
        name: String,
        /// Wait so long for the mail to be sent; the exit code tells what became of it
        #[arg(long, value_name = "DURATION", value_parser = span)]
        wait: Option<Duration>,
    },
}

/// A schedule and when it fires.
#[derive(Debug, Serialize)]
struct Planned<'a> {
    name: &'a str,
    when: String,
    timezone: Option<&'a str>,
    enabled: bool,
    queue: &'a str,
    template: Option<&'a str>,
    to: &'a [Mailbox],
    each: bool,
    next: Vec<String>,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    match &args.act {
        Act::List => list(context),
        Act::Run { name, wait } => run_now(context, named(context, name)?, *wait).await,
    }
}

fn list(context: &Context) -> Result<()> {
    let schedules = &context.postroom.settings().schedules;
    let now_ms = Utc::now().timestamp_millis();
    let planned: Vec<Planned<'_>> =
        schedules.iter().map(|schedule| Planned::of(schedule, now_ms)).collect::<Result<_, _>>()?;
    context.console.list(&planned, || match &planned[..] {
        [] => "postroom.toml has no [[schedule]]".to_owned(),
        planned => planned.iter().map(Planned::in_words).collect::<Vec<_>>().join("\n"),
    });
    Ok(())
}

impl<'a> Planned<'a> {
    fn of(schedule: &'a ScheduleSettings, now_ms: i64) -> Result<Self, InvalidInput> {
        let timetable = Timetable::of(&schedule.timing).map_err(|problem| {
            let field = format!("[[schedule]] {}: {}", schedule.name, problem.field);
            problem.at(field)
        })?;
        let times = timetable.after(now_ms).take(if schedule.enabled { SHOWN } else { 0 });
        let timezone = match &schedule.timing {
            Timing::Cron { timezone, .. } => Some(timezone),
            Timing::Every(_) => None,
        };
        Ok(Self {
            name: &schedule.name,
            when: schedule.timing.to_string(),
            timezone: timezone.map(|zone| zone.name()),
            enabled: schedule.enabled,
            queue: schedule.queue.as_str(),
            template: schedule.mail.template.as_deref(),
            to: &schedule.mail.to,
            each: schedule.each,
            next: times.map(rfc3339).collect(),
        })
    }

    /// Times as they are on the schedule's own clock.
    fn in_words(&self) -> String {
        let zone = self.timezone.unwrap_or("UTC");
        let state = if self.enabled { "" } else { ", not enabled" };
        let head = format!("{}  {} ({zone}{state})", self.name, self.when);
        let times = self.next.iter().map(|time| format!("\n  {}", local(time, zone)));
        times.fold(head, |text, time| text + &time)
    }
}

fn rfc3339(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn local(time: &str, zone: &str) -> String {
    match (DateTime::parse_from_rfc3339(time), zone.parse::<Tz>()) {
        (Ok(at), Ok(zone)) => at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M:%S %Z").to_string(),
        _ => time.to_owned(),
    }
}

fn named<'a>(context: &'a Context, name: &str) -> Result<&'a ScheduleSettings> {
    let schedules = &context.postroom.settings().schedules;
    schedules.iter().find(|schedule| schedule.name == name).ok_or_else(|| {
        let known: Vec<&str> = schedules.iter().map(|schedule| schedule.name.as_str()).collect();
        let known =
            if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) };
        let failure = Failure::not_found(format_args!("the schedule {name}"));
        failure.because(&known)
    })
}

async fn run_now(context: &Context, schedule: &ScheduleSettings, wait: Option<Duration>) -> Result<()> {
    let options = Options {
        queue: Some(schedule.queue.clone()),
        priority: Some(schedule.priority),
        expires_in: schedule.expires_in,
        ..Options::default()
    };
    if schedule.each {
        run_batch(context, schedule, options, wait).await
    } else {
        run_mail(context, schedule, options, wait).await
    }
}

async fn run_mail(
    context: &Context,
    schedule: &ScheduleSettings,
    options: Options,
    wait: Option<Duration>,
) -> Result<()> {
    let sending = context.postroom.send(schedule.mail.clone()).with(options);
    let id = queues::with_warning(context, &schedule.queue, sending).await?;
    context.console.tell(&json!({ "id": id }), || id.to_string());
    match wait {
        Some(limit) => send::wait(context, &id, limit).await,
        None => Ok(()),
    }
}

async fn run_batch(
    context: &Context,
    schedule: &ScheduleSettings,
    options: Options,
    wait: Option<Duration>,
) -> Result<()> {
    let shared = Mail { to: Vec::new(), ..schedule.mail.clone() };
    let bulk = context.postroom.bulk(shared).name(&schedule.name).with(options);
    let mut batch = queues::with_warning(context, &schedule.queue, bulk.start()).await?;
    let id = batch.id().clone();
    context.console.tell(&json!({ "id": id }), || id.to_string());
    for to in &schedule.mail.to {
        batch.add(Mail { to: vec![to.clone()], ..Mail::default() }).await?;
    }
    batch.finish(0, 0).await?;
    match wait {
        Some(limit) => outcome::of_batch(&context.postroom.wait_for_batch(&id, limit).await?),
        None => Ok(()),
    }
}
