//! `postroom doctor`

use std::{collections::BTreeSet, fmt::Display, time::Duration};

use postroom_core::{
    EmailAddress, Escaped, Mail, QueueName, Store,
    settings::TransportSettings,
    store::{Damage, ProcessInfo, ProcessKind, TransportState},
};
use postroom_mail::login_check;
use serde::Serialize;

use crate::{
    console::Console,
    context::Context,
    exit::{CommandError, Exit, Result},
    outcome, queue_names,
};

const EXAMPLES: &str = "Examples:
  postroom doctor
  postroom doctor --send-to you@example.org";

/// Maximum time until the test mail is sent.
const TEST_MAIL_LIMIT: Duration = Duration::from_secs(15);
/// Maximum time of a login at a mail server.
const LOGIN_LIMIT: Duration = Duration::from_secs(15);

/// Check that mail can be sent: Redis, workers, mail servers, templates
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Also send a test mail to this address, and report its outcome
    #[arg(long, value_name = "ADDRESS")]
    send_to: Option<EmailAddress>,
}

/// Status of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum CheckStatus {
    Ok,
    Warn,
    Fail,
}

/// Prints the results of the checks and counts the failed ones.
struct CheckReport {
    console: Console,
    failed: usize,
}

#[derive(Serialize)]
struct CheckResult<'a> {
    result: CheckStatus,
    check: &'a str,
    message: String,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    let mut report = CheckReport { console: context.console, failed: 0 };
    let redis = redis(context, &mut report).await;
    if let Ok(store) = &redis {
        mail_flow(context, store, &mut report).await?;
    }
    context.postroom.settings().warnings().iter().for_each(|warning| report.warn("settings", warning));
    sender(context, &mut report);
    transports(context, &mut report).await;
    templates(context, &mut report).await;
    redis?;
    if let Some(address) = &args.send_to {
        test_mail(context, address, &mut report).await;
    }
    match report.failed {
        0 => Ok(()),
        number => Err(CommandError::failed(format!("failed checks: {number}"))),
    }
}

impl CheckReport {
    fn ok(&mut self, check: &str, message: impl Display) {
        self.print(CheckStatus::Ok, check, message);
    }

    fn warn(&mut self, check: &str, message: impl Display) {
        self.print(CheckStatus::Warn, check, message);
    }

    fn fail(&mut self, check: &str, message: impl Display) {
        self.failed += 1;
        self.print(CheckStatus::Fail, check, message);
    }

    fn print(&self, result: CheckStatus, check: &str, message: impl Display) {
        let message = message.to_string();
        let word = match result {
            CheckStatus::Ok => "ok  ",
            CheckStatus::Warn => "warn",
            CheckStatus::Fail => "FAIL",
        };
        let text = Escaped(format_args!("{word} {check}: {message}")).to_string();
        self.console.result(&CheckResult { result, check, message }, || text);
    }
}

async fn redis<'a>(context: &'a Context, report: &mut CheckReport) -> Result<&'a Store> {
    let settings = &context.postroom.settings().redis;
    let place = settings.redacted_url();
    settings.warnings().iter().for_each(|warning| report.warn("redis", warning));
    let connected = async {
        let store = context.postroom.store().await?;
        Ok::<_, CommandError>((store, store.server_info().await?))
    };
    match connected.await {
        Ok((store, facts)) => {
            report.ok("redis", format_args!("{place} answers, version {}", facts.version));
            facts.warnings().iter().for_each(|warning| report.warn("redis", warning));
            Ok(store)
        }
        Err(error) => {
            let advice = if error.exit == Exit::Away { "; start it, or set REDIS_URL" } else { "" };
            report.fail("redis", format_args!("{place}: {}{advice}", error.message));
            Err(error)
        }
    }
}

/// Checks workers, queues, stored records and the beat.
async fn mail_flow(context: &Context, store: &Store, report: &mut CheckReport) -> Result<()> {
    let processes = store.processes().await?;
    let workers: Vec<&ProcessInfo> = processes.iter().filter(|one| one.kind == ProcessKind::Worker).collect();
    match workers.len() {
        0 => report.fail("workers", "no worker is alive, so no mail is sent; start one with: postroom worker"),
        number => report.ok("workers", format_args!("{number} alive")),
    }
    workers.iter().for_each(|worker| check_worker(worker, report));
    let served: BTreeSet<&QueueName> = workers.iter().flat_map(|worker| &worker.queues).collect();
    for queue in queue_names::known(context, store).await? {
        let checked = async {
            self::queue(store, &queue, served.contains(&queue), report).await?;
            records(&format!("queue {queue}"), &store.damage(&queue).await?, report);
            // The first script of a claim: if Redis rejects it, no mail of the queue is sent.
            store.peek(&queue).await
        };
        match checked.await {
            Ok(_) => {}
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => report.fail(&format!("queue {queue}"), format_args!("{error}; its mail may never be sent")),
        }
    }
    records("system", &store.system_damage().await?, report);
    for (key, number) in store.unreadable_members().await? {
        report.warn("system", format_args!("members of {key} that can't be read and are skipped: {number}"));
    }
    beat(context, &processes, report);
    Ok(())
}

/// Reports the alerts of a worker, and its transports that are not up.
fn check_worker(worker: &ProcessInfo, report: &mut CheckReport) {
    let name = format!("worker {} {}", worker.host, worker.pid);
    for transport in &worker.transports {
        let check = format!("transport {}", transport.name);
        let why = transport.why.as_deref().unwrap_or("no reason was recorded");
        match transport.state {
            TransportState::Up => {}
            TransportState::Paused => {
                report.warn(&check, format_args!("paused by {name} at its server's request: {why}"));
            }
            TransportState::Down => report.fail(
                &check,
                format_args!(
                    "down for {name}: {why}. No mail fails: it waits, or the queue's next transport sends it. \
                     The worker tries the transport again every 30 s"
                ),
            ),
        }
    }
    if worker.lacks_sender {
        report.warn("workers", format_args!("{name} has no SMTP_MAIL_FROM: mail that names no sender waits"));
    }
    for alert in &worker.alerts {
        match alert.about.split(':').next() {
            Some("transport") => {}
            Some("refused" | "protocol" | "sender") => report.fail("workers", format_args!("{name}: {}", alert.text)),
            // Reported for the queue, with the ids.
            Some("damage") => {}
            _ => report.warn("workers", format_args!("{name}: {}", alert.text)),
        }
    }
}

async fn queue(store: &Store, queue: &QueueName, served: bool, report: &mut CheckReport) -> postroom_core::Result<()> {
    let state = store.queue(queue).await?;
    let waiting = state.queued + state.scheduled + state.deferred;
    let check = format!("queue {queue}");
    match (served, waiting) {
        (false, 0) => report.warn(&check, "no worker serves it, but no mail is waiting"),
        (false, _) => {
            report.fail(
                &check,
                format_args!(
                    "{} waiting and no worker serves it: add it to a worker's QUEUES",
                    outcome::mails(waiting)
                ),
            );
        }
        (true, _) => report.ok(&check, format_args!("{waiting} waiting, {} being sent", state.sending)),
    }
    if state.paused {
        report.warn(&check, format_args!("the queue is paused; resume it with: postroom resume {queue}"));
    }
    if state.unknown > 0 {
        report.warn(
            &check,
            format_args!(
                "{} in state unknown; see: postroom list --queue {queue} --state unknown",
                outcome::mails(state.unknown)
            ),
        );
    }
    Ok(())
}

/// Reports damaged records, and jobs that a newer version wrote.
fn records(check: &str, damage: &Damage, report: &mut CheckReport) {
    if damage.found > 0 {
        let latest = damage.latest.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("; ");
        report.warn(
            check,
            format_args!(
                "damaged records in the last 30 days: {}; the latest: {latest}. Damaged jobs have failed \
                 (postroom list --state failed). Check which other programs write to this Redis, and \
                 whether its disk is healthy",
                damage.found
            ),
        );
    }
    if damage.newer > 0 {
        let ids = damage.newer_jobs.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
        report.fail(
            check,
            format_args!(
                "jobs written by a newer version of Postroom are waiting for a worker that can read them: {} \
                 ({ids}); upgrade the workers or cancel the jobs",
                damage.newer
            ),
        );
    }
}

fn beat(context: &Context, processes: &[ProcessInfo], report: &mut CheckReport) {
    let schedules = context.postroom.settings().schedules.iter().filter(|schedule| schedule.enabled).count();
    let beats = processes.iter().filter(|one| one.kind == ProcessKind::Beat).count();
    match (schedules, beats) {
        (0, _) => {}
        (_, 0) => report
            .fail("beat", format_args!("no beat is alive; start one with: postroom beat (schedules: {schedules})")),
        (_, _) => report.ok("beat", format_args!("{beats} alive (schedules: {schedules})")),
    }
}

fn sender(context: &Context, report: &mut CheckReport) {
    match &context.postroom.settings().sender {
        Some(sender) => report.ok("sender", sender),
        None => report.warn("sender", "SMTP_MAIL_FROM is not set here: a mail that names no sender gets the worker's"),
    }
}

async fn transports(context: &Context, report: &mut CheckReport) {
    let settings = context.postroom.settings();
    if settings.transports.is_empty() {
        report.fail("transport", "none is configured; set SMTP_HOST or MAIL_TRANSPORT");
    }
    for (name, transport) in &settings.transports {
        let check = format!("transport {name}");
        match tokio::time::timeout(LOGIN_LIMIT, login_check(transport)).await {
            Ok(Ok(message)) if is_for_tests(transport) => report.warn(&check, message),
            Ok(Ok(message)) => report.ok(&check, message),
            Ok(Err(error)) => report.fail(&check, error),
            Err(_) => report.fail(&check, "no reply within 15s; check SMTP_HOST, SMTP_PORT and SMTP_SECURITY"),
        }
    }
}

fn is_for_tests(transport: &TransportSettings) -> bool {
    matches!(transport, TransportSettings::Capture | TransportSettings::Discard)
}

async fn templates(context: &Context, report: &mut CheckReport) {
    let folder = context.postroom.settings().templates_dir.display();
    match context.postroom.templates().await {
        Ok(Some(templates)) => {
            report.ok("templates", format_args!("{} in {folder}", templates.names().len()));
            for warning in templates.warnings() {
                report.warn("templates", warning);
            }
        }
        Ok(None) => report.warn("templates", format_args!("there is no folder {folder} on this machine")),
        Err(error) => report.fail("templates", error),
    }
}

/// Sends a test mail through the queue and a worker.
async fn test_mail(context: &Context, address: &EmailAddress, report: &mut CheckReport) {
    match try_mail(context, address).await {
        Ok(message) => report.ok("test mail", message),
        Err(error) if error.exit == Exit::Unfinished => report
            .fail("test mail", format_args!("{} after 15s; check that a live worker serves its queue", error.message)),
        Err(error) => report.fail("test mail", error.message),
    }
}

async fn try_mail(context: &Context, address: &EmailAddress) -> Result<String> {
    let mail = Mail {
        to: vec![address.clone().into()],
        subject: Some("Postroom works".to_owned()),
        text: Some("This mail was sent by postroom doctor, through the queue and a worker.".into()),
        ..Mail::default()
    };
    let id = context.postroom.send(mail).await?;
    let job = context.postroom.wait(&id, TEST_MAIL_LIMIT).await?;
    outcome::of_job(&job)?;
    Ok(format!("{id} was accepted by the next server: {}", job.receipt.unwrap_or_default()))
}
