//! Limits that all workers share.

use std::time::{Duration, Instant};

use postroom_core::{
    Rate,
    store::{Leave, LimitName},
};
use postroom_testkit::eventually;

use crate::fixture::Fixture;

const LIMIT: Duration = Duration::from_secs(30);

fn main_transport() -> LimitName {
    LimitName::Transport("main".to_owned())
}

async fn ask(fixture: &Fixture, class: u8, want: usize, spacing: Duration) -> Leave {
    fixture.store.take_leave(&main_transport(), class, want, spacing).await.expect("an answer")
}

async fn granted(fixture: &Fixture, class: u8, want: usize, spacing: Duration) -> (usize, Instant, u64) {
    eventually(LIMIT, "leave", async || match ask(fixture, class, want, spacing).await {
        Leave::Granted { number, first_in, until_us } => Some((number, Instant::now() + first_in, until_us)),
        Leave::Wait(_) => None,
    })
    .await
}

#[tokio::test]
async fn leave_is_given_at_the_limits_spacing_without_a_gap() {
    let fixture = Fixture::new().await;
    let spacing = Duration::from_millis(20);
    let (mut number, first, mut end) = granted(&fixture, 0, 10, spacing).await;
    while number < 30 {
        let (more, at, until) = granted(&fixture, 0, 10, spacing).await;
        let due = first + spacing * u32::try_from(number).expect("few");
        assert!(at + Duration::from_millis(5) >= due, "{:?} too early", due - at);
        assert!(until >= end + 20_000 * more as u64);
        (number, end) = (number + more, until);
    }
}

#[tokio::test]
async fn only_a_moment_ahead_is_given() {
    let fixture = Fixture::new().await;
    assert!(matches!(ask(&fixture, 0, 10, Duration::from_millis(500)).await, Leave::Granted { number: 1, .. }));
    let Leave::Wait(wait) = ask(&fixture, 0, 10, Duration::from_millis(500)).await else { panic!("too soon") };
    assert!((Duration::from_millis(300)..=Duration::from_millis(450)).contains(&wait), "{wait:?}");
    let fast = Fixture::new().await;
    let leave = ask(&fast, 0, 1_000, Duration::from_millis(1)).await;
    assert!(matches!(leave, Leave::Granted { number: 51, .. }), "{leave:?}");
}

#[tokio::test]
async fn what_is_more_urgent_goes_first() {
    let fixture = Fixture::new().await;
    let spacing = Duration::from_millis(400);
    granted(&fixture, 5, 1, spacing).await;
    assert!(matches!(ask(&fixture, 0, 1, spacing).await, Leave::Wait(_)));
    // The turn comes, and who is less urgent asks in time and again.
    let turn = Instant::now() + Duration::from_millis(700);
    eventually(LIMIT, "the turn to pass", async || {
        assert!(matches!(ask(&fixture, 5, 1, spacing).await, Leave::Wait(_)), "somebody more urgent waits");
        (Instant::now() > turn).then_some(())
    })
    .await;
    assert!(matches!(ask(&fixture, 0, 1, spacing).await, Leave::Granted { .. }));
    granted(&fixture, 5, 1, spacing).await;
}

#[tokio::test]
async fn who_does_not_come_again_is_not_waited_for_long() {
    let fixture = Fixture::new().await;
    let spacing = Duration::from_millis(100);
    granted(&fixture, 5, 1, spacing).await;
    assert!(matches!(ask(&fixture, 0, 1, spacing).await, Leave::Wait(_)));
    granted(&fixture, 5, 1, spacing).await;
}

#[tokio::test]
async fn what_is_given_back_can_be_taken_again() {
    let fixture = Fixture::new().await;
    let (minute, limit) = (Duration::from_secs(60), main_transport());
    let (_, _, until) = granted(&fixture, 0, 1, minute).await;
    assert!(matches!(ask(&fixture, 0, 1, minute).await, Leave::Wait(_)));
    fixture.store.give_back_leave(&limit, until, 1, minute).await.expect("given back");
    fixture.store.give_back_leave(&limit, until, 1, minute).await.expect("said again, it has no effect");
    granted(&fixture, 0, 1, minute).await;
    assert!(matches!(ask(&fixture, 0, 1, minute).await, Leave::Wait(_)));
}

#[tokio::test]
async fn limits_are_set_and_lifted_while_it_runs() {
    let fixture = Fixture::new().await;
    let rate: Rate = "2/s".parse().expect("a rate");
    let queue = LimitName::Queue(fixture.queue.clone());
    fixture.store.set_live_limit(&main_transport(), Some(rate)).await.expect("set");
    fixture.store.set_live_limit(&queue, None).await.expect("lifted");
    let live = fixture.store.live_limits().await.expect("limits");
    assert_eq!((live[&main_transport()], live[&queue]), (Some(rate), None));
    assert!(fixture.store.unset_live_limit(&queue).await.expect("unset"));
    assert!(!fixture.store.unset_live_limit(&queue).await.expect("unset"));
    assert_eq!(fixture.store.live_limits().await.expect("limits").len(), 1);
}
