//! `postroom doctor`

use std::{collections::BTreeSet, fmt::Display, time::Duration};

use postroom_core::{
    EmailAddress, Escaped, Mail, QueueName, Store,
    settings::TransportSettings,
    store::{Damage, ProcessInfo, ProcessKind, TransportState},
};
use postroom_mail::login_check;
use serde::Serialize;

use super::{
    Context,
    console::Console,
    exit::{Exit, Failure, Result},
    outcome, queues,
};

const EXAMPLES: &str = "Examples:
  postroom doctor
  postroom doctor --send-to you@example.org";

/// How long a test mail may take.
const TEST_MAIL: Duration = Duration::from_secs(15);
/// How long a mail server may take to let us in.
const LOGIN: Duration = Duration::from_secs(15);

/// Check that mail can flow: Redis, workers, mail servers, templates
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Send a test mail to this address too, and tell what became of it
    #[arg(long, value_name = "ADDRESS")]
    send_to: Option<EmailAddress>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Finding {
    Ok,
    Warn,
    Fail,
}

/// What was found, told as it is found.
struct Findings {
    console: Console,
    failed: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    result: Finding,
    check: &'a str,
    message: String,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    let mut findings = Findings { console: context.console, failed: 0 };
    let redis = redis(context, &mut findings).await;
    if let Ok(store) = &redis {
        flow(context, store, &mut findings).await?;
    }
    context.postroom.settings().warnings().iter().for_each(|warning| findings.warn("settings", warning));
    sender(context, &mut findings);
    transports(context, &mut findings).await;
    templates(context, &mut findings).await;
    redis?;
    if let Some(address) = &args.send_to {
        test_mail(context, address, &mut findings).await;
    }
    match findings.failed {
        0 => Ok(()),
        number => Err(Failure::failed(format!("{number} of the checks failed"))),
    }
}

impl Findings {
    fn ok(&mut self, check: &str, message: impl Display) {
        self.tell(Finding::Ok, check, message);
    }

    fn warn(&mut self, check: &str, message: impl Display) {
        self.tell(Finding::Warn, check, message);
    }

    fn fail(&mut self, check: &str, message: impl Display) {
        self.failed += 1;
        self.tell(Finding::Fail, check, message);
    }

    fn tell(&self, result: Finding, check: &str, message: impl Display) {
        let message = message.to_string();
        let word = match result {
            Finding::Ok => "ok  ",
            Finding::Warn => "warn",
            Finding::Fail => "FAIL",
        };
        let words = Escaped(format_args!("{word} {check}: {message}")).to_string();
        self.console.tell(&Line { result, check, message }, || words);
    }
}

async fn redis<'a>(context: &'a Context, findings: &mut Findings) -> Result<&'a Store> {
    let settings = &context.postroom.settings().redis;
    let place = settings.place();
    settings.warnings().iter().for_each(|warning| findings.warn("redis", warning));
    let asked = async {
        let store = context.postroom.store().await?;
        Ok::<_, Failure>((store, store.server_info().await?))
    };
    match asked.await {
        Ok((store, facts)) => {
            findings.ok("redis", format_args!("{place} answers, version {}", facts.version));
            facts.warnings().iter().for_each(|warning| findings.warn("redis", warning));
            Ok(store)
        }
        Err(failure) => {
            let advice = if failure.exit == Exit::Away { "; start it, or set REDIS_URL" } else { "" };
            findings.fail("redis", format_args!("{place}: {}{advice}", failure.message));
            Err(failure)
        }
    }
}

/// Whether somebody works, and where mail waits for nobody.
async fn flow(context: &Context, store: &Store, findings: &mut Findings) -> Result<()> {
    let processes = store.processes().await?;
    let workers: Vec<&ProcessInfo> = processes.iter().filter(|one| one.kind == ProcessKind::Worker).collect();
    match workers.len() {
        0 => findings.fail("workers", "none is alive: nothing is sent; start one with: postroom worker"),
        number => findings.ok("workers", format_args!("{number} alive")),
    }
    workers.iter().for_each(|worker| troubles(worker, findings));
    let served: BTreeSet<&QueueName> = workers.iter().flat_map(|worker| &worker.queues).collect();
    for queue in queues::known(context, store).await? {
        let checked = async {
            self::queue(store, &queue, served.contains(&queue), findings).await?;
            records(&format!("queue {queue}"), &store.damage(&queue).await?, findings);
            // What a claim would do first; a script that Redis refuses keeps all mail of the queue back.
            store.peek(&queue).await
        };
        match checked.await {
            Ok(_) => {}
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => findings.fail(&format!("queue {queue}"), format_args!("{error}; mail may wait for good")),
        }
    }
    records("system", &store.system_damage().await?, findings);
    for (key, number) in store.unreadable_members().await? {
        findings.warn("system", format_args!("{number} members of {key} can't be read and are skipped"));
    }
    beat(context, &processes, findings);
    Ok(())
}

/// What a worker complains of. A transport that is down is no mere complaint.
fn troubles(worker: &ProcessInfo, findings: &mut Findings) {
    let who = format!("worker {} {}", worker.host, worker.pid);
    for transport in &worker.transports {
        let check = format!("transport {}", transport.name);
        let why = transport.why.as_deref().unwrap_or("no reason is told");
        match transport.state {
            TransportState::Up => {}
            TransportState::Paused => findings.warn(&check, format_args!("{who} pauses: its server wants less: {why}")),
            TransportState::Down => findings.fail(
                &check,
                format_args!(
                    "down for {who}: {why}; check its server, login and settings. Mail waits or goes by the queue's next \
                     transport, none fails, and a try every half minute finds out when it is back"
                ),
            ),
        }
    }
    for alert in &worker.alerts {
        match alert.about.split(':').next() {
            Some("transport") => {}
            Some("refused" | "protocol") => findings.fail("workers", format_args!("{who}: {}", alert.text)),
            // Told of the queue, with the ids.
            Some("damage") => {}
            _ => findings.warn("workers", format_args!("{who}: {}", alert.text)),
        }
    }
}

async fn queue(store: &Store, queue: &QueueName, served: bool, findings: &mut Findings) -> postroom_core::Result<()> {
    let report = store.queue(queue).await?;
    let waiting = report.queued + report.scheduled + report.deferred;
    let check = format!("queue {queue}");
    match (served, waiting) {
        (false, 0) => findings.warn(&check, "no worker serves it; nothing waits there now"),
        (false, _) => {
            findings.fail(
                &check,
                format_args!(
                    "{} waiting and no worker serves it: add it to a worker's QUEUES",
                    outcome::mails(waiting)
                ),
            );
        }
        (true, _) => findings.ok(&check, format_args!("{waiting} wait, {} are being sent", report.sending)),
    }
    if report.paused {
        findings.warn(&check, format_args!("it is paused; go on with: postroom resume {queue}"));
    }
    if report.unknown > 0 {
        findings.warn(
            &check,
            format_args!(
                "{} in doubt; see: postroom list --queue {queue} --state unknown",
                outcome::mails(report.unknown)
            ),
        );
    }
    Ok(())
}

/// Damaged records, and jobs that a newer version wrote.
fn records(check: &str, damage: &Damage, findings: &mut Findings) {
    if damage.found > 0 {
        let latest = damage.latest.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("; ");
        findings.warn(
            check,
            format_args!(
                "damaged records found in the last 30 days: {}; the latest: {latest}. Jobs among them have ended as failed \
                 (postroom list --state failed); find out what else writes to this Redis, and whether its disk is sound",
                damage.found
            ),
        );
    }
    if damage.newer > 0 {
        let ids = damage.newer_jobs.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
        findings.fail(
            check,
            format_args!(
                "jobs that a newer version of postroom wrote wait for a worker that can read them: {} ({ids}); upgrade the \
                 workers, or cancel them",
                damage.newer
            ),
        );
    }
}

fn beat(context: &Context, processes: &[ProcessInfo], findings: &mut Findings) {
    let schedules = context.postroom.settings().schedules.iter().filter(|schedule| schedule.enabled).count();
    let beats = processes.iter().filter(|one| one.kind == ProcessKind::Beat).count();
    match (schedules, beats) {
        (0, _) => {}
        (_, 0) => findings
            .fail("beat", format_args!("{schedules} schedules and no beat is alive; start one with: postroom beat")),
        (_, _) => findings.ok("beat", format_args!("{beats} alive for {schedules} schedules")),
    }
}

fn sender(context: &Context, findings: &mut Findings) {
    match &context.postroom.settings().sender {
        Some(sender) => findings.ok("sender", sender),
        None => findings.warn("sender", "SMTP_MAIL_FROM is not set: a mail without a sender of its own fails"),
    }
}

async fn transports(context: &Context, findings: &mut Findings) {
    let settings = context.postroom.settings();
    if settings.transports.is_empty() {
        findings.fail("transport", "none is configured; set SMTP_HOST or MAIL_TRANSPORT");
    }
    for (name, transport) in &settings.transports {
        let check = format!("transport {name}");
        match tokio::time::timeout(LOGIN, login_check(transport)).await {
            Ok(Ok(said)) if is_for_tests(transport) => findings.warn(&check, said),
            Ok(Ok(said)) => findings.ok(&check, said),
            Ok(Err(error)) => findings.fail(&check, error),
            Err(_) => findings.fail(&check, "no answer within 15s"),
        }
    }
}

fn is_for_tests(transport: &TransportSettings) -> bool {
    matches!(transport, TransportSettings::Capture | TransportSettings::Discard)
}

async fn templates(context: &Context, findings: &mut Findings) {
    let folder = context.postroom.settings().templates_dir.display();
    match context.postroom.templates().await {
        Ok(Some(templates)) => findings.ok("templates", format_args!("{} in {folder}", templates.names().len())),
        Ok(None) => findings.warn("templates", format_args!("there is no folder {folder} here")),
        Err(error) => findings.fail("templates", error),
    }
}

/// Through queue and worker, like any other.
async fn test_mail(context: &Context, address: &EmailAddress, findings: &mut Findings) {
    match try_mail(context, address).await {
        Ok(said) => findings.ok("test mail", said),
        Err(failure) if failure.exit == Exit::Unfinished => findings
            .fail("test mail", format_args!("{} after 15s; is a worker alive that serves its queue?", failure.message)),
        Err(failure) => findings.fail("test mail", failure.message),
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
    let job = context.postroom.wait(&id, TEST_MAIL).await?;
    outcome::of_job(&job)?;
    Ok(format!("{id} was accepted by the next server: {}", job.receipt.unwrap_or_default()))
}
