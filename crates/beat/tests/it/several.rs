//! Tests of several beats: each time fires once.

use std::time::Duration;

use postroom_beat::run;
use postroom_core::{Settings, Shutdown};

use crate::fixture::{EACH_SECOND, Fixture, LIMIT};

async fn beat_until(settings: Settings, shutdown: Shutdown) {
    let same = settings.clone();
    run(settings, || Ok(same.clone()), shutdown).await.expect("a clean stop");
}

#[tokio::test]
async fn three_beats_in_one_process_fire_each_time_once() {
    let fixture = Fixture::new().await;
    let (settings, shutdown) = (fixture.settings(EACH_SECOND), Shutdown::new());
    let beats: Vec<_> = (0..3).map(|_| tokio::spawn(beat_until(settings.clone(), shutdown.clone()))).collect();
    fixture.mails(6).await;
    assert_eq!(fixture.store.processes().await.expect("read").len(), 3);
    shutdown.request();
    for beat in beats {
        tokio::time::timeout(Duration::from_secs(5), beat).await.expect("soon").expect("no panic");
    }
    assert!(fixture.assert_each_time_once(None).await >= 6);
    assert_eq!(fixture.store.processes().await.expect("read"), []);
}

#[tokio::test]
async fn a_second_process_continues_when_the_first_is_killed() {
    let fixture = Fixture::new().await;
    fixture.write(EACH_SECOND);
    let (mut one, mut other) = (fixture.process(), fixture.process());
    fixture.mails(3).await;
    one.kill();
    fixture.mails(7).await;
    other.terminate();
    assert_eq!(other.wait(LIMIT).await.code(), Some(0), "{}", other.stderr());
    assert!(fixture.assert_each_time_once(None).await >= 7);
}

/// A beat logs that it fires after the tick and before it enqueues. The test kills it at this
/// point, repeatedly.
#[tokio::test]
async fn no_firing_is_lost_when_beats_are_killed_after_the_tick() {
    let fixture = Fixture::new().await;
    fixture.write(EACH_SECOND);
    for _ in 0..4 {
        let mut beat = fixture.process();
        beat.wait_for_line("schedule tick fires", LIMIT).await;
        beat.kill();
    }
    let mut last = fixture.process();
    last.wait_for_line("schedule tick fires", LIMIT).await;
    last.terminate();
    assert_eq!(last.wait(LIMIT).await.code(), Some(0));
    assert!(fixture.assert_each_time_once(None).await >= 5);
}

#[tokio::test]
async fn a_frozen_beat_catches_up() {
    let fixture = Fixture::new().await;
    fixture.write(EACH_SECOND);
    let mut beat = fixture.process();
    fixture.mails(1).await;
    beat.stop();
    tokio::time::sleep(Duration::from_secs(3)).await;
    beat.cont();
    fixture.mails(5).await;
    beat.terminate();
    beat.wait(LIMIT).await;
    assert!(fixture.assert_each_time_once(None).await >= 5);
}
