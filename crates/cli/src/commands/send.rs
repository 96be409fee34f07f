//! `postroom send`

use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use postroom_core::{EnvelopePattern, InvalidInput, Mail, Mailbox, MailboxList};
use postroom_enqueue::{Options, QueueName};
use serde_json::{Map, Value, json};

use crate::{
    args::{HeaderArgs, TermArgs, VarArgs, joined, span},
    context::Context,
    exit::{CommandError, Result},
    files::{AttachSource, TextSource},
    handover::{self, MailNeeds},
    outcome,
};

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

To pass untrusted text from a program, write the body to --text-file - on standard input,
because --text @FILE reads a file. Write other values after an equals sign (--to=ADDRESS,
--header=..., --var=...), so that none is taken for a flag.

Limits of a mail: 1000 recipients, 998 octets in the subject and in each header, 100 headers
added with --header, 200 attachments, 255 octets in a name, MAX_MESSAGE_SIZE in total.";

/// Enqueue one mail; print its job's id
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Recipients of the mail, also separated by commas; an address may have a name, as in
    /// 'Ann <ann@example.org>'
    #[arg(long, value_name = "ADDRESS", required = true, num_args = 1..)]
    to: Vec<MailboxList>,
    /// Sender; default: SMTP_MAIL_FROM
    #[arg(long, value_name = "ADDRESS")]
    from: Option<Mailbox>,
    /// Envelope sender, which gets bounces; <> is none, {id} stands for the job's id; default: the
    /// transport's, or else the address of --from
    #[arg(long, value_name = "ADDRESS")]
    envelope_from: Option<EnvelopePattern>,
    /// Recipients of a copy
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    cc: Vec<MailboxList>,
    /// Recipients of a copy that other recipients do not see
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    bcc: Vec<MailboxList>,
    /// Addresses for replies
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    reply_to: Vec<MailboxList>,
    #[command(flatten)]
    headers: HeaderArgs,
    /// Attach a file; repeatable. Its name decides the MIME type unless ;type= gives it
    #[arg(long, value_name = "FILE[;type=TYPE]", num_args = 1..,
        value_parser = OsStringValueParser::new().try_map(AttachSource::parse))]
    attach: Vec<AttachSource>,
    /// Template that renders subject and bodies
    #[arg(long, value_name = "NAME", conflicts_with_all = ["text", "text_file", "html", "html_file"])]
    template: Option<String>,
    #[command(flatten)]
    vars: VarArgs,
    /// Language of the template, such as pl-PL
    #[arg(long, value_name = "LOCALE", requires = "template")]
    locale: Option<String>,
    /// Subject; overrides the template's
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    subject: Option<String>,
    /// Plain-text body; @FILE reads it from a file, @@ begins a text with one @
    #[arg(long, value_name = "TEXT|@FILE", allow_hyphen_values = true)]
    text: Option<String>,
    /// Read the plain-text body from a file; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    text_file: Option<String>,
    /// HTML body; @FILE reads it from a file, @@ begins a text with one @
    #[arg(long, value_name = "HTML|@FILE", allow_hyphen_values = true)]
    html: Option<String>,
    /// Read the HTML body from a file; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "html")]
    html_file: Option<String>,
    #[command(flatten)]
    terms: TermArgs,
    /// Keep no result, only a record for 24 hours that the job existed
    #[arg(long)]
    no_result: bool,
    /// Exit 0 only once the mail is durable (about 1 s); fail if the settings of Redis do not allow
    /// that
    #[arg(long)]
    durable: bool,
    /// Wait at most this long for the mail to be sent; exit with its outcome
    #[arg(long, value_name = "DURATION", value_parser = span, allow_hyphen_values = true)]
    wait: Option<Duration>,
    /// Send the mail now, in the foreground, without Redis; print its Message-ID
    #[arg(long, conflicts_with_all = ["wait", "key", "after", "at", "expires_in", "durable"])]
    sync: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<()> {
    let mail = args.mail(context)?;
    mail.warnings().iter().for_each(|warning| context.console.warn(warning));
    if args.sync {
        return send_now(context, &mail, args.terms.queue.as_ref()).await;
    }
    let options = Options { no_result: args.no_result, durable: args.durable, ..args.terms.options() };
    let needs = MailNeeds::of(&Mail::default(), [&mail]);
    let sending = context.postroom.send(mail).with(options);
    let queue = sending.queue();
    let id = handover::with_warnings(context, &queue, needs, sending).await?;
    context.console.result(&json!({ "id": id }), || id.to_string());
    match args.wait {
        Some(limit) => outcome::wait_for_job(context, &id, limit).await,
        None => Ok(()),
    }
}

async fn send_now(context: &Context, mail: &Mail, queue: Option<&QueueName>) -> Result<()> {
    MailNeeds::of(&Mail::default(), [mail]).warn_about_envelope(context, queue.unwrap_or(&QueueName::emails()));
    let sent = context.postroom.send_now(mail, queue).await;
    context.postroom.close().await;
    let sent = sent?;
    for (address, reply) in &sent.refused {
        context.console.warn(format_args!("{address} was refused: {reply}"));
    }
    let result = json!({ "message_id": sent.message_id, "receipt": sent.receipt });
    context.console.result(&result, || sent.message_id.clone());
    Ok(())
}

impl Args {
    fn mail(&self, context: &Context) -> Result<Mail> {
        self.check_vars()?;
        let max_size = context.postroom.settings().max_message_size;
        self.check_stdin()?;
        let body = |source: Option<(&str, TextSource<'_>)>| {
            source.map(|(flag, source)| source.read(flag, max_size)).transpose()
        };
        let attachments = self.attach.iter().map(|file| file.read(max_size)).collect::<Result<_, _>>()?;
        Ok(Mail {
            from: self.from.clone(),
            envelope_from: self.envelope_from.clone(),
            to: joined(&self.to),
            cc: joined(&self.cc),
            bcc: joined(&self.bcc),
            reply_to: joined(&self.reply_to),
            headers: self.headers()?,
            subject: self.subject.clone(),
            text: body(self.text())?.map(Into::into),
            html: body(self.html())?.map(Into::into),
            template: self.template.clone(),
            vars: self.vars.read()?,
            locale: self.locale.clone(),
            attachments,
        })
    }

    /// Returns the plain-text body and the flag that names it.
    fn text(&self) -> Option<(&'static str, TextSource<'_>)> {
        body_of(("--text", &self.text), ("--text-file", &self.text_file))
    }

    /// Returns the HTML body and the flag that names it.
    fn html(&self) -> Option<(&'static str, TextSource<'_>)> {
        body_of(("--html", &self.html), ("--html-file", &self.html_file))
    }

    /// Rejects two flags that read standard input: the second one would read nothing.
    fn check_stdin(&self) -> Result<()> {
        let bodies = [self.text(), self.html()].into_iter().flatten();
        let bodies = bodies.filter(|(_, source)| source.is_stdin()).map(|(flag, _)| flag);
        let readers: Vec<&str> = bodies.chain(self.vars.read_stdin().then_some("--vars")).collect();
        match readers[..] {
            [] | [_] => Ok(()),
            [first, second, ..] => {
                Err(CommandError::usage(second, format!("standard input can't be both {first} and {second}")))
            }
        }
    }

    /// Rejects variables without a template, which would be ignored.
    fn check_vars(&self) -> Result<()> {
        if self.template.is_none() && self.vars.are_set() {
            return Err(CommandError::usage("--var", "variables need --template"));
        }
        Ok(())
    }

    fn headers(&self) -> Result<Map<String, Value>, InvalidInput> {
        let all = self.headers.all()?.iter();
        Ok(all.map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect())
    }
}

type TextFlag<'a> = (&'static str, &'a Option<String>);

/// Returns the source of a body, from the flag of its text or the flag of its file.
fn body_of<'a>(text: TextFlag<'a>, file: TextFlag<'a>) -> Option<(&'static str, TextSource<'a>)> {
    let of_text = text.1.as_deref().map(|value| (text.0, TextSource::parse(value)));
    of_text.or_else(|| file.1.as_deref().map(|path| (file.0, TextSource::File(path))))
}
