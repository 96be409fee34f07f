//! `postroom status`

use std::{fmt::Write, time::Duration};

use postroom_core::{BatchId, BatchReport, Escaped, JobId, JobReport, Mailbox, RecipientResult};

use crate::{
    args::span,
    context::Context,
    exit::{CommandError, Result},
    id::Id,
    outcome, watch,
};

const EXAMPLES: &str = "Examples:
  postroom status emails-01ARZ3NDEKTSV4RRFFQ69G5FAV
  postroom status emails-01ARZ3NDEKTSV4RRFFQ69G5FAV --wait 10s
  postroom status b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV --watch
  postroom status b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV --json | jq .sent";

/// Show the state of a job or a batch
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Id of a job or a batch
    id: Id,
    /// Wait at most this long for it to finish; exit with its outcome
    #[arg(long, value_name = "DURATION", value_parser = span, allow_hyphen_values = true)]
    wait: Option<Duration>,
    /// Show the progress on standard error until it is finished or --wait runs out; exit with its
    /// outcome
    #[arg(long)]
    watch: bool,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    match &args.id {
        Id::Job(id) => job(context, id, args).await,
        Id::Batch(id) => batch(context, id, args).await,
    }
}

async fn job(context: &Context, id: &JobId, args: &Args) -> Result<()> {
    let report = match (args.watch, args.wait) {
        (true, limit) => watch::job(context, id, limit).await?,
        (false, Some(limit)) => context.postroom.wait(id, limit).await?,
        (false, None) => context.postroom.status(id).await?.ok_or_else(|| CommandError::not_found(id))?,
    };
    context.console.result(&report, || job_text(&report));
    if args.exits_with_outcome() { outcome::of_job(&report) } else { Ok(()) }
}

async fn batch(context: &Context, id: &BatchId, args: &Args) -> Result<()> {
    let report = match (args.watch, args.wait) {
        (true, limit) => watch::batch(context, id, limit).await?,
        (false, Some(limit)) => context.postroom.wait_for_batch(id, limit).await?,
        (false, None) => context.postroom.batch_status(id).await?.ok_or_else(|| CommandError::not_found(id))?,
    };
    let queue_paused = report.paused && context.postroom.store().await?.is_paused(&report.queue).await?;
    context.console.result(&report, || batch_text(&report, queue_paused));
    if args.exits_with_outcome() { outcome::of_batch(&report) } else { Ok(()) }
}

impl Args {
    /// Returns true if the exit code is the outcome.
    fn exits_with_outcome(&self) -> bool {
        self.wait.is_some() || self.watch
    }
}

/// A title and one line for each field that has a value.
struct FieldList(String);

impl FieldList {
    fn add(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            // Writing to a string can't fail.
            let _ = write!(self.0, "\n  {name:<12} {}", Escaped(value));
        }
    }
}

fn job_text(job: &JobReport) -> String {
    let mut fields = FieldList(format!("{} is {}", job.id, job.state));
    let to: Vec<String> = job.to.iter().map(Mailbox::to_string).collect();
    fields.add("to", (!to.is_empty()).then(|| to.join(", ")));
    fields.add("template", job.template.as_ref());
    fields.add("batch", job.batch.as_ref());
    fields.add("priority", job.priority);
    fields.add("attempt", job.max_attempts.map(|max| format!("{} of {max}", job.attempt)));
    fields.add("enqueued", job.enqueued_at.as_ref());
    fields.add("due", job.due_at.as_ref().filter(|_| !job.state.is_finished()));
    fields.add("expires", job.expires_at.as_ref());
    fields.add("finished", job.finished_at.as_ref());
    fields.add("message id", job.message_id.as_ref());
    fields.add("receipt", job.receipt.as_ref());
    fields.add("reason", job.reason.as_ref());
    fields.add("error", job.error.as_ref().map(|error| format!("{} {}", error.code, error.message)));
    add_recipients(&mut fields, job);
    add_attempts(&mut fields, job);
    fields.0
}

/// Adds the refused recipients.
fn add_recipients(fields: &mut FieldList, job: &JobReport) {
    let refused = job.recipients.iter().filter(|recipient| recipient.result == RecipientResult::Refused);
    for recipient in refused {
        let reply = recipient.reply.as_deref().unwrap_or_default();
        fields.add("refused", Some(format!("{} {reply}", recipient.address)));
    }
}

fn add_attempts(fields: &mut FieldList, job: &JobReport) {
    for attempt in &job.attempts {
        let phase = attempt.phase.as_deref().map(|phase| format!(" at {phase}")).unwrap_or_default();
        let counted = if attempt.counted { "" } else { ", not counted" };
        let line =
            format!("{} {}{phase}{counted}, {} ms: {}", attempt.at(), attempt.verdict, attempt.ms, attempt.reply);
        fields.add(&format!("try {}", attempt.n), Some(line));
    }
}

fn batch_text(batch: &BatchReport, queue_paused: bool) -> String {
    let state = match (batch.done, batch.sealed) {
        (true, _) => "done",
        _ if batch.paused && !queue_paused => "paused",
        (false, true) => "being sent",
        (false, false) => "still being filled",
    };
    let mut fields = FieldList(format!("{} is {state}", batch.id));
    fields.add("name", Some(&batch.name));
    fields.add("queue", Some(format!("{}{}", batch.queue, if queue_paused { " (paused)" } else { "" })));
    fields.add("template", batch.template.as_ref());
    fields.add("created", Some(&batch.created_at));
    fields.add("mails", Some(outcome::counts(batch)));
    fields.add("pace", batch.pace_us.map(|us| format!("one every {:?}", Duration::from_micros(us))));
    fields.add("rate", (batch.rate > 0.0).then(|| format!("{} a second", batch.rate)));
    fields.add("left", batch.eta_s.map(|s| postroom_core::format_span(Duration::from_secs(s))));
    fields.0
}
