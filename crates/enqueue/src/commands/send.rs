//! `postroom send`

use std::{path::PathBuf, time::Duration};

use postroom_core::{InvalidInput, Mail, Mailbox, format_span};
use serde_json::{Map, Value, json};

use super::{
    Context,
    args::{TermArgs, VarArgs, span},
    exit::{Failure, Result},
    files::{self, Given},
    outcome, queues,
};
use crate::{JobId, Options, QueueName};

const EXAMPLES: &str = "Examples:
  postroom send --to ann@example.org --subject Hello --text 'It works.'
  postroom send --to 'Ann <ann@example.org>' --template user_activation --var name=Ann \\
    --var site_name=Example --var activation_url=https://example.org/a/1
  postroom send --to ann@example.org --subject Report --text-file report.txt \\
    --attach report.pdf --in 10m
  postroom send --to ann@example.org --subject Code --text 1234 \\
    --priority 0 --expires-in 10m --wait 10s
  postroom send --to ann@example.org --subject Invoice --text-file invoice.txt \\
    --key invoice-2027-001 --durable

A program that passes on what somebody else wrote gives the text to --text-file - on standard
input, since --text @FILE reads a file, and writes the other values behind an equals sign
(--to=ADDRESS, --header=..., --var=...), so that none is taken for a flag.

A mail may have 1000 recipients, a subject and headers of 998 octets, 100 headers of its own,
200 attachments and MAX_MESSAGE_SIZE in all; names may have 255 octets.";

/// Hand one mail over; prints its job's id
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Who it is for: an address, or a name and the address in angle brackets; several are in one mail
    #[arg(long, value_name = "ADDRESS", required = true, num_args = 1..)]
    to: Vec<Mailbox>,
    /// Who it is from; default: SMTP_MAIL_FROM
    #[arg(long, value_name = "ADDRESS")]
    from: Option<Mailbox>,
    /// Who gets a copy
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    cc: Vec<Mailbox>,
    /// Who gets a copy without the others seeing it
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    bcc: Vec<Mailbox>,
    /// Where replies go
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    reply_to: Vec<Mailbox>,
    /// A further header; again for each
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// A file to attach; again for each
    #[arg(long, value_name = "FILE", num_args = 1..)]
    attach: Vec<PathBuf>,
    /// The template that makes subject and bodies
    #[arg(long, value_name = "NAME", conflicts_with_all = ["text", "text_file", "html", "html_file"])]
    template: Option<String>,
    #[command(flatten)]
    vars: VarArgs,
    /// The template's language, as in pl-PL
    #[arg(long, value_name = "LOCALE", requires = "template")]
    locale: Option<String>,
    /// The subject; with a template, in place of the template's
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    subject: Option<String>,
    /// The body as plain text; @FILE reads it from a file, @@ begins a text with one @
    #[arg(long, value_name = "TEXT|@FILE", allow_hyphen_values = true)]
    text: Option<String>,
    /// The body as plain text, from a file; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    text_file: Option<String>,
    /// The body as HTML; @FILE reads it from a file, @@ begins it with one @
    #[arg(long, value_name = "HTML|@FILE", allow_hyphen_values = true)]
    html: Option<String>,
    /// The body as HTML, from a file; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "html")]
    html_file: Option<String>,
    #[command(flatten)]
    terms: TermArgs,
    /// Keep no result, only a mark for 24 hours that the job has been
    #[arg(long)]
    no_result: bool,
    /// Print the id only when the mail stays even if Redis is killed then; takes about a second
    #[arg(long)]
    durable: bool,
    /// Wait so long for the mail to be sent; the exit code tells what became of it
    #[arg(long, value_name = "DURATION", value_parser = span)]
    wait: Option<Duration>,
    /// Send it now, in the foreground, without Redis; prints its Message-ID
    #[arg(long, conflicts_with_all = ["wait", "key", "after", "at", "expires_in", "durable"])]
    sync: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<()> {
    let mail = args.mail(context)?;
    if args.sync {
        return send_now(context, &mail, args.terms.queue.as_ref()).await;
    }
    let options = Options { no_result: args.no_result, durable: args.durable, ..args.terms.options() };
    let sending = context.postroom.send(mail).with(options);
    let queue = sending.queue();
    let id = queues::with_warning(context, &queue, sending).await?;
    context.console.tell(&json!({ "id": id }), || id.to_string());
    match args.wait {
        Some(limit) => wait(context, &id, limit).await,
        None => Ok(()),
    }
}

/// Waits for a job and judges it.
pub(crate) async fn wait(context: &Context, id: &JobId, limit: Duration) -> Result<()> {
    let job = context.postroom.wait(id, limit).await?;
    outcome::of_job(&job).map_err(|failure| match failure.exit {
        super::exit::Exit::Unfinished => failure.because(&format!("waited {}", format_span(limit))),
        _ => failure,
    })
}

async fn send_now(context: &Context, mail: &Mail, queue: Option<&QueueName>) -> Result<()> {
    let sent = context.postroom.send_now(mail, queue).await;
    context.postroom.close().await;
    let sent = sent?;
    for (address, reply) in &sent.refused {
        context.console.warn(format_args!("{address} was refused: {reply}"));
    }
    let told = json!({ "message_id": sent.message_id, "receipt": sent.receipt });
    context.console.tell(&told, || sent.message_id.clone());
    Ok(())
}

impl Args {
    fn mail(&self, context: &Context) -> Result<Mail> {
        self.check_vars()?;
        let max_size = context.postroom.settings().max_message_size;
        self.check_stdin()?;
        let body = |flag: &str, given: Option<Given<'_>>| given.map(|given| given.read(flag, max_size)).transpose();
        let attachments = self.attach.iter().map(|path| files::attachment(path, max_size)).collect::<Result<_, _>>()?;
        Ok(Mail {
            from: self.from.clone(),
            to: self.to.clone(),
            cc: self.cc.clone(),
            bcc: self.bcc.clone(),
            reply_to: self.reply_to.clone(),
            headers: self.headers()?,
            subject: self.subject.clone(),
            text: body("--text", self.text())?.map(Into::into),
            html: body("--html", self.html())?.map(Into::into),
            template: self.template.clone(),
            vars: self.vars.read()?,
            locale: self.locale.clone(),
            attachments,
        })
    }

    fn text(&self) -> Option<Given<'_>> {
        self.text.as_deref().map(Given::of).or_else(|| self.text_file.as_deref().map(Given::File))
    }

    fn html(&self) -> Option<Given<'_>> {
        self.html.as_deref().map(Given::of).or_else(|| self.html_file.as_deref().map(Given::File))
    }

    /// Whoever reads it second would find nothing.
    fn check_stdin(&self) -> Result<()> {
        let reads = |given: Option<Given<'_>>| given.is_some_and(|given| given.is_stdin());
        let flags = [("--text", reads(self.text())), ("--html", reads(self.html())), ("--vars", self.vars.use_stdin())];
        let readers: Vec<&str> = flags.into_iter().filter(|(_, reads)| *reads).map(|(flag, _)| flag).collect();
        match readers[..] {
            [] | [_] => Ok(()),
            [first, second, ..] => {
                Err(Failure::usage(second, format!("standard input can't be both {first} and {second}")))
            }
        }
    }

    /// Without a template nobody would read them; a person who gives them expects otherwise.
    fn check_vars(&self) -> Result<()> {
        if self.template.is_none() && self.vars.are_given() {
            return Err(Failure::usage("--var", "variables go with --template"));
        }
        Ok(())
    }

    fn headers(&self) -> Result<Map<String, Value>, InvalidInput> {
        let mut all = Map::new();
        for (name, value) in &self.headers {
            if all.insert(name.clone(), Value::String(value.clone())).is_some() {
                return Err(InvalidInput::new("--header", format!("{name} is given twice")));
            }
        }
        Ok(all)
    }
}

/// `Name: value`, for clap.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it has no colon; it may be 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}
