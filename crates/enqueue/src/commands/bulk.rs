//! `postroom bulk`

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use postroom_core::{Addressee, BatchId, Mail, Mailbox, Pace, QueueName, Rate, format_span};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::{
    Context,
    args::{TermArgs, VarArgs, positive_span},
    exit::{Exit, Failure, Result},
    outcome, queues,
    rows::{Input, JsonKind, Place, Row, Sieve, Source},
    watch,
};
use crate::{BulkInput, BulkSummary, Error, Options, check::HEAD};

const EXAMPLES: &str = "Examples:
  postroom bulk --template newsletter --csv examples/recipients.csv \\
    --var title=News --var intro='Read this.'
  postroom bulk --template newsletter --jsonl people.jsonl --name 'June news' --watch
  postroom bulk --template event_reminder --to ann@example.org ben@example.org \\
    --vars event.json
  cat mails.jsonl | postroom bulk --jsonl - --key june-invoices
  postroom bulk --template newsletter --csv people.csv --strict --in 2h --priority 7
  postroom bulk --template newsletter --csv people.csv --rate 100/m --notify me@example.org
  postroom bulk --template newsletter --csv people.csv --notify https://app.example.org/hook
  postroom bulk --template newsletter --csv people.csv --delay 5s --durable

The address column is to or email; the other columns are variables, which win over
--var. With --template a row of JSON lines is an object of that kind; without, it is
a whole mail: {\"to\": \"ann@example.org\", \"subject\": \"Hi\", \"text\": \"…\"}.";

/// Hand many mails over as a batch; prints the batch's id first and alone
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = clap::ArgGroup::new("rows").required(true))]
pub(crate) struct Args {
    /// The template that makes subject and bodies
    #[arg(long, value_name = "NAME", required_unless_present = "jsonl")]
    template: Option<String>,
    /// A CSV with a header, UTF-8; - is standard input; a row may have 16 MiB and 1000 columns
    #[arg(long, value_name = "FILE", group = "rows")]
    csv: Option<String>,
    /// A JSON object a line; - is standard input; a line may have 16 MiB, or twice MAX_MESSAGE_SIZE
    #[arg(long, value_name = "FILE", group = "rows")]
    jsonl: Option<String>,
    /// Addresses, one mail each
    #[arg(long, value_name = "ADDRESS", group = "rows", num_args = 1..)]
    to: Vec<Mailbox>,
    #[command(flatten)]
    vars: VarArgs,
    /// The template's language, as in pl-PL
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,
    /// Who it is from; default: SMTP_MAIL_FROM
    #[arg(long, value_name = "ADDRESS")]
    from: Option<Mailbox>,
    #[command(flatten)]
    terms: TermArgs,
    /// So many mails a second, minute, hour or day, evenly spaced, as in 100/m
    #[arg(long, value_name = "RATE", conflicts_with = "delay")]
    rate: Option<Rate>,
    /// So long from the beginning of a mail to the beginning of the next, one at a time, as in 5s
    #[arg(long, value_name = "DURATION", value_parser = positive_span)]
    delay: Option<Duration>,
    /// A name for people; default: the template's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Who is told, once, when all of it is over: an address by a mail, an http(s) URL by a POST of JSON
    #[arg(long, value_name = "ADDRESS|URL")]
    notify: Option<Addressee>,
    /// Look at all rows first; if one is bad, queue nothing and exit with 2
    #[arg(long)]
    strict: bool,
    /// Send to an address as often as it is named
    #[arg(long)]
    allow_duplicates: bool,
    /// End well only when all of it stays even if Redis is killed then; refused where Redis can't promise that
    #[arg(long)]
    durable: bool,
    /// Show on standard error how the sending goes, to its end; the exit code tells what became of it
    #[arg(long)]
    watch: bool,
    /// Send now, one by one, in the foreground, without Redis
    #[arg(long, conflicts_with_all = ["watch", "key", "after", "at", "expires_in", "durable", "notify"])]
    sync: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<()> {
    let source = args.source(context.postroom.settings().max_message_size);
    if args.vars.use_stdin() && source.is_stdin() {
        return Err(Failure::usage("--vars", "standard input can't be both the variables and the rows"));
    }
    let shared = args.shared()?;
    let input = source.look_over(args.strict || args.terms.key.is_some())?;
    if args.strict {
        check_all(args.sieve(context, &input, &shared).await?)?;
    }
    let mut sieve = args.sieve(context, &input, &shared).await?;
    let head = head(&mut sieve, &input)?;
    if args.sync {
        return send_all(context, sieve, head, &shared, &args).await;
    }
    let id = put_in(context, &args, sieve, head, &shared, &input.hash).await?;
    if args.watch { outcome::of_batch(&watch::batch(context, &id, None).await?) } else { Ok(()) }
}

impl Args {
    fn shared(&self) -> Result<Mail> {
        let shared = Mail {
            from: self.from.clone(),
            template: self.template.clone(),
            vars: self.vars.read()?,
            locale: self.locale.clone(),
            ..Mail::default()
        };
        shared.check_parts()?;
        Ok(shared)
    }

    fn source(&self, max_message_size: u64) -> Source {
        let kind = JsonKind::of(self.template.is_some(), max_message_size);
        match (&self.csv, &self.jsonl) {
            (Some(path), _) => Source::Csv(Place::of(path)),
            (None, Some(path)) => Source::Jsonl { place: Place::of(path), kind },
            (None, None) => Source::Addresses(self.to.clone()),
        }
    }

    fn pace(&self) -> Option<Pace> {
        self.rate.map(Pace::Rate).or(self.delay.map(Pace::Delay))
    }

    async fn sieve<'a>(&self, context: &'a Context, input: &Input, shared: &'a Mail) -> Result<Sieve<'a>> {
        let checker = context.postroom.checker().await?;
        Ok(Sieve::new(input.rows()?, shared, checker, self.allow_duplicates, context.console))
    }
}

/// Told of each bad row, then refused if there was one.
fn check_all(mut sieve: Sieve<'_>) -> Result<()> {
    while sieve.next()?.is_some() {}
    match sieve.invalid {
        0 => Ok(()),
        bad => Err(Failure::usage("rows", format!("{bad} can't be sent; nothing was queued"))),
    }
}

/// The first rows, before anything is created for them.
fn head(sieve: &mut Sieve<'_>, input: &Input) -> Result<Vec<Row>> {
    let mut head = Vec::new();
    while sieve.good < HEAD
        && let Some(row) = sieve.next()?
    {
        head.push(row);
    }
    if head.is_empty() {
        let bad = if sieve.invalid > 0 { " that can be sent" } else { "" };
        return Err(Failure::usage("rows", format!("{} has no row{bad}; nothing was queued", input.name())));
    }
    Ok(head)
}

async fn put_in(
    context: &Context,
    args: &Args,
    mut sieve: Sieve<'_>,
    head: Vec<Row>,
    shared: &Mail,
    hash: &str,
) -> Result<BatchId> {
    let options = Options { durable: args.durable, ..args.terms.options() };
    let mut bulk = context.postroom.bulk(shared.clone()).rows(rows_hash(context, args, hash).await?);
    bulk = bulk.with(options);
    if let Some(name) = &args.name {
        bulk = bulk.name(name);
    }
    if let Some(pace) = args.pace() {
        bulk = bulk.pace(pace);
    }
    if let Some(to) = &args.notify {
        bulk = bulk.notify(to.clone());
    }
    let queue = bulk.queue();
    let mut batch = queues::with_warning(context, &queue, bulk.start()).await?;
    let id = batch.id().clone();
    context.console.tell(&json!({ "id": id }), || id.to_string());
    let summary = fill(&mut batch, &mut sieve, head).await;
    let (invalid, duplicates) = (sieve.invalid, sieve.duplicates);
    let added = batch.added();
    let summary = match summary {
        Ok(()) => batch.finish(invalid, duplicates).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    let summary = summary.map_err(|failure| broken_off(failure, &id, added, args.terms.key.as_deref()))?;
    tell(context, &summary, args.pace(), invalid, duplicates);
    Ok(id)
}

/// Another state of the templates may judge rows otherwise, and then the same rows would have other ids.
async fn rows_hash(context: &Context, args: &Args, hash: &str) -> Result<String> {
    let templates = context.postroom.templates().await?;
    let of_template = args.template.as_ref().and_then(|name| templates?.hash(name));
    Ok(format!("{hash} {} {}", of_template.unwrap_or_default(), args.allow_duplicates))
}

async fn fill(batch: &mut BulkInput<'_>, sieve: &mut Sieve<'_>, head: Vec<Row>) -> Result<()> {
    let bar = bar();
    for row in head {
        batch.add_checked(row.mail).await?;
    }
    while let Some(row) = sieve.next()? {
        batch.add_checked(row.mail).await?;
        bar.set_position(batch.added());
    }
    bar.finish_and_clear();
    Ok(())
}

fn broken_off(failure: Failure, id: &BatchId, added: u64, key: Option<&str>) -> Failure {
    // What it conflicts with stands, however often it is said.
    if failure.code == "unsure" || failure.exit == Exit::Conflict {
        return failure;
    }
    let go_on = match key {
        Some(_) => "run the same command again to go on".to_owned(),
        None => format!("cancel what is queued with: postroom cancel {id}"),
    };
    let added = outcome::mails(added);
    failure.because(&format!("{id} broke off after about {added}; {go_on}"))
}

fn tell(context: &Context, summary: &BulkSummary, pace: Option<Pace>, invalid: u64, duplicates: u64) {
    let mut words = format!("{} queued", outcome::mails(summary.total));
    for (number, what) in
        [(summary.known, "of them before"), (invalid, "invalid"), (duplicates, "skipped, their address came before")]
    {
        if number > 0 {
            words.push_str(&format!(", {number} {what}"));
        }
    }
    if let Some(pace) = pace {
        words.push_str(&format!("; at {pace} they take about {}", format_span(takes(pace, summary.total))));
    }
    context.console.note(words);
}

/// From the first mail to the last, in whole seconds where there are many.
fn takes(pace: Pace, mails: u64) -> Duration {
    let all = pace.spacing().saturating_mul(u32::try_from(mails.saturating_sub(1)).unwrap_or(u32::MAX));
    if all < Duration::from_secs(10) { all } else { Duration::from_secs(all.as_secs()) }
}

/// On standard error; hidden where that is no terminal.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {pos} mails queued, {elapsed}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// What came of sending in the foreground.
#[derive(Debug, Default, serde::Serialize)]
struct Tally {
    sent: u64,
    failed: u64,
    unknown: u64,
    invalid: u64,
    duplicates: u64,
}

async fn send_all(context: &Context, mut sieve: Sieve<'_>, head: Vec<Row>, shared: &Mail, args: &Args) -> Result<()> {
    let of_template =
        shared.template.as_ref().and_then(|name| context.postroom.settings().templates.get(name)?.queue.clone());
    let queue = args.terms.queue.clone().or(of_template).unwrap_or_else(QueueName::bulk);
    let mut tally = Tally::default();
    let spacing = args.pace().map(Pace::spacing).unwrap_or_default();
    let (mut head, mut next_at) = (head.into_iter(), Instant::now());
    while let Some(row) = head.next().map_or_else(|| sieve.next(), |row| Ok(Some(row)))? {
        sleep_until(next_at).await;
        next_at = Instant::now() + spacing;
        send_one(context, row, shared, &queue, &mut tally).await?;
    }
    context.postroom.close().await;
    (tally.invalid, tally.duplicates) = (sieve.invalid, sieve.duplicates);
    tally.conclude(context)
}

/// A mail that is refused does not stop the others; settings that send none do.
async fn send_one(context: &Context, row: Row, shared: &Mail, queue: &QueueName, tally: &mut Tally) -> Result<()> {
    match context.postroom.send_now(&row.mail.over(shared), Some(queue)).await {
        Ok(_) => tally.sent += 1,
        Err(Error::NotSent(not_sent)) => {
            let failure = Failure::from(not_sent);
            context.console.note(format_args!("line {}: {}", row.line, failure.message));
            if failure.exit == Exit::InDoubt { tally.unknown += 1 } else { tally.failed += 1 }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

impl Tally {
    fn conclude(&self, context: &Context) -> Result<()> {
        let words = format!(
            "{} sent, {} failed, {} in doubt, {} rows invalid, {} duplicates skipped",
            self.sent, self.failed, self.unknown, self.invalid, self.duplicates
        );
        context.console.tell(self, || words.clone());
        match (self.failed, self.unknown) {
            (0, 0) => Ok(()),
            (0, _) => Err(Failure::in_doubt(words)),
            _ => Err(Failure::failed(words)),
        }
    }
}
