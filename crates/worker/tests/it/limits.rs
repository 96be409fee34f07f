//! Limits that several workers share.

use std::time::{Duration, Instant};

use postroom_core::{JobState, Mail, Priority, QueueName, store::LimitName};
use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase, Process, Received, eventually};

use crate::fixture::{Fixture, LIMIT, mail_to, mailbox, plain, terms};

async fn limited(rate: &str) -> Fixture {
    let fixture = Fixture::new().await;
    let limit = LimitName::Transport("default".to_owned());
    fixture.store.set_live_limit(&limit, Some(rate.parse().expect("a rate"))).await.expect("set");
    fixture
}

/// Checks that no mail comes earlier than its spacing allows, except for `slack`: on a busy machine
/// a mail may be late and the next on time.
fn keeps_to(received: &[Received], spacing: Duration, slack: Duration) {
    let at: Vec<Instant> = received.iter().map(|mail| mail.at).collect();
    for (index, time) in at.iter().enumerate() {
        let due = at[0] + spacing * u32::try_from(index).expect("few");
        assert!(*time + slack >= due, "mail {index} is {:?} too early", due - *time);
    }
}

#[tokio::test]
async fn a_rate_holds_across_workers_that_start_and_stop() {
    let fixture = limited("40/s").await;
    let mut terms = terms();
    terms.policy.lease = Duration::from_secs(2);
    fixture.enqueue_batch(&fixture.queue, &terms, plain(), 200).await;
    let mut first = fixture.worker(&["--concurrency", "5"]).await;
    let _second = fixture.worker(&["--concurrency", "5"]).await;
    fixture.smtp.wait_for(40, LIMIT).await;
    first.kill();
    let _third = fixture.worker(&["--concurrency", "5"]).await;
    let received = fixture.smtp.wait_for(190, LIMIT).await;
    keeps_to(&received, Duration::from_millis(25), Duration::from_millis(300));
    let took = received[189].at - received[0].at;
    assert!(took >= Duration::from_millis(4_600), "{took:?} for 190 mails at 40 a second");
}

#[tokio::test]
async fn an_urgent_mail_does_not_wait_behind_a_limited_newsletter() {
    let fixture = limited("2/s").await;
    fixture.enqueue_batch(&QueueName::bulk(), &terms(), plain(), 500).await;
    let _bulk = fixture.worker(&["--queues", "bulk"]).await;
    let _emails = fixture.worker(&["--queues", "emails"]).await;
    fixture.smtp.wait_for(2, LIMIT).await;
    let mut urgent = terms();
    urgent.priority = Priority::try_from(0).expect("a priority");
    let id = fixture.enqueue_on(&urgent, mail_to("ann@example.org")).await;
    let before = fixture.smtp.received_count();
    fixture.reaches(&id, JobState::Sent).await;
    let others = fixture.smtp.received_count() - before - 1;
    assert!(others <= 2, "{others} mails of the newsletter were sent first");
}

#[tokio::test]
async fn a_limit_can_be_removed_while_it_holds_mail() {
    let fixture = limited("1/h").await;
    let limit = LimitName::Transport("default".to_owned());
    let _worker: Process = fixture.worker(&[]).await;
    let ids = [fixture.enqueue(mail_to("ann@example.org")).await, fixture.enqueue(mail_to("ben@example.org")).await];
    fixture.smtp.wait_for(1, LIMIT).await;
    fixture.store.set_live_limit(&limit, None).await.expect("removed");
    for id in &ids {
        fixture.reaches(id, JobState::Sent).await;
    }
}

/// The replies take 30 ms, which must not bunch the following mails.
#[tokio::test]
async fn a_slow_server_does_not_bunch_mails() {
    let fixture = Fixture::on(postroom_testkit::PrivateRedis::shared(), FakeSmtp::start().await).await;
    let limit = LimitName::Queue(fixture.queue.clone());
    fixture.store.set_live_limit(&limit, Some("20/s".parse().expect("a rate"))).await.expect("set");
    fixture.smtp.fault(Fault::at(FaultPhase::Dot, Action::Delay(Duration::from_millis(30))));
    fixture.enqueue_batch(&fixture.queue, &terms(), plain(), 60).await;
    let _worker = fixture.worker(&["--concurrency", "8"]).await;
    let received = eventually(LIMIT, "all mails", async || {
        let received = fixture.smtp.received();
        (received.len() == 60).then_some(received)
    })
    .await;
    keeps_to(&received, Duration::from_millis(50), Duration::from_millis(300));
}

/// A hundred mails to each of two domains; one of the domains may get one mail an hour.
#[tokio::test]
async fn a_limited_domain_does_not_delay_others() {
    let fixture = Fixture::new().await;
    fixture.configure(&[], "[domain.\"slow.example\"]\nrate = \"1/h\"\n");
    for index in 0..100 {
        fixture.enqueue(mail_to(&format!("user{index}@slow.example"))).await;
        fixture.enqueue(mail_to(&format!("user{index}@fast.example"))).await;
    }
    let _worker = fixture.worker(&[]).await;
    fixture.smtp.wait_for(101, LIMIT).await;
    let arrived = fixture.arrived();
    assert_eq!(arrived.iter().filter(|to| to.ends_with("@fast.example")).count(), 100, "{arrived:?}");
    let limit: LimitName = "domain.slow.example".parse().expect("a limit");
    fixture.store.set_live_limit(&limit, None).await.expect("removed");
    fixture.smtp.wait_for(200, LIMIT).await;
}

#[tokio::test]
async fn a_limit_of_a_template_holds_across_workers() {
    let fixture = Fixture::new().await;
    std::fs::create_dir_all(fixture.folder().join("templates/news")).expect("a folder");
    std::fs::write(fixture.folder().join("templates/news/subject.txt"), "News").expect("a file");
    std::fs::write(fixture.folder().join("templates/news/body.txt"), "Text").expect("a file");
    fixture.configure(&[], "[template.news]\nrate = \"20/s\"\n");
    let mut mail = Mail { template: Some("news".to_owned()), ..mail_to("ann@example.org") };
    (mail.subject, mail.text) = (None, None);
    for _ in 0..40 {
        fixture.enqueue(mail.clone()).await;
    }
    let (_one, _two) = (fixture.worker(&[]).await, fixture.worker(&[]).await);
    let received = fixture.smtp.wait_for(40, LIMIT).await;
    let took = received[39].at - received[0].at;
    assert!(took >= Duration::from_millis(1_800), "{took:?} for 40 mails at 20 a second");
}

/// Each slot that bulk may use waits for a server that does not reply for long.
#[tokio::test]
async fn slots_are_reserved_for_urgent_mail() {
    let fixture = Fixture::new().await;
    fixture.smtp.fault(Fault::at(FaultPhase::Dot, Action::Delay(Duration::from_secs(600))).sender("news@example.org"));
    let shared = Mail { from: Some(mailbox("news@example.org")), ..plain() };
    fixture.enqueue_batch(&QueueName::bulk(), &terms(), shared, 50).await;
    let _worker = fixture.worker(&["--concurrency", "5", "--queues", "bulk,emails"]).await;
    fixture.reports("bulk fills its slots", |info| info.sending.len() == 3).await;
    let id = fixture.enqueue(mail_to("ann@example.org")).await;
    fixture.reaches(&id, JobState::Sent).await;
    let mut urgent = terms();
    urgent.priority = Priority::LAST_URGENT;
    let id = fixture.enqueue_on(&urgent, mail_to("ben@example.org")).await;
    fixture.reaches(&id, JobState::Sent).await;
}
