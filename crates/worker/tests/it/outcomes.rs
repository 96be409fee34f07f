//! Results of mails for each reply of the server.

use std::time::Duration;

use postroom_core::{JobState, OnUnknown, RecipientResult};
use postroom_testkit::{Action, Fault, FaultPhase, eventually};
use serde_json::json;

use crate::fixture::{Fixture, LIMIT, mail_to, terms};

#[tokio::test]
async fn a_mail_arrives_and_is_recorded_as_sent() {
    let fixture = Fixture::new().await;
    let _worker = fixture.worker(&[]).await;
    let id = fixture.enqueue(mail_to("Ann <ann@example.org>")).await;
    let report = fixture.reaches(&id, JobState::Sent).await;
    let mails = fixture.smtp.wait_for(1, LIMIT).await;
    assert_eq!(mails[0].rcpt_to, ["ann@example.org"]);
    assert_eq!(mails[0].mail_from, "post@example.org");
    assert_eq!(mails[0].header("Message-ID"), report.message_id.map(|id| format!("<{id}>")));
    assert_eq!(fixture.smtp.violations(), Vec::<String>::new());
    assert_eq!(report.attempts.len(), 1);
    assert_eq!((report.attempts[0].verdict.as_str(), report.attempts[0].code), ("accepted", Some(250)));
    assert_eq!((report.attempt, report.error), (0, None));
    assert!(report.receipt.is_some());
}

#[tokio::test]
async fn a_refusal_fails_at_once_with_the_reply_of_the_server() {
    let fixture = Fixture::new().await;
    fixture.smtp.fault(
        Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 No such user here")).recipient("gone@example.org"),
    );
    let _worker = fixture.worker(&[]).await;
    let id = fixture.enqueue(mail_to("gone@example.org")).await;
    let report = fixture.reaches(&id, JobState::Failed).await;
    let error = report.error.expect("an error");
    assert!(error.message.contains("No such user here"), "{error:?}");
    assert_eq!(report.reason.as_deref(), Some("refused"));
    assert_eq!((report.attempt, report.attempts.len()), (1, 1));
    assert_eq!((report.attempts[0].code, report.attempts[0].phase.as_deref()), (Some(550), Some("rcpt")));
    assert_eq!(report.recipients[0].result, RecipientResult::Refused);
}

#[tokio::test]
async fn each_recipient_has_its_own_result() {
    let fixture = Fixture::new().await;
    fixture.smtp.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 gone")).recipient("gone@example.org"));
    fixture
        .smtp
        .fault(Fault::at(FaultPhase::Rcpt, Action::reply(451, "4.2.1 later")).recipient("later@example.org").times(1));
    let _worker = fixture.worker(&[]).await;
    let mail =
        json!({"to": ["ann@example.org", "gone@example.org"], "bcc": "later@example.org", "subject": "s", "text": "t"});
    let mut terms = terms();
    terms.policy.backoff = postroom_core::Backoff::Fixed(Duration::from_millis(100));
    let id = fixture.enqueue_on(&terms, serde_json::from_value(mail).expect("a mail")).await;
    let report = fixture.reaches(&id, JobState::Sent).await;
    assert_eq!(fixture.arrived(), ["ann@example.org", "later@example.org"], "a recipient got the mail twice");
    let results: Vec<_> =
        report.recipients.iter().map(|recipient| (recipient.address.as_str(), recipient.result)).collect();
    assert_eq!(
        results,
        [
            ("ann@example.org", RecipientResult::Accepted),
            ("gone@example.org", RecipientResult::Refused),
            ("later@example.org", RecipientResult::Accepted)
        ]
    );
    let mails = fixture.smtp.received();
    assert_eq!(mails[0].data, mails[1].data, "the same bytes on every attempt");
    assert!(!mails[0].text().contains("later@example.org"), "the message names a bcc recipient");
}

#[tokio::test]
async fn a_lost_reply_is_settled_by_the_policy() {
    for (policy, state, copies) in [
        (OnUnknown::Hold, JobState::Unknown, 1),
        (OnUnknown::Fail, JobState::Failed, 1),
        (OnUnknown::Resend, JobState::Sent, 2),
    ] {
        let fixture = Fixture::new().await;
        fixture.smtp.fault(Fault::at(FaultPhase::Dot, Action::StoreThenClose).times(1));
        let _worker = fixture.worker(&[]).await;
        let mut terms = terms();
        terms.policy.on_unknown = policy;
        let id = fixture.enqueue_on(&terms, mail_to("ann@example.org")).await;
        let report = fixture.reaches(&id, state).await;
        assert_eq!(report.attempts[0].verdict, "unknown", "{policy:?}");
        let mails = fixture.smtp.received();
        assert_eq!(mails.len(), copies, "{policy:?}");
        assert!(mails.iter().all(|mail| mail.data == mails[0].data), "a second copy is the same message");
    }
}

#[tokio::test]
async fn a_server_that_is_down_costs_no_attempt() {
    let fixture = Fixture::new().await;
    fixture.smtp.stop();
    let _worker = fixture.worker(&[]).await;
    let id = fixture.enqueue(mail_to("ann@example.org")).await;
    let report = eventually(LIMIT, "two attempts", async || {
        Some(fixture.job(&id).await).filter(|job| job.attempts.last().is_some_and(|attempt| attempt.n >= 2))
    })
    .await;
    assert_eq!(report.attempt, 0);
    assert!(report.attempts.iter().all(|attempt| !attempt.counted && attempt.verdict == "nothing_sent"), "{report:?}");
    fixture.smtp.start_again();
    fixture.reaches(&id, JobState::Sent).await;
    assert_eq!(fixture.arrived(), ["ann@example.org"]);
}

#[tokio::test]
async fn a_wrong_password_fails_no_mail() {
    let fixture = Fixture::new().await;
    fixture.smtp.fault(Fault::at(FaultPhase::Mail, Action::reply(530, "5.7.0 Authentication required")).times(1));
    let _worker = fixture.worker(&[]).await;
    let id = fixture.enqueue(mail_to("ann@example.org")).await;
    let report = fixture.reaches(&id, JobState::Sent).await;
    assert_eq!(report.attempts[0].verdict, "account");
    assert_eq!(report.attempt, 0);
}
