//! `postroom schedule list` and `postroom schedule run`

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use clap::Subcommand;
use postroom_core::{InvalidInput, Mail, Mailbox, schedule::Timetable, schedule::Timing, settings::ScheduleSettings};
use postroom_enqueue::Options;
use serde::Serialize;
use serde_json::json;

use crate::{
    args::span,
    context::Context,
    exit::{CommandError, Result},
    handover::{self, MailNeeds},
    outcome,
};

const EXAMPLES: &str = "Examples:
  postroom schedule list
  postroom schedule run daily-report --wait 10s";

/// Number of fire times in the output.
const FIRE_TIMES: usize = 5;

/// List the schedules of postroom.toml, or run one now
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: ScheduleCommand,
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// List the schedules, each with its next five fire times
    #[command(after_help = "Examples:\n  postroom schedule list --json | jq -r '.next[0]'")]
    List,
    /// Send the mail of a schedule now; print the id of the job or the batch
    #[command(after_help = "Examples:\n  postroom schedule run daily-report --wait 10s")]
    Run {
        /// Name of the schedule
        name: String,
        /// Wait at most this long for the mail to be sent; exit with its outcome
        #[arg(long, value_name = "DURATION", value_parser = span, allow_hyphen_values = true)]
        wait: Option<Duration>,
    },
}

/// A schedule with its next fire times.
#[derive(Debug, Serialize)]
struct ScheduleView<'a> {
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
    match &args.command {
        ScheduleCommand::List => list(context).await,
        ScheduleCommand::Run { name, wait } => run_now(context, find(context, name)?, *wait).await,
    }
}

async fn list(context: &Context) -> Result<()> {
    let schedules = &context.postroom.settings().schedules;
    for schedule in schedules {
        warn_about_mail(context, schedule).await;
    }
    let now_ms = Utc::now().timestamp_millis();
    let views: Vec<ScheduleView<'_>> =
        schedules.iter().map(|schedule| ScheduleView::of(schedule, now_ms)).collect::<Result<_, _>>()?;
    context.console.list(&views, || match &views[..] {
        [] => "postroom.toml has no [[schedule]]".to_owned(),
        views => views.iter().map(ScheduleView::text).collect::<Vec<_>>().join("\n"),
    });
    Ok(())
}

/// Warns if the mail can't be made, such as for a template that lacks a variable.
async fn warn_about_mail(context: &Context, schedule: &ScheduleSettings) {
    let mut mail = schedule.mail.clone();
    if schedule.each {
        mail.to.truncate(1);
    }
    if let Err(error) = context.postroom.check(&mail).await {
        context.console.warn(format_args!("the schedule {} can't be sent: {error}", schedule.name));
    }
}

impl<'a> ScheduleView<'a> {
    fn of(schedule: &'a ScheduleSettings, now_ms: i64) -> Result<Self, InvalidInput> {
        let timetable = Timetable::of(&schedule.timing).map_err(|problem| {
            let field = format!("[[schedule]] {}: {}", schedule.name, problem.field);
            problem.at(field)
        })?;
        let times = timetable.after(now_ms).take(if schedule.enabled { FIRE_TIMES } else { 0 });
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

    /// Returns the schedule as text, with times in its own time zone.
    fn text(&self) -> String {
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

/// Returns the schedule of this name.
fn find<'a>(context: &'a Context, name: &str) -> Result<&'a ScheduleSettings> {
    let schedules = &context.postroom.settings().schedules;
    let known = || schedules.iter().map(|schedule| schedule.name.as_str());
    let found = schedules.iter().find(|schedule| schedule.name == name);
    found.ok_or_else(|| CommandError::unknown("schedule", name, known()))
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
    let needs = MailNeeds::of(&schedule.mail, [&Mail::default()]);
    let id = handover::with_warnings(context, &schedule.queue, needs, sending).await?;
    context.console.result(&json!({ "id": id }), || id.to_string());
    match wait {
        Some(limit) => outcome::wait_for_job(context, &id, limit).await,
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
    let needs = MailNeeds::of(&schedule.mail, [&Mail::default()]);
    let mut batch = handover::with_warnings(context, &schedule.queue, needs, bulk.start()).await?;
    let id = batch.id().clone();
    context.console.result(&json!({ "id": id }), || id.to_string());
    for to in &schedule.mail.to {
        batch.add(Mail { to: vec![to.clone()], ..Mail::default() }).await?;
    }
    batch.finish(0, 0).await?;
    match wait {
        Some(limit) => outcome::of_batch(&context.postroom.wait_for_batch(&id, limit).await?),
        None => Ok(()),
    }
}
