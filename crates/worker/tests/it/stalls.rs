//! Servers that stall: each phase ends at its own timeout with its verdict, and other mail is sent.

use std::{fmt::Write as _, fs, time::Duration};

use postroom_core::{JobId, JobReport, JobState, Mail, OnUnknown, QueueName, store::NewJob};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, PrivateRedis, TlsMode, eventually};

use crate::fixture::{Fixture, LIMIT, mail_to, terms};

/// A server that stalls once, and the expected attempt of the mail concerned.
struct Stall {
    at: FaultPhase,
    /// FaultPhase, timeout and verdict of the attempt.
    expected: (&'static str, &'static str, &'static str),
    server: FakeSmtp,
    queue: QueueName,
}

const TIMEOUTS: &str = "{ greeting = '3s', command = '3200ms', tls = '3400ms', data = '3600ms', dot = '3800ms' }";

const STALLS: [(FaultPhase, &str, &str, &str); 12] = [
    (FaultPhase::Accept, "greeting", "3s", "nothing_sent"),
    (FaultPhase::Banner, "greeting", "3s", "nothing_sent"),
    (FaultPhase::Ehlo, "ehlo", "3.2s", "nothing_sent"),
    (FaultPhase::StartTls, "starttls", "3.2s", "nothing_sent"),
    (FaultPhase::Tls, "tls", "3.4s", "nothing_sent"),
    (FaultPhase::Auth, "auth", "3.2s", "nothing_sent"),
    (FaultPhase::Mail, "mail", "3.2s", "nothing_sent"),
    (FaultPhase::Rcpt, "rcpt", "3.2s", "nothing_sent"),
    (FaultPhase::Data, "data", "3.6s", "nothing_sent"),
    (FaultPhase::Body, "body", "3.6s", "nothing_sent"),
    // Plus some time for the length of the mail.
    (FaultPhase::Dot, "dot", "3.8", "unknown"),
    (FaultPhase::Idle, "mail", "3.2s", "nothing_sent"),
];

const MAILS: usize = 4;

impl Stall {
    async fn start((at, phase, limit, verdict): (FaultPhase, &'static str, &'static str, &'static str)) -> Self {
        let server = FakeSmtp::builder().tls(TlsMode::StartTlsRequired).auth("ada", "secret").start().await;
        server.fault(Fault::at(at, Action::Stall).times(1));
        let queue = format!("{at:?}").to_lowercase().parse().expect("a queue's name");
        Self { at, expected: (phase, limit, verdict), server, queue }
    }

    /// Returns the transport and the queue as toml.
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
        if self.at == FaultPhase::Body {
            // More than the socket buffers of both sides hold.
            mail.text = Some("A line of a long letter.\n".repeat(60_000).into());
        }
        mail
    }

    async fn enqueue(&self, fixture: &Fixture, number: usize) -> JobId {
        let mut terms = terms();
        terms.policy.on_unknown = OnUnknown::Hold;
        let id = JobId::new(self.queue.clone());
        let job = NewJob { id: id.clone(), mail: self.mail(number) };
        fixture.store.enqueue(&self.queue, None, &terms, &[job]).await.expect("enqueued");
        id
    }

    /// Checks that one mail met the stall and is not lost, and that the others were sent.
    fn check(&self, jobs: &[JobReport]) {
        let name = &self.queue;
        let (phase, limit, verdict) = self.expected;
        let (late, others): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job.attempts[0].verdict != "accepted");
        assert_eq!(late.len(), 1, "{name}: not one mail met the stall: {jobs:?}");
        let stalled = &late[0].attempts[0];
        assert_eq!(
            (stalled.phase.as_deref(), stalled.verdict.as_str(), stalled.counted),
            (Some(phase), verdict, false),
            "{stalled:?}"
        );
        assert!(stalled.reply.contains(&format!("timed out after {limit}")), "{name}: {stalled:?}");
        assert_eq!(late[0].attempt, 0, "{name}: the stall costs an attempt");
        for other in others {
            assert_eq!((other.state, other.attempts.len()), (JobState::Sent, 1), "{name}: {other:?}");
            assert!(other.attempts[0].ms < stalled.ms, "{name}: another mail waited for the stalled one: {other:?}");
            // Both times are RFC 3339 in UTC.
            let retried = late[0].attempts.get(1).map(postroom_core::AttemptRecord::at);
            assert!(retried.is_none_or(|at| other.finished_at.as_ref() < Some(&at)), "{name}: {other:?}");
        }
        let mut arrived: Vec<String> = self.server.received().into_iter().flat_map(|mail| mail.rcpt_to).collect();
        arrived.sort();
        let all = (0..MAILS).map(|number| format!("{name}{number}@example.org"));
        let in_doubt = late[0].to[0].address.as_str();
        let expected: Vec<_> = all.filter(|to| verdict != "unknown" || to != in_doubt).collect();
        arrived.retain(|to| !to.starts_with("warm"));
        assert_eq!(arrived, expected, "{name}: not each mail once");
        assert_eq!(self.server.violations(), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn a_stall_at_each_of_twelve_phases_ends_at_its_timeout() {
    let fixture = Fixture::on(PrivateRedis::shared(), FakeSmtp::start().await).await;
    let mut stalls = Vec::new();
    for row in STALLS {
        stalls.push(Stall::start(row).await);
    }
    let toml: String = stalls.iter().map(|stall| stall.describe(fixture.folder())).collect();
    fs::write(fixture.folder().join("postroom.toml"), toml).expect("written");
    let queues: Vec<_> = stalls.iter().map(|stall| stall.queue.to_string()).collect();
    let _worker = fixture.worker(&["--queues", &queues.join(","), "--concurrency", "60"]).await;

    // The connection that stalls while idle must exist first.
    let idle = stalls.iter().find(|stall| stall.at == FaultPhase::Idle).expect("a row");
    let mut warm = idle.mail(0);
    warm.to = mail_to("warm@example.org").to;
    let id = JobId::new(idle.queue.clone());
    let job = NewJob { id: id.clone(), mail: warm };
    fixture.store.enqueue(&idle.queue, None, &terms(), &[job]).await.expect("enqueued");
    fixture.reaches(&id, JobState::Sent).await;

    let mut ids = Vec::new();
    for stall in &stalls {
        let mut own = Vec::new();
        for number in 0..MAILS {
            own.push(stall.enqueue(&fixture, number).await);
        }
        ids.push(own);
    }
    for (stall, ids) in stalls.iter().zip(&ids) {
        let mut jobs = Vec::new();
        for id in ids {
            jobs.push(settled(&fixture, id).await);
        }
        stall.check(&jobs);
    }
}

async fn settled(fixture: &Fixture, id: &JobId) -> JobReport {
    eventually(LIMIT, &format!("{id} is settled"), async || {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some(fixture.job(id).await).filter(|job| matches!(job.state, JobState::Sent | JobState::Unknown))
    })
    .await
}
