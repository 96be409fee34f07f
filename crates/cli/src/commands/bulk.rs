//! `postroom bulk`

mod foreground;

use std::{sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use postroom_core::{Addressee, BatchId, EnvelopePattern, Mail, Mailbox, MailboxList, Pace, Rate, format_span};
use postroom_enqueue::{BulkInput, BulkSummary, HeaderTemplates, Options};
use serde_json::{Map, Value, json};

use crate::{
    args::{HeaderArgs, TermArgs, VarArgs, joined, positive_span},
    context::Context,
    exit::{CommandError, Exit, Result},
    handover::{self, MailNeeds},
    outcome,
    rows::{
        BulkRow, CsvRowFormat, Delimiter, FIRST_ROWS, InputFile, JsonRowFormat, RowFilter, RowSource, ScannedSource,
    },
    watch,
};

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
  postroom bulk --template newsletter --csv people.csv \\
    --header 'List-Unsubscribe: <{{ unsubscribe_url }}>'

The address column of a CSV has one of the usual names, such as email, E-mail Address or
Adres e-mail, or is named by --address-column; the address is the variable email. Columns
named subject, locale, from, envelope_from, reply_to, cc or bcc are fields of the mail. The
other columns are variables; they take precedence over --var. First Name is also first_name.
All values are texts. With --template, a JSON object has the same keys, and headers and
attachments. Without --template, it is a complete mail (docs/sending.md lists all forms):
  {\"to\": \"ann@example.org\", \"subject\": \"Hi\", \"text\": \"…\"}";

const HEADER_HELP: &str = "Add a header, whose value is rendered for each mail; repeatable";

/// Enqueue many mails as a batch; print the batch's id
#[derive(Debug, clap::Args)]
#[command(mut_arg("headers", |arg| arg.help(HEADER_HELP)))]
#[command(after_help = EXAMPLES, group = clap::ArgGroup::new("rows").required(true))]
pub(crate) struct Args {
    /// Template that renders subject and bodies
    #[arg(long, value_name = "NAME", required_unless_present = "jsonl")]
    template: Option<String>,
    /// Read rows from a CSV with a header, in UTF-8 or UTF-16 (max. 16 MiB and 1000 columns a row);
    /// - reads standard input
    #[arg(long, value_name = "FILE", group = "rows")]
    csv: Option<String>,
    /// Character between the fields, or tab; default: comma, semicolon, tab or |, as in the header
    #[arg(long, value_name = "CHARACTER", conflicts_with_all = ["jsonl", "to"])]
    delimiter: Option<Delimiter>,
    /// Column that holds the address; default: the one named to, email, E-mail Address or the like
    #[arg(long, value_name = "NAME", conflicts_with_all = ["jsonl", "to"])]
    address_column: Option<String>,
    /// Read JSON objects: one a line, or a list of them (each max. 16 MiB, or twice
    /// MAX_MESSAGE_SIZE if larger); - reads standard input
    #[arg(long, value_name = "FILE", group = "rows")]
    jsonl: Option<String>,
    /// Send one mail to each of these addresses, also separated by commas
    #[arg(long, value_name = "ADDRESS", group = "rows", num_args = 1..)]
    to: Vec<MailboxList>,
    #[command(flatten)]
    vars: VarArgs,
    /// Language of the template, such as pl-PL
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,
    /// Sender; default: SMTP_MAIL_FROM
    #[arg(long, value_name = "ADDRESS")]
    from: Option<Mailbox>,
    /// Envelope sender, which gets bounces; <> is none, {id} stands for the job's id; default: the
    /// transport's, or else the address of the sender
    #[arg(long, value_name = "ADDRESS")]
    envelope_from: Option<EnvelopePattern>,
    /// Addresses for replies
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    reply_to: Vec<MailboxList>,
    #[command(flatten)]
    headers: HeaderArgs,
    #[command(flatten)]
    terms: TermArgs,
    /// Send rate, evenly spaced, such as 100/m (per second, minute, hour or day: s, m, h, d)
    #[arg(long, value_name = "RATE", conflicts_with = "delay")]
    rate: Option<Rate>,
    /// Send one mail at a time, this long after the start of the previous one, such as 5s
    #[arg(long, value_name = "DURATION", value_parser = positive_span, allow_hyphen_values = true)]
    delay: Option<Duration>,
    /// Display name of the batch; default: the template's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Notify once when the batch is done: an address by mail, an http(s) URL by a POST of JSON
    #[arg(long, value_name = "ADDRESS|URL")]
    notify: Option<Addressee>,
    /// Check all rows first; if one is invalid, enqueue nothing and exit with 2
    #[arg(long)]
    strict: bool,
    /// Send a mail for every row, even if an earlier row has the same address
    #[arg(long)]
    allow_duplicates: bool,
    /// Exit 0 only once the batch is durable; fail if the settings of Redis do not allow that
    #[arg(long)]
    durable: bool,
    /// Show the progress on standard error until the batch is finished; exit with its outcome
    #[arg(long)]
    watch: bool,
    /// Send the mails now, one by one, in the foreground, without Redis
    #[arg(long, conflicts_with_all = ["watch", "key", "after", "at", "expires_in", "durable", "notify"])]
    sync: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<()> {
    let source = args.source(context.postroom.settings().max_message_size);
    if args.vars.read_stdin() && source.is_stdin() {
        return Err(CommandError::usage("--vars", "standard input can't be both the variables and the rows"));
    }
    let shared = args.shared()?;
    let input = source.scan(args.strict || args.terms.key.is_some())?;
    let mut rows = args.filter(context, &input, &shared).await?;
    if args.strict {
        check_all(rows)?;
        rows = args.filter(context, &input, &shared).await?.without_notes();
    }
    let first_rows = first_rows(&mut rows, &input)?;
    if args.sync {
        return foreground::send_all(context, rows, first_rows, &shared, &args).await;
    }
    let id = enqueue(context, &args, rows, first_rows, &shared, &input.hash).await?;
    if args.watch { outcome::of_batch(&watch::batch(context, &id, None).await?) } else { Ok(()) }
}

impl Args {
    fn shared(&self) -> Result<Mail> {
        let shared = Mail {
            from: self.from.clone(),
            envelope_from: self.envelope_from.clone(),
            template: self.template.clone(),
            vars: self.vars.read()?,
            locale: self.locale.clone(),
            reply_to: joined(&self.reply_to),
            headers: self.fixed_headers()?,
            ..Mail::default()
        };
        shared.check_parts()?;
        Ok(shared)
    }

    /// Headers that are the same in each mail.
    fn fixed_headers(&self) -> Result<Map<String, Value>> {
        let fixed = self.headers.all()?.iter().filter(|(_, value)| !is_template(value));
        Ok(fixed.map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect())
    }

    /// Headers that are rendered for each mail.
    fn row_headers(&self) -> Result<Option<HeaderTemplates>> {
        let rendered: Vec<_> = self.headers.all()?.iter().filter(|(_, value)| is_template(value)).cloned().collect();
        if rendered.is_empty() {
            return Ok(None);
        }
        let parsed = HeaderTemplates::parse(&rendered);
        // The error begins with the flag.
        let headers = parsed.map_err(|error| {
            let text = error.to_string();
            CommandError::usage("--header", text.strip_prefix("--header: ").unwrap_or(&text))
        });
        headers.map(Some)
    }

    fn source(&self, max_message_size: u64) -> RowSource {
        let format = JsonRowFormat::new(self.template.is_some(), max_message_size);
        match (&self.csv, &self.jsonl) {
            (Some(path), _) => RowSource::Csv {
                file: InputFile::new(path),
                format: CsvRowFormat { delimiter: self.delimiter, address_column: self.address_column.clone() },
            },
            (None, Some(path)) => RowSource::Jsonl { file: InputFile::new(path), format },
            (None, None) => RowSource::Addresses(joined(&self.to)),
        }
    }

    fn pace(&self) -> Option<Pace> {
        self.rate.map(Pace::Rate).or(self.delay.map(Pace::Delay))
    }

    async fn filter<'a>(&self, context: &'a Context, input: &ScannedSource, shared: &'a Mail) -> Result<RowFilter<'a>> {
        let headers = self.row_headers()?.map(Arc::new);
        let checker = context.postroom.bulk_checker(shared).await?.with_headers(headers);
        Ok(RowFilter::new(input.rows()?, checker, self.template.as_deref(), self.allow_duplicates, context.console))
    }
}

/// Whether the value of a header is rendered.
fn is_template(value: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|start| value.contains(start))
}

/// Reports every invalid row; returns an error if there was one.
fn check_all(mut rows: RowFilter<'_>) -> Result<()> {
    let checked = check_each(&mut rows);
    rows.finish();
    checked?;
    match rows.invalid {
        0 => Ok(()),
        invalid => Err(CommandError::usage("rows", format!("{invalid} can't be sent; nothing was queued"))),
    }
}

fn check_each(rows: &mut RowFilter<'_>) -> Result<()> {
    while rows.next()?.is_some() {}
    Ok(())
}

/// Reads and checks the first rows, before a batch is created.
fn first_rows(rows: &mut RowFilter<'_>, input: &ScannedSource) -> Result<Vec<BulkRow>> {
    let first = read_first_rows(rows).inspect_err(|_| rows.finish())?;
    if first.is_empty() {
        rows.finish();
        let kind = if rows.invalid > 0 { " that can be sent" } else { "" };
        return Err(CommandError::usage("rows", format!("{} has no row{kind}; nothing was queued", input.name())));
    }
    Ok(first)
}

fn read_first_rows(rows: &mut RowFilter<'_>) -> Result<Vec<BulkRow>> {
    let mut first = Vec::new();
    while rows.valid < FIRST_ROWS
        && let Some(row) = rows.next()?
    {
        first.push(row);
    }
    Ok(first)
}

async fn enqueue(
    context: &Context,
    args: &Args,
    mut rows: RowFilter<'_>,
    first_rows: Vec<BulkRow>,
    shared: &Mail,
    hash: &str,
) -> Result<BatchId> {
    let options = Options { durable: args.durable, ..args.terms.options() };
    let mut bulk = context.postroom.bulk(shared.clone()).rows(rows_hash(context, args, hash).await?);
    bulk = bulk.with(options);
    if let Some(headers) = args.row_headers()? {
        bulk = bulk.headers(headers);
    }
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
    let needs = MailNeeds::of(shared, first_rows.iter().map(|row| &row.mail));
    let mut batch = handover::with_warnings(context, &queue, needs, bulk.start()).await?;
    let id = batch.id().clone();
    context.console.result(&json!({ "id": id }), || id.to_string());
    let summary = fill(&mut batch, &mut rows, first_rows).await;
    rows.finish();
    let (invalid, duplicates) = (rows.invalid, rows.duplicates);
    let added = batch.added();
    let summary = match summary {
        Ok(()) => batch.finish(invalid, duplicates).await.map_err(CommandError::from),
        Err(error) => Err(error),
    };
    let summary = summary.map_err(|error| interrupted(error, &id, added, args.terms.key.as_deref()))?;
    print_summary(context, &summary, args.pace(), invalid, duplicates);
    Ok(id)
}

/// Version of the rules by which rows are valid; raised with each change of them.
const ROW_RULES: u32 = 2;

/// Returns a hash of everything that decides which rows are valid. A mail's id depends on its
/// position among them.
async fn rows_hash(context: &Context, args: &Args, hash: &str) -> Result<String> {
    let templates = context.postroom.templates().await?;
    let of_template = args.template.as_ref().and_then(|name| templates?.hash(name));
    let (template, duplicates) = (of_template.unwrap_or_default(), args.allow_duplicates);
    Ok(format!("{hash} {template} {duplicates} rules {ROW_RULES}"))
}

async fn fill(batch: &mut BulkInput<'_>, rows: &mut RowFilter<'_>, first_rows: Vec<BulkRow>) -> Result<()> {
    let bar = bar();
    for row in first_rows {
        batch.add_checked(row.mail).await?;
    }
    while let Some(row) = rows.next()? {
        batch.add_checked(row.mail).await?;
        bar.set_position(batch.added());
    }
    bar.finish_and_clear();
    rows.finish();
    Ok(())
}

/// Adds the number of mails enqueued before the error, and how to continue.
fn interrupted(error: CommandError, id: &BatchId, added: u64, key: Option<&str>) -> CommandError {
    // Neither advice applies: a conflict is permanent, and an unsure batch is already complete.
    if error.code == "unsure" || error.exit == Exit::Conflict {
        return error;
    }
    let advice = match key {
        Some(_) => "run the same command again to continue".to_owned(),
        None => format!("cancel the queued mails with: postroom cancel {id}"),
    };
    let added = outcome::mails(added);
    error.with_detail(&format!("{id} was interrupted after about {added}; {advice}"))
}

fn print_summary(context: &Context, summary: &BulkSummary, pace: Option<Pace>, invalid: u64, duplicates: u64) {
    let mut text = format!("{} queued", outcome::mails(summary.total));
    for (number, what) in
        [(summary.known, "of them before"), (invalid, "invalid"), (duplicates, "skipped as duplicates")]
    {
        if number > 0 {
            text.push_str(&format!(", {number} {what}"));
        }
    }
    if let Some(pace) = pace {
        text.push_str(&format!("; at {pace} they take about {}", format_span(duration_of(pace, summary.total))));
    }
    let counts = json!({
        "queued": summary.total, "queued_before": summary.known, "invalid": invalid, "duplicates": duplicates
    });
    context.console.result_note(&counts, || text);
}

/// Returns the time from the first mail to the last, in whole seconds if it is 10 s or more.
fn duration_of(pace: Pace, mails: u64) -> Duration {
    let all = pace.spacing().saturating_mul(u32::try_from(mails.saturating_sub(1)).unwrap_or(u32::MAX));
    if all < Duration::from_secs(10) { all } else { Duration::from_secs(all.as_secs()) }
}

/// Progress indicator on standard error; hidden if that is not a terminal.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {pos} mails queued, {elapsed}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
