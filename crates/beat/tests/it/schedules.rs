//! Tests of the schedules in the file and their stored form.

use std::time::Duration;

use postroom_core::{QueueName, schedule::Timing, store::PutReply};

use crate::fixture::{EACH_SECOND, Fixture, only};

const DAILY: &str = "
    [[schedule]]
    name = 'daily'
    cron = '30 2 * * *'
    timezone = 'Europe/Warsaw'
    template = 'report'
    to = ['Ann <ann@example.org>']
";

#[tokio::test]
async fn an_unchanged_file_leaves_a_live_edit_alone() {
    let fixture = Fixture::new().await;
    fixture.beat(EACH_SECOND).await;
    let edited = fixture.field("tick", "definition").replace("Tock", "edited");
    fixture.set_field("tick", "definition", &edited);
    let cursor = fixture.field("tick", "cursor_ms");

    fixture.beat(EACH_SECOND).await;
    assert_eq!(fixture.schedule("tick").await.settings.mail.text.as_deref(), Some("edited"));
    assert_eq!((fixture.field("tick", "revision"), fixture.field("tick", "cursor_ms")), ("1".to_owned(), cursor));

    let changed = EACH_SECOND.replace("Tock", "changed");
    fixture.beat(&changed).await;
    assert_eq!(fixture.schedule("tick").await.settings.mail.text.as_deref(), Some("changed"));
    assert_eq!(fixture.field("tick", "revision"), "2");
}

#[tokio::test]
async fn schedules_are_stored_unchanged() {
    let fixture = Fixture::new().await;
    let toml = format!("{DAILY}expires_in = '1h'\npriority = 3\nmissed = 'skip'\neach = true\nqueue = 'mine'\n");
    for toml in [DAILY, EACH_SECOND, &toml, &format!("{DAILY}enabled = false\ngrace = '5m'\n")] {
        let schedule = only(&fixture.settings(toml));
        fixture.store.put_schedule(&schedule).await.expect("kept");
        assert_eq!(fixture.schedule(&schedule.name).await.settings, schedule);
        assert_eq!(fixture.store.put_schedule(&schedule).await.expect("kept"), PutReply::Unchanged);
    }
}

#[tokio::test]
async fn new_content_keeps_the_cursor_and_a_new_timing_resets_it() {
    let fixture = Fixture::new().await;
    fixture.beat(DAILY).await;
    let cursor_ms = fixture.set_back("daily", Duration::from_secs(600));
    fixture.beat(&DAILY.replace("report", "summary")).await;
    assert_eq!(fixture.schedule("daily").await.cursor_ms, cursor_ms);
    fixture.beat(&DAILY.replace("30 2", "30 3")).await;
    assert!(fixture.schedule("daily").await.cursor_ms > cursor_ms);

    let cursor_ms = fixture.set_back("daily", Duration::from_secs(600));
    fixture.beat(&format!("{}enabled = false", DAILY.replace("30 2", "30 3"))).await;
    assert_eq!(fixture.schedule("daily").await.cursor_ms, cursor_ms);
    fixture.beat(&DAILY.replace("30 2", "30 3")).await;
    assert!(fixture.schedule("daily").await.cursor_ms > cursor_ms, "times missed while disabled are skipped");
}

#[tokio::test]
async fn a_schedule_missing_from_the_file_is_removed_if_the_file_created_it() {
    let fixture = Fixture::new().await;
    fixture.beat(&format!("{EACH_SECOND}{DAILY}")).await;
    let id = fixture.schedule("tick").await.id;
    fixture.set_field("daily", "source", "person");
    fixture.beat("").await;
    let left: Vec<String> = fixture.store.schedules().await.expect("read").into_iter().map(|one| one.name).collect();
    assert_eq!(left, ["daily"]);
    // A schedule that is created again has a new id, so its firings have new ids.
    fixture.beat(EACH_SECOND).await;
    assert_ne!(fixture.schedule("tick").await.id, id);
}

#[tokio::test]
async fn missed_times_fire_within_their_grace_period() {
    let fixture = Fixture::new().await;
    // The interval's last time must be more than a minute ago, or it would not count as missed.
    let now_ms = fixture.now_ms();
    let minutes = (60..70).find(|minutes| now_ms % (minutes * 60_000) > 180_000).expect("one of ten");
    let hourly = EACH_SECOND.replace("1s", &format!("{minutes}m"));
    // No beat ran for a day, so the grace period decides.
    for (missed, mails) in
        [("missed = 'skip'", 0), ("missed = 'run'\ngrace = '2h'", 1), ("missed = 'run'\ngrace = '1s'", 0)]
    {
        let before = fixture.enqueued(&QueueName::emails()).await;
        let mut beat = fixture.beat(&format!("{hourly}{missed}")).await;
        fixture.set_back("tick", Duration::from_secs(86_400));
        beat.run_once().await.expect("a pass");
        beat.run_once().await.expect("a pass");
        assert_eq!(fixture.enqueued(&QueueName::emails()).await - before, mails, "{missed}");
        assert!(fixture.schedule("tick").await.cursor_ms > fixture.now_ms() - 70 * 60_000, "{missed}");
    }
}

#[tokio::test]
async fn a_disabled_schedule_does_not_fire() {
    let fixture = Fixture::new().await;
    let mut beat = fixture.beat(&format!("{EACH_SECOND}enabled = false")).await;
    fixture.set_field("tick", "cursor_ms", "1000");
    let report = beat.run_once().await.expect("a pass");
    assert_eq!((report.fired, report.enqueued), (0, 0));
    assert_eq!(fixture.store.schedules().await.expect("read")[0].next, Vec::<String>::new());
}

#[tokio::test]
async fn schedules_are_listed_with_their_next_times() {
    let fixture = Fixture::new().await;
    let mut beat = fixture.beat(&format!("{EACH_SECOND}{DAILY}")).await;
    fixture.set_back("tick", Duration::from_secs(1));
    while beat.run_once().await.expect("a pass").fired == 0 {}
    let reports = fixture.store.schedules().await.expect("read");
    assert_eq!(reports.len(), 2);
    let named = |name: &str| reports.iter().find(|report| report.name == name).expect("a schedule");
    let (tick, daily) = (named("tick"), named("daily"));
    assert_eq!((tick.name.as_str(), tick.timing.as_str(), tick.timezone.as_deref()), ("tick", "every 1s", None));
    assert!(tick.last_at.is_some() && tick.last_id.is_some() && tick.enabled && tick.source == "file");
    assert_eq!((daily.timing.as_str(), daily.timezone.as_deref()), ("30 2 * * *", Some("Europe/Warsaw")));
    assert_eq!((daily.template.as_deref(), daily.last_at.as_deref()), (Some("report"), None));
    let json = serde_json::to_value(daily).expect("JSON");
    assert_eq!((json["to"][0].as_str(), json["queue"].as_str()), (Some("Ann <ann@example.org>"), Some("emails")));
    for report in [tick, daily] {
        let mut sorted = report.next.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((report.next.len(), &sorted), (5, &report.next));
    }
}

#[tokio::test]
async fn unreadable_schedules_do_not_block_others() {
    let fixture = Fixture::new().await;
    let many: String = (0..130).map(|n| EACH_SECOND.replace("'tick'", &format!("'tick-{n}'"))).collect();
    let mut beat = fixture.beat(&many).await;
    for n in 0..130 {
        fixture.set_back(&format!("tick-{n}"), Duration::from_secs(1));
    }
    fixture.set_field("tick-7", "definition", "{}");
    fixture.set_field(
        "tick-8",
        "definition",
        &fixture.field("tick-9", "definition").replace("every_ms\":1000", "x\":1"),
    );
    while fixture.enqueued(&QueueName::emails()).await < 128 {
        beat.run_once().await.expect("a pass");
    }
    let due = fixture.store.due_schedules().await.expect("read");
    assert_eq!(due.unreadable.len(), 2, "{:?}", due.unreadable);
    assert!(due.unreadable[0].contains("tick-7"), "{:?}", due.unreadable);
}

#[tokio::test]
async fn a_cron_schedule_is_stored_unchanged() {
    let fixture = Fixture::new().await;
    fixture.beat(DAILY).await;
    let stored = fixture.schedule("daily").await.settings.timing;
    let warsaw = "Europe/Warsaw".parse().expect("a zone");
    assert_eq!(stored, Timing::Cron { expression: "30 2 * * *".to_owned(), timezone: warsaw });
}
