//! Enqueueing of firings, and its idempotence.

use std::time::Duration;

use postroom_core::{
    Error, JobState, QueueName,
    store::{Firing, TickReply},
};

use crate::fixture::{EACH_SECOND, Fixture, batch, job, only};

const MORNING: &str = "
    [template.report]
    priority = 2
    attempts = 3
    sensitive = true
    [[schedule]]
    name = 'morning'
    cron = '0 8 * * *'
    timezone = 'Europe/Warsaw'
    template = 'report'
    locale = 'pl'
    expires_in = '2h'
    vars = { title = 'Żółć' }
    to = ['Ann <ann@example.org>', 'ben@example.org', 'ANN@example.org', 'ann@example.org']
";

/// Decides what is due, as a beat that dies before it enqueues.
async fn decide(fixture: &Fixture<'_>, name: &str) -> Vec<Firing> {
    let schedule = fixture.schedule(name).await;
    let plan = schedule.plan(fixture.now_ms());
    assert_eq!(fixture.store.tick(&schedule, &plan).await.expect("ticked"), TickReply::Ticked);
    let outbox = fixture.store.due_schedules().await.expect("read").outbox;
    assert_eq!(outbox.len(), plan.fire_ms.len());
    outbox
}

#[tokio::test]
async fn firings_of_a_dead_beat_are_enqueued_once() {
    let fixture = Fixture::new().await;
    let mut beat = fixture.beat(EACH_SECOND).await;
    let from_ms = fixture.set_back("tick", Duration::from_secs(3));
    let outbox = decide(&fixture, "tick").await;
    assert!(outbox.len() >= 3);
    // One firing was enqueued before the beat died, and was cancelled since.
    fixture.store.enqueue_firing(&outbox[0], &fixture.settings("")).await.expect("enqueued");
    fixture.store.cancel(&job(&outbox[0].id), "person").await.expect("cancelled");

    let report = beat.run_once().await.expect("a pass");
    assert_eq!(report.enqueued, outbox.len());
    assert_eq!(fixture.store.job(&job(&outbox[0].id)).await.expect("read").expect("a job").state, JobState::Cancelled);
    fixture.assert_each_time_once(Some(from_ms)).await;
    assert_eq!(fixture.store.due_schedules().await.expect("read").outbox, []);
}

#[tokio::test]
async fn decided_firings_are_sent_after_their_schedule_is_removed() {
    let fixture = Fixture::new().await;
    fixture.beat(EACH_SECOND).await;
    fixture.set_back("tick", Duration::from_secs(2));
    let outbox = decide(&fixture, "tick").await;
    let mut beat = fixture.beat("").await;
    assert_eq!(beat.run_once().await.expect("a pass").enqueued, outbox.len());
    let job = fixture.store.job(&job(&outbox[0].id)).await.expect("read").expect("a job");
    assert_eq!(job.mail.expect("content").subject.as_deref(), Some("Tick"));
}

#[tokio::test]
async fn a_schedule_sends_one_mail_to_all() {
    let fixture = Fixture::new().await;
    let settings = fixture.settings(MORNING);
    fixture.beat(MORNING).await;
    let id = fixture.store.run_schedule_now("morning", &settings).await.expect("run");
    let job = fixture.store.job(&job(&id)).await.expect("read").expect("a job");
    assert_eq!((job.state, job.queue, job.to.len()), (JobState::Queued, QueueName::emails(), 4));
    assert_eq!(
        (job.priority.map(postroom_core::Priority::get), job.max_attempts, job.sensitive),
        (Some(2), Some(3), true)
    );
    let mail = job.mail.expect("content");
    assert_eq!((mail.template.as_deref(), mail.locale.as_deref()), (Some("report"), Some("pl")));
    assert_eq!(mail, only(&settings).mail);
    assert!(job.expires_at.is_some());
    // A manual run may be repeated, and does not change the scheduled times.
    let again = fixture.store.run_schedule_now("morning", &settings).await.expect("run");
    assert_ne!(again, id);
    assert_eq!(fixture.field("morning", "last_id"), "");
    let missing = fixture.store.run_schedule_now("evening", &settings).await;
    assert!(matches!(&missing, Err(Error::NotFound(what)) if what.contains("evening")), "{missing:?}");
}

#[tokio::test]
async fn a_schedule_with_each_sends_a_batch() {
    let fixture = Fixture::new().await;
    let toml = format!("{MORNING}each = true\nenabled = false\n");
    let settings = fixture.settings(&toml);
    fixture.beat(&toml).await;
    let id = batch(&fixture.store.run_schedule_now("morning", &settings).await.expect("a run of a disabled schedule"));
    let report = fixture.store.batch(&id).await.expect("read").expect("a batch");
    assert_eq!((report.name.as_str(), report.queue.as_str(), report.sealed), ("morning", "bulk", true));
    // The case of letters does not tell addresses apart.
    assert_eq!((report.total, report.queued, report.duplicates), (2, 2, 2));
    let shared = fixture.store.batch_content(&id).await.expect("read").expect("content");
    assert!(shared.to.is_empty() && shared.vars.is_empty(), "each mail has its own sensitive variables: {shared:?}");
    for (index, address) in (0..).zip(["ann@example.org", "ben@example.org"]) {
        let job = fixture.store.job(&id.job(index)).await.expect("read").expect("a job");
        assert_eq!(job.to.iter().map(|to| to.address.to_string()).collect::<Vec<_>>(), [address]);
        assert_eq!(job.mail.expect("content").vars["title"], "Żółć");
    }
}

#[tokio::test]
async fn a_batch_is_enqueued_once() {
    let fixture = Fixture::new().await;
    let toml = "[[schedule]]\nname = 'news'\nevery = '1s'\ntemplate = 't'\nto = ['a@x.org', 'b@x.org']\neach = true\n";
    let mut beat = fixture.beat(toml).await;
    fixture.set_back("news", Duration::from_secs(2));
    let outbox = decide(&fixture, "news").await;
    // The first batch was enqueued; the second was enqueued and cancelled.
    fixture.store.enqueue_firing(&outbox[0], &fixture.settings(toml)).await.expect("enqueued");
    fixture.store.enqueue_firing(&outbox[1], &fixture.settings(toml)).await.expect("enqueued");
    fixture.store.cancel_batch(&batch(&outbox[1].id)).await.expect("cancelled");
    assert_eq!(beat.run_once().await.expect("a pass").enqueued, outbox.len());
    let report = async |at: usize| fixture.store.batch(&batch(&outbox[at].id)).await.expect("read").expect("a batch");
    let (first, second) = (report(0).await, report(1).await);
    assert_eq!((first.total, first.queued, first.sealed), (2, 2, true));
    assert_eq!((second.total, second.cancelled), (2, 2));
    // The next second may have passed meanwhile.
    let left = fixture.store.due_schedules().await.expect("read").outbox;
    assert!(left.iter().all(|firing| !outbox.contains(firing)), "{left:?}");
}
