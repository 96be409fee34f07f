//! Addresses, secrets and content, which no log may contain at any level.

use std::time::Duration;

use postroom_core::{Backoff, JobId, JobState};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, PrivateRedis};
use serde_json::json;

use crate::fixture::{Fixture, LIMIT, terms};

const PASSWORD: &str = "pw-tr0ub4dor";
const SECRET: &str = "token-93hf7sk2";
const BODY: &str = "confidential-words-of-the-body";
const SUBJECT: &str = "confidential-subject";
/// Part of every recipient here.
const NAME: &str = "recognisable.person";
/// Allowed in logs, in addresses that are masked.
const DOMAIN: &str = "example.org";

async fn fixture(level: &str, format: &str) -> Fixture {
    let smtp = FakeSmtp::builder().auth("ada-login", PASSWORD).start().await;
    let mut fixture = Fixture::on(PrivateRedis::shared(), smtp).await;
    fixture.env.retain(|(name, _)| name != "LOG_LEVEL");
    let more =
        [("SMTP_USERNAME", "ada-login"), ("SMTP_PASSWORD", PASSWORD), ("LOG_LEVEL", level), ("LOG_FORMAT", format)];
    fixture.env.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let folder = fixture.folder().join("templates");
    for (name, body) in [("good", "{{ secret }}"), ("broken", "{{ secret }} {{ secret.not.defined }}")] {
        std::fs::create_dir_all(folder.join(name)).expect("a folder");
        std::fs::write(folder.join(name).join("subject.txt"), SUBJECT).expect("a file");
        std::fs::write(folder.join(name).join("body.txt"), format!("{BODY} {body}")).expect("a file");
    }
    fixture
}

fn recipient(number: u32) -> String {
    format!("{NAME}.{number}@{DOMAIN}")
}

/// Sets faults whose replies repeat addresses, as many servers do.
fn faults(smtp: &FakeSmtp) {
    let refuse = |number: u32, at: FaultPhase, code: u16, words: &str| {
        let action = Action::reply(code, &format!("{words} <{}>", recipient(number)));
        smtp.fault(Fault::at(at, action).recipient(&recipient(number)).times(1));
    };
    refuse(1, FaultPhase::Rcpt, 451, "4.2.1 later for");
    refuse(2, FaultPhase::Rcpt, 550, "5.1.1 nobody here named");
    refuse(3, FaultPhase::Dot, 421, "4.7.0 too fast for");
    refuse(4, FaultPhase::Dot, 535, "5.7.8 not for");
    smtp.fault(Fault::at(FaultPhase::Data, Action::Reset).recipient(&recipient(5)).times(1));
    smtp.fault(Fault::at(FaultPhase::Dot, Action::StoreThenClose).recipient(&recipient(6)).times(1));
}

#[tokio::test]
async fn no_log_line_contains_an_address_or_content() {
    for (level, format) in [("debug", "text"), ("trace", "json")] {
        let fixture = fixture(level, format).await;
        faults(&fixture.smtp);
        let mut terms = terms();
        terms.policy.backoff = Backoff::Fixed(Duration::from_millis(50));
        terms.sensitive = true;
        let send = async |number: u32, template: &str| {
            let name = format!("Recognisable <{}>", recipient(number));
            let mail = json!({"to": name, "template": template, "vars": {"secret": SECRET}});
            fixture.enqueue_on(&terms, serde_json::from_value(mail).expect("a mail")).await
        };
        let (unreadable, unreadable_by_all) = (send(90, "good").await, send(91, "good").await);
        spoil(&fixture, &unreadable, |payload| {
            let header = payload.lines().next().expect("a header");
            format!("{header}\n{{\"to\": [\"{}\"], {SECRET}", recipient(90))
        });
        spoil(&fixture, &unreadable_by_all, |_| format!("1 {} {SECRET}\n{BODY}", recipient(91)));
        let worker = fixture.worker(&["--concurrency", "1"]).await;
        let (broken, late) = (send(92, "broken").await, send(93, "not-there-yet").await);
        let mut ids = Vec::new();
        for number in 0..8 {
            ids.push(send(number, "good").await);
        }
        for (number, id) in ids.iter().enumerate() {
            fixture.reaches(id, if number == 2 { JobState::Failed } else { JobState::Sent }).await;
        }
        for id in [&unreadable, &unreadable_by_all, &broken] {
            fixture.reaches(id, JobState::Failed).await;
        }
        fixture.reaches(&late, JobState::Deferred).await;
        let log = worker.stderr();
        assert!(
            log.contains(&ids[2].to_string()) && log.contains("***@example.org"),
            "the failures are missing: {log}"
        );
        for word in [PASSWORD, SECRET, BODY, SUBJECT, NAME, "Recognisable"] {
            let line = log.lines().find(|line| line.contains(word));
            assert_eq!(line, None, "{level} {format}: {word}");
        }
        fixture.smtp.wait_for(8, LIMIT).await;
    }
}

/// Overwrites the payload of a job.
fn spoil(fixture: &Fixture, id: &JobId, change: impl Fn(&str) -> String) {
    let key = fixture.payload_key(id);
    let redis = PrivateRedis::shared();
    let spoiled = change(&redis.ask(&["GET", &key]));
    assert_eq!(redis.ask(&["SET", &key, &spoiled]), "OK");
}
