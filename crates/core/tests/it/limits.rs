//! Limits that all workers share.

use std::time::{Duration, Instant};

use postroom_core::{
    Over, Per, Quota, Rate,
    store::{ConnectionDemand, ConnectionShare, Grant, LimitName, Measure, ServerFeedback, TakeReply, WorkerId},
};
use postroom_testkit::eventually;

use crate::fixture::Fixture;

const LIMIT: Duration = Duration::from_secs(30);

fn main_transport() -> LimitName {
    LimitName::Transport("main".to_owned())
}

async fn take(fixture: &Fixture, class: u8, want: usize, spacing: Duration) -> TakeReply {
    let measure = Measure { spacing: Some(spacing), quota: None };
    fixture.store.take_grant(&main_transport(), class, want, &measure).await.expect("a reply")
}

async fn granted(fixture: &Fixture, class: u8, want: usize, spacing: Duration) -> (Grant, Instant) {
    eventually(LIMIT, "leave", async || match take(fixture, class, want, spacing).await {
        TakeReply::Granted(given) => {
            let first = Instant::now() + given.first_in;
            Some((given, first))
        }
        TakeReply::Wait(_) => None,
        other => panic!("{other:?}"),
    })
    .await
}

#[tokio::test]
async fn permits_follow_the_spacing_without_a_gap() {
    let fixture = Fixture::new().await;
    let spacing = Duration::from_millis(20);
    let (given, first) = granted(&fixture, 0, 10, spacing).await;
    let mut number = given.number;
    while number < 30 {
        let (more, at) = granted(&fixture, 0, 10, spacing).await;
        let due = first + spacing * u32::try_from(number).expect("few");
        assert!(at + Duration::from_millis(5) >= due, "{:?} too early", due - at);
        assert_eq!(more.spacing, spacing);
        number += more.number;
    }
}

#[tokio::test]
async fn permits_are_granted_only_a_moment_ahead() {
    let fixture = Fixture::new().await;
    assert!(matches!(
        take(&fixture, 0, 10, Duration::from_millis(500)).await,
        TakeReply::Granted(Grant { number: 1, .. })
    ));
    let TakeReply::Wait(wait) = take(&fixture, 0, 10, Duration::from_millis(500)).await else {
        panic!("the next permit is not due")
    };
    assert!((Duration::from_millis(300)..=Duration::from_millis(450)).contains(&wait), "{wait:?}");
    let fast = Fixture::new().await;
    let leave = take(&fast, 0, 1_000, Duration::from_millis(1)).await;
    assert!(matches!(leave, TakeReply::Granted(Grant { number: 51, .. })), "{leave:?}");
}

#[tokio::test]
async fn more_urgent_callers_get_permits_first() {
    let fixture = Fixture::new().await;
    let spacing = Duration::from_millis(400);
    granted(&fixture, 5, 1, spacing).await;
    assert!(matches!(take(&fixture, 0, 1, spacing).await, TakeReply::Wait(_)));
    // Less urgent callers keep calling while the next permit becomes available.
    let turn = Instant::now() + Duration::from_millis(700);
    eventually(LIMIT, "the next permit", async || {
        assert!(matches!(take(&fixture, 5, 1, spacing).await, TakeReply::Wait(_)), "a more urgent caller waits");
        (Instant::now() > turn).then_some(())
    })
    .await;
    assert!(matches!(take(&fixture, 0, 1, spacing).await, TakeReply::Granted(_)));
    granted(&fixture, 5, 1, spacing).await;
}

#[tokio::test]
async fn an_urgent_caller_that_gives_up_blocks_others_briefly() {
    let fixture = Fixture::new().await;
    let spacing = Duration::from_millis(100);
    granted(&fixture, 5, 1, spacing).await;
    assert!(matches!(take(&fixture, 0, 1, spacing).await, TakeReply::Wait(_)));
    granted(&fixture, 5, 1, spacing).await;
}

#[tokio::test]
async fn returned_permits_can_be_taken_again() {
    let fixture = Fixture::new().await;
    let (minute, limit) = (Duration::from_secs(60), main_transport());
    let (given, _) = granted(&fixture, 0, 1, minute).await;
    assert!(matches!(take(&fixture, 0, 1, minute).await, TakeReply::Wait(_)));
    fixture.store.return_grant(&limit, &given, 1).await.expect("returned");
    fixture.store.return_grant(&limit, &given, 1).await.expect("a repeated return has no effect");
    granted(&fixture, 0, 1, minute).await;
    assert!(matches!(take(&fixture, 0, 1, minute).await, TakeReply::Wait(_)));
}

#[tokio::test]
async fn limits_are_set_and_removed_at_run_time() {
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

fn daily(number: u64) -> Measure {
    Measure { spacing: None, quota: Some(Quota { number, per: Per::Day, timezone: chrono_tz::UTC, over: Over::Wait }) }
}

#[tokio::test]
async fn a_quota_is_counted_to_the_last_mail() {
    let (fixture, limit) = (Fixture::new().await, main_transport());
    let take = async |want| fixture.store.take_grant(&limit, 5, want, &daily(100)).await.expect("a reply");
    let TakeReply::Granted(given) = take(60).await else { panic!("the first sixty permits") };
    assert!(matches!(take(60).await, TakeReply::Granted(Grant { number: 40, .. })));
    let TakeReply::Shut(wait, why) = take(1).await else { panic!("the quota is used up") };
    assert!(why == "quota" && wait <= Duration::from_secs(86_400), "{why} {wait:?}");
    fixture.store.return_grant(&limit, &given, 2).await.expect("returned");
    assert!(matches!(take(60).await, TakeReply::Granted(Grant { number: 2, .. })));
    // The server's feedback overrides the configured limit.
    let feedback = ServerFeedback { pause: Some((Duration::from_secs(600), "daily")), ..ServerFeedback::default() };
    fixture.store.report_feedback(&limit, &WorkerId::generate(), &feedback).await.expect("recorded");
    let TakeReply::Shut(wait, why) = take(1).await else { panic!("the server's own quota is used up") };
    assert!(why == "daily" && (590..=600).contains(&wait.as_secs()), "{why} {wait:?}");
}

#[tokio::test]
async fn a_missing_limit_replies_free() {
    let fixture = Fixture::new().await;
    let leave = fixture.store.take_grant(&main_transport(), 5, 7, &Measure::default()).await.expect("a reply");
    assert_eq!(leave, TakeReply::Free);
}

/// Several workers learn the rate of a server that accepts 50 mails a second; virtual mails, real
/// time.
#[tokio::test]
async fn all_workers_learn_the_rate_of_a_server() {
    let (fixture, limit) = (Fixture::new().await, main_transport());
    let (one, other) = (WorkerId::generate(), WorkerId::generate());
    let refused = |number| ServerFeedback { refused: true, accepted_per_second: number, ..ServerFeedback::default() };
    let first =
        fixture.store.report_feedback(&limit, &one, &refused(30.0)).await.expect("recorded").expect("a spacing");
    assert!((30..=36).contains(&first.as_millis()), "{first:?}");
    let both =
        fixture.store.report_feedback(&limit, &other, &refused(20.0)).await.expect("recorded").expect("a spacing");
    assert!((18..=22).contains(&both.as_millis()), "the rates of both workers add up: {both:?}");
    let again =
        fixture.store.report_feedback(&limit, &other, &refused(20.0)).await.expect("recorded").expect("a spacing");
    assert_eq!(again, both, "one cut in a window");
    let leave = fixture.store.take_grant(&limit, 5, 10, &Measure::default()).await.expect("a reply");
    assert!(matches!(leave, TakeReply::Wait(_)), "the server accepts nothing more for a second: {leave:?}");
    let mut granted = 0;
    eventually(LIMIT, "enough permits", async || {
        if let TakeReply::Granted(given) =
            fixture.store.take_grant(&limit, 5, 10, &Measure::default()).await.expect("a reply")
        {
            granted += given.number;
            if granted > 20 {
                fixture.store.report_feedback(&limit, &one, &refused(0.0)).await.expect("recorded");
            }
        }
        (granted >= 120).then_some(())
    })
    .await;
    let now = fixture
        .store
        .report_feedback(&limit, &one, &ServerFeedback::default())
        .await
        .expect("recorded")
        .expect("a spacing");
    assert!(now > both, "the rate was cut: {now:?}");
    let announced = ServerFeedback { announced: Some(Duration::from_millis(500)), ..ServerFeedback::default() };
    let now = fixture.store.report_feedback(&limit, &one, &announced).await.expect("recorded");
    assert!(now >= Some(Duration::from_millis(500)), "{now:?}");
}

struct ConnectionHolder<'a> {
    fixture: &'a Fixture,
    id: WorkerId,
}

impl ConnectionHolder<'_> {
    async fn hold(&self, want: usize, open: usize, cap: u32, refused: bool) -> ConnectionShare {
        let holding = ConnectionDemand { want, open, cap: Some(cap).filter(|cap| *cap > 0), refused };
        self.fixture.store.hold_connections(&main_transport(), &self.id, holding).await.expect("a reply")
    }

    async fn number(&self, want: usize, open: usize, cap: u32) -> usize {
        self.hold(want, open, cap, false).await.number
    }
}

#[tokio::test]
async fn connections_are_counted_over_all_workers() {
    let fixture = Fixture::new().await;
    let [ann, ben] = [(); 2].map(|()| ConnectionHolder { fixture: &fixture, id: WorkerId::generate() });
    assert_eq!(ann.number(5, 0, 3).await, 1, "one at a time while the server's limit is unknown");
    assert_eq!(ann.number(5, 0, 3).await, 1, "the first one is not open yet");
    assert_eq!(ben.number(5, 0, 3).await, 0, "nor for another worker");
    assert_eq!(ann.number(5, 1, 3).await, 2);
    assert_eq!(ann.number(5, 2, 3).await, 3);
    assert_eq!(ann.number(5, 3, 3).await, 3, "the cap");
    assert_eq!(ben.number(5, 0, 3).await, 0);
    assert_eq!(ann.number(3, 3, 3).await, 2, "a worker without a connection gets one");
    assert_eq!(ann.number(5, 2, 3).await, 2, "the first worker does not take it back");
    assert_eq!(ann.number(2, 2, 3).await, 2);
    assert_eq!(ben.number(5, 0, 3).await, 1);
    assert_eq!(ann.number(0, 0, 3).await, 0, "all are returned");
    assert_eq!(ben.number(5, 1, 3).await, 3, "as many as were open at once");
}

#[tokio::test]
async fn the_connection_limit_of_a_server_is_learned() {
    let fixture = Fixture::new().await;
    let [ann, ben] = [(); 2].map(|()| ConnectionHolder { fixture: &fixture, id: WorkerId::generate() });
    for open in 0..2 {
        assert_eq!(ann.number(2, open, 0).await, open + 1);
    }
    assert_eq!(ann.number(2, 2, 0).await, 2);
    assert_eq!(ben.number(4, 0, 0).await, 1);
    assert_eq!(ben.number(4, 1, 0).await, 2);
    let refused = ben.hold(4, 1, 0, true).await;
    assert_eq!((refused.number, refused.cap), (1, Some(3)));
    assert_eq!((ann.number(4, 2, 0).await, ben.number(4, 1, 0).await), (2, 1));
    // No connection was open, so the refusal shows no limit.
    let fixture = Fixture::new().await;
    let alone = ConnectionHolder { fixture: &fixture, id: WorkerId::generate() };
    assert_eq!(alone.number(4, 0, 0).await, 1);
    assert_eq!(alone.hold(4, 0, 0, true).await.cap, None);
}

#[tokio::test]
async fn connections_of_a_lost_worker_are_freed() {
    let fixture = Fixture::new().await;
    let [ann, ben] = [(); 2].map(|()| ConnectionHolder { fixture: &fixture, id: WorkerId::generate() });
    assert_eq!(ann.number(1, 0, 1).await, 1);
    let started = Instant::now();
    eventually(LIMIT, "the lost worker's connection", async || (ben.number(1, 0, 1).await == 1).then_some(())).await;
    assert!(started.elapsed() >= Duration::from_secs(8), "{:?}", started.elapsed());
}
