//! Servers that fall silent: each phase ends in its own limit and class, and other mail goes on.

use std::{fmt::Write as _, fs, time::Duration};

use postroom_core::{JobId, JobReport, JobState, Mail, OnUnknown, QueueName, store::NewJob};
use postroom_testkit::{Action, FakeSmtp, Fault, Phase, PrivateRedis, TlsMode, eventually};

use crate::bench::{Bench, LIMIT, mail_to, terms};

/// One server that falls silent once, and what the mail that meets it is told.
struct Stall {
    at: Phase,
    /// The phase, the limit that ran out, and the verdict of the attempt.
    told: (&'static str, &'static str, &'static str),
    server: FakeSmtp,
    queue: QueueName,
}

const TIMEOUTS: &str = "{ greeting = '3s', command = '3200ms', tls = '3400ms', data = '3600ms', dot = '3800ms' }";

const STALLS: [(Phase, &str, &str, &str); 12] = [
    (Phase::Accept, "greeting", "3s", "nothing_sent"),
    (Phase::Banner, "greeting", "3s", "nothing_sent"),
    (Phase::Ehlo, "ehlo", "3.2s", "nothing_sent"),
    (Phase::StartTls, "starttls", "3.2s", "nothing_sent"),
    (Phase::Tls, "tls", "3.4s", "nothing_sent"),
    (Phase::Auth, "auth", "3.2s", "nothing_sent"),
    (Phase::Mail, "mail", "3.2s", "nothing_sent"),
    (Phase::Rcpt, "rcpt", "3.2s", "nothing_sent"),
    (Phase::Data, "data", "3.6s", "nothing_sent"),
    (Phase::Body, "body", "3.6s", "nothing_sent"),
    // And a little for the length of the mail.
    (Phase::Dot, "dot", "3.8", "unknown"),
    (Phase::Idle, "mail", "3.2s", "nothing_sent"),
];

const MAILS: usize = 4;

impl Stall {
    async fn start((at, phase, limit, verdict): (Phase, &'static str, &'static str, &'static str)) -> Self {
        let server = FakeSmtp::builder().tls(TlsMode::StartTlsRequired).auth("ada", "secret").start().await;
        server.fault(Fault::at(at, Action::Stall).times(1));
        let queue = format!("{at:?}").to_lowercase().parse().expect("a queue's name");
        Self { at, told: (phase, limit, verdict), server, queue }
    }

    /// Its transport and its queue, in the toml.
    fn describe(&self, folder: &std::path::Path) -> String {
        let (name, port) = (&self.queue, self.server.port());
        let ca = folder.join(format!("{name}.pem"));
        fs::write(&ca, self.server.ca_pem()).expect("written");
        let mut text = format!("[queue.{name}]\ntransports = ['{name}']\n[transport.{name}]\nkind = 'smtp'\n");
        let _ =
            writeln!(text, "host = '127.0.0.1'\nport = {port}\nsecurity = 'starttls'\nca_file = '{}'", ca.display());
        let _ = writeln!(text, "username = 'ada'\npassword = 'secret'\ntimeouts = {TIMEOUTS}");
        text
    }

    fn mail(&self, number: usize) -> Mail {
        let mut mail = mail_to(&format!("{}{number}@example.org", self.queue));
        if self.at == Phase::Body {
            // More than waits in the buffers of both sides.
            mail.text = Some("A line of a long letter.\n".repeat(60_000).into());
        }
        mail
    }

    async fn enqueue(&self, bench: &Bench, number: usize) -> JobId {
        let mut terms = terms();
        terms.policy.on_unknown = OnUnknown::Hold;
        let id = JobId::new(self.queue.clone());
        let job = NewJob { id: id.clone(), mail: self.mail(number) };
        bench.store.enqueue(&self.queue, None, &terms, &[job]).await.expect("enqueued");
        id
    }

    /// The mail that met the stall was told so and is not lost; the others went by.
    fn check(&self, jobs: &[JobReport]) {
        let name = &self.queue;
        let (phase, limit, verdict) = self.told;
        let (late, others): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job.attempts[0].verdict != "accepted");
        assert_eq!(late.len(), 1, "{name}: one meets the stall, which happens once: {jobs:?}");
        let met = &late[0].attempts[0];
        assert_eq!((met.phase.as_deref(), met.verdict.as_str(), met.counted), (Some(phase), verdict, false), "{met:?}");
        assert!(met.reply.contains(&format!("within the limit of {limit}")), "{name}: {met:?}");
        assert_eq!(late[0].attempt, 0, "{name}: it costs no attempt");
        for other in others {
            assert_eq!((other.state, other.attempts.len()), (JobState::Sent, 1), "{name}: {other:?}");
            assert!(other.attempts[0].ms < met.ms, "{name}: another mail waited for the stalled one: {other:?}");
            // Both are RFC 3339 in UTC.
            let retried = late[0].attempts.get(1).map(postroom_core::AttemptRecord::at);
            assert!(retried.is_none_or(|at| other.finished_at.as_ref() < Some(&at)), "{name}: {other:?}");
        }
        let mut arrived: Vec<String> = self.server.received().into_iter().flat_map(|mail| mail.rcpt_to).collect();
        arrived.sort();
        let all = (0..MAILS).map(|number| format!("{name}{number}@example.org"));
        let in_doubt = late[0].to[0].address.as_str();
        let expected: Vec<_> = all.filter(|to| verdict != "unknown" || to != in_doubt).collect();
        arrived.retain(|to| !to.starts_with("warm"));
        assert_eq!(arrived, expected, "{name}: each once");
        assert_eq!(self.server.violations(), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn a_server_that_stalls_at_each_of_twelve_phases() {
    let bench = Bench::on(PrivateRedis::shared(), FakeSmtp::start().await).await;
    let mut stalls = Vec::new();
    for row in STALLS {
        stalls.push(Stall::start(row).await);
    }
    let toml: String = stalls.iter().map(|stall| stall.describe(bench.folder())).collect();
    fs::write(bench.folder().join("postroom.toml"), toml).expect("written");
    let queues: Vec<_> = stalls.iter().map(|stall| stall.queue.to_string()).collect();
    let _worker = bench.worker(&["--queues", &queues.join(","), "--concurrency", "60"]).await;

    // The connection that goes silent while idle must be there first.
    let idle = stalls.iter().find(|stall| stall.at == Phase::Idle).expect("a row");
    let mut warm = idle.mail(0);
    warm.to = mail_to("warm@example.org").to;
    let id = JobId::new(idle.queue.clone());
    let job = NewJob { id: id.clone(), mail: warm };
    bench.store.enqueue(&idle.queue, None, &terms(), &[job]).await.expect("enqueued");
    bench.reaches(&id, JobState::Sent).await;

    let mut ids = Vec::new();
    for stall in &stalls {
        let mut own = Vec::new();
        for number in 0..MAILS {
            own.push(stall.enqueue(&bench, number).await);
        }
        ids.push(own);
    }
    for (stall, ids) in stalls.iter().zip(&ids) {
        let mut jobs = Vec::new();
        for id in ids {
            jobs.push(settled(&bench, id).await);
        }
        stall.check(&jobs);
    }
}

async fn settled(bench: &Bench, id: &JobId) -> JobReport {
    eventually(LIMIT, &format!("{id} is settled"), async || {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some(bench.job(id).await).filter(|job| matches!(job.state, JobState::Sent | JobState::Unknown))
    })
    .await
}
