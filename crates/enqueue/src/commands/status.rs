//! `postroom status`

use std::{fmt::Write, time::Duration};

use postroom_core::{BatchId, BatchReport, Escaped, JobId, JobReport, Mailbox, RecipientResult};

use super::{
    Context,
    args::span,
    exit::{Failure, Result},
    id::Id,
    outcome, watch,
};

const EXAMPLES: &str = "Examples:
  postroom status emails-01ARZ3NDEKTSV4RRFFQ69G5FAV
  postroom status emails-01ARZ3NDEKTSV4RRFFQ69G5FAV --wait 10s
  postroom status b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV --watch
  postroom status b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV --json | jq .sent";

/// Tell what became of a job or a batch
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The id of a job or a batch
    id: Id,
    /// Wait so long for its end; the exit code tells what became of it
    #[arg(long, value_name = "DURATION", value_parser = span)]
    wait: Option<Duration>,
    /// Show on standard error how it goes, until its end or until --wait runs out
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
        (false, None) => context.postroom.status(id).await?.ok_or_else(|| Failure::not_found(id))?,
    };
    context.console.tell(&report, || job_in_words(&report));
    if args.judges() { outcome::of_job(&report) } else { Ok(()) }
}

async fn batch(context: &Context, id: &BatchId, args: &Args) -> Result<()> {
    let report = match (args.watch, args.wait) {
        (true, limit) => watch::batch(context, id, limit).await?,
        (false, Some(limit)) => context.postroom.wait_for_batch(id, limit).await?,
        (false, None) => context.postroom.batch_status(id).await?.ok_or_else(|| Failure::not_found(id))?,
    };
    let queue_paused = report.paused && context.postroom.store().await?.is_paused(&report.queue).await?;
    context.console.tell(&report, || batch_in_words(&report, queue_paused));
    if args.judges() { outcome::of_batch(&report) } else { Ok(()) }
}

impl Args {
    /// Whoever waited for the end wants to know what it was.
    fn judges(&self) -> bool {
        self.wait.is_some() || self.watch
    }
}

/// A line for each fact that there is.
struct Facts(String);

impl Facts {
    fn add(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            // Writing to a string never fails.
            let _ = write!(self.0, "\n  {name:<12} {}", Escaped(value));
        }
    }
}

fn job_in_words(job: &JobReport) -> String {
    let mut facts = Facts(format!("{} is {}", job.id, job.state));
    let to: Vec<String> = job.to.iter().map(Mailbox::to_string).collect();
    facts.add("to", (!to.is_empty()).then(|| to.join(", ")));
    facts.add("template", job.template.as_ref());
    facts.add("batch", job.batch.as_ref());
    facts.add("priority", job.priority);
    facts.add("attempt", job.max_attempts.map(|max| format!("{} of {max}", job.attempt)));
    facts.add("enqueued", job.enqueued_at.as_ref());
    facts.add("due", job.due_at.as_ref().filter(|_| !job.state.is_finished()));
    facts.add("expires", job.expires_at.as_ref());
    facts.add("finished", job.finished_at.as_ref());
    facts.add("message id", job.message_id.as_ref());
    facts.add("receipt", job.receipt.as_ref());
    facts.add("reason", job.reason.as_ref());
    facts.add("error", job.error.as_ref().map(|error| format!("{} {}", error.code, error.message)));
    add_recipients(&mut facts, job);
    add_attempts(&mut facts, job);
    facts.0
}

/// Only where they differ from what the state says.
fn add_recipients(facts: &mut Facts, job: &JobReport) {
    let refused = job.recipients.iter().filter(|recipient| recipient.result == RecipientResult::Refused);
    for recipient in refused {
        let reply = recipient.reply.as_deref().unwrap_or_default();
        facts.add("refused", Some(format!("{} {reply}", recipient.address)));
    }
}

fn add_attempts(facts: &mut Facts, job: &JobReport) {
    for attempt in &job.attempts {
        let phase = attempt.phase.as_deref().map(|phase| format!(" at {phase}")).unwrap_or_default();
        let counted = if attempt.counted { "" } else { ", not counted" };
        let said =
            format!("{} {}{phase}{counted}, {} ms: {}", attempt.at(), attempt.verdict, attempt.ms, attempt.reply);
        facts.add(&format!("try {}", attempt.n), Some(said));
    }
}

fn batch_in_words(batch: &BatchReport, queue_paused: bool) -> String {
    let state = match (batch.done, batch.sealed) {
        (true, _) => "done",
        _ if batch.paused && !queue_paused => "paused",
        (false, true) => "under way",
        (false, false) => "still being put in",
    };
    let mut facts = Facts(format!("{} is {state}", batch.id));
    facts.add("name", Some(&batch.name));
    facts.add("queue", Some(format!("{}{}", batch.queue, if queue_paused { " (paused)" } else { "" })));
    facts.add("template", batch.template.as_ref());
    facts.add("created", Some(&batch.created_at));
    facts.add("mails", Some(outcome::counts(batch)));
    facts.add("pace", batch.pace_us.map(|us| format!("one every {:?}", Duration::from_micros(us))));
    facts.add("rate", (batch.rate > 0.0).then(|| format!("{} a second", batch.rate)));
    facts.add("left", batch.eta_s.map(|s| postroom_core::format_span(Duration::from_secs(s))));
    facts.0
}
