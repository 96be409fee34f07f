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

async fn ask(fixture: &Fixture, class: u8, want: usize, spacing: Duration) -> TakeReply {
    let measure = Measure { spacing: Some(spacing), quota: None };
    fixture.store.take_grant(&main_transport(), class, want, &measure).await.expect("an answer")
}

async fn granted(fixture: &Fixture, class: u8, want: usize, spacing: Duration) -> (Grant, Instant) {
    eventually(LIMIT, "leave", async || match ask(fixture, class, want, spacing).await {
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
async fn leave_is_given_at_the_limits_spacing_without_a_gap() {
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
async fn only_a_moment_ahead_is_given() {
    let fixture = Fixture::new().await;
    assert!(matches!(
        ask(&fixture, 0, 10, Duration::from_millis(500)).await,
        TakeReply::Granted(Grant { number: 1, .. })
    ));
    let TakeReply::Wait(wait) = ask(&fixture, 0, 10, Duration::from_millis(500)).await else { panic!("too soon") };
    assert!((Duration::from_millis(300)..=Duration::from_millis(450)).contains(&wait), "{wait:?}");
    let fast = Fixture::new().await;
    let leave = ask(&fast, 0, 1_000, Duration::from_millis(1)).await;
    assert!(matches!(leave, TakeReply::Granted(Grant { number: 51, .. })), "{leave:?}");
}

#[tokio::test]
async fn what_is_more_urgent_goes_first() {
    let fixture = Fixture::new().await;
    let spacing = Duration::from_millis(400);
    granted(&fixture, 5, 1, spacing).await;
    assert!(matches!(ask(&fixture, 0, 1, spacing).await, TakeReply::Wait(_)));
    // The turn comes, and who is less urgent asks in time and again.
    let turn = Instant::now() + Duration::from_millis(700);
    eventually(LIMIT, "the turn to pass", async || {
        assert!(matches!(ask(&fixture, 5, 1, spacing).await, TakeReply::Wait(_)), "somebody more urgent waits");
        (Instant::now() > turn).then_some(())
    })
    .await;
    assert!(matches!(ask(&fixture, 0, 1, spacing).await, TakeReply::Granted(_)));
    granted(&fixture, 5, 1, spacing).await;
}

#[tokio::test]
async fn who_does_not_come_again_is_not_waited_for_long() {
    let fixture = Fixture::new().await;
    let spacing = Duration::from_millis(100);
    granted(&fixture, 5, 1, spacing).await;
    assert!(matches!(ask(&fixture, 0, 1, spacing).await, TakeReply::Wait(_)));
    granted(&fixture, 5, 1, spacing).await;
}

#[tokio::test]
async fn what_is_given_back_can_be_taken_again() {
    let fixture = Fixture::new().await;
    let (minute, limit) = (Duration::from_secs(60), main_transport());
    let (given, _) = granted(&fixture, 0, 1, minute).await;
    assert!(matches!(ask(&fixture, 0, 1, minute).await, TakeReply::Wait(_)));
    fixture.store.return_grant(&limit, &given, 1).await.expect("given back");
    fixture.store.return_grant(&limit, &given, 1).await.expect("said again, it has no effect");
    granted(&fixture, 0, 1, minute).await;
    assert!(matches!(ask(&fixture, 0, 1, minute).await, TakeReply::Wait(_)));
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

fn daily(number: u64) -> Measure {
    Measure { spacing: None, quota: Some(Quota { number, per: Per::Day, timezone: chrono_tz::UTC, over: Over::Wait }) }
}

#[tokio::test]
async fn a_quota_is_counted_to_the_last_mail() {
    let (fixture, limit) = (Fixture::new().await, main_transport());
    let take = async |want| fixture.store.take_grant(&limit, 5, want, &daily(100)).await.expect("an answer");
    let TakeReply::Granted(given) = take(60).await else { panic!("the first sixty") };
    assert!(matches!(take(60).await, TakeReply::Granted(Grant { number: 40, .. })));
    let TakeReply::Shut(wait, why) = take(1).await else { panic!("it is used up") };
    assert!(why == "quota" && wait <= Duration::from_secs(86_400), "{why} {wait:?}");
    fixture.store.return_grant(&limit, &given, 2).await.expect("given back");
    assert!(matches!(take(60).await, TakeReply::Granted(Grant { number: 2, .. })));
    // What a server said goes before what is set.
    let heard = ServerFeedback { pause: Some((Duration::from_secs(600), "daily")), ..ServerFeedback::default() };
    fixture.store.report_feedback(&limit, &WorkerId::generate(), &heard).await.expect("heard");
    let TakeReply::Shut(wait, why) = take(1).await else { panic!("the server's own quota is used up") };
    assert!(why == "daily" && (590..=600).contains(&wait.as_secs()), "{why} {wait:?}");
}

#[tokio::test]
async fn no_limit_is_told_as_such() {
    let fixture = Fixture::new().await;
    let leave = fixture.store.take_grant(&main_transport(), 5, 7, &Measure::default()).await.expect("an answer");
    assert_eq!(leave, TakeReply::Free);
}

/// A server that takes 50 a second, and several workers that find out: virtual mails, real time.
#[tokio::test]
async fn what_a_server_takes_is_learned_by_all() {
    let (fixture, limit) = (Fixture::new().await, main_transport());
    let (one, other) = (WorkerId::generate(), WorkerId::generate());
    let refused = |number| ServerFeedback { refused: true, accepted_per_second: number, ..ServerFeedback::default() };
    let first = fixture.store.report_feedback(&limit, &one, &refused(30.0)).await.expect("heard").expect("a spacing");
    assert!((30..=36).contains(&first.as_millis()), "{first:?}");
    let both = fixture.store.report_feedback(&limit, &other, &refused(20.0)).await.expect("heard").expect("a spacing");
    assert!((18..=22).contains(&both.as_millis()), "what both saw adds up: {both:?}");
    let again = fixture.store.report_feedback(&limit, &other, &refused(20.0)).await.expect("heard").expect("a spacing");
    assert_eq!(again, both, "once in a window");
    let leave = fixture.store.take_grant(&limit, 5, 10, &Measure::default()).await.expect("an answer");
    assert!(matches!(leave, TakeReply::Wait(_)), "the server has had enough for this second: {leave:?}");
    let mut granted = 0;
    eventually(LIMIT, "some turns", async || {
        if let TakeReply::Granted(given) =
            fixture.store.take_grant(&limit, 5, 10, &Measure::default()).await.expect("an answer")
        {
            granted += given.number;
            if granted > 20 {
                fixture.store.report_feedback(&limit, &one, &refused(0.0)).await.expect("heard");
            }
        }
        (granted >= 120).then_some(())
    })
    .await;
    let now = fixture
        .store
        .report_feedback(&limit, &one, &ServerFeedback::default())
        .await
        .expect("heard")
        .expect("a spacing");
    assert!(now > both, "it was cut: {now:?}");
    let told = ServerFeedback { announced: Some(Duration::from_millis(500)), ..ServerFeedback::default() };
    let now = fixture.store.report_feedback(&limit, &one, &told).await.expect("heard");
    assert!(now >= Some(Duration::from_millis(500)), "{now:?}");
}

struct Hands<'a> {
    fixture: &'a Fixture,
    id: WorkerId,
}

impl Hands<'_> {
    async fn hold(&self, want: usize, open: usize, cap: u32, refused: bool) -> ConnectionShare {
        let holding = ConnectionDemand { want, open, cap: Some(cap).filter(|cap| *cap > 0), refused };
        self.fixture.store.hold_connections(&main_transport(), &self.id, holding).await.expect("an answer")
    }

    async fn number(&self, want: usize, open: usize, cap: u32) -> usize {
        self.hold(want, open, cap, false).await.number
    }
}

#[tokio::test]
async fn connections_are_counted_over_all_workers() {
    let fixture = Fixture::new().await;
    let [ann, ben] = [(); 2].map(|()| Hands { fixture: &fixture, id: WorkerId::generate() });
    assert_eq!(ann.number(5, 0, 3).await, 1, "one at a time where nobody knows what the server lets in");
    assert_eq!(ann.number(5, 0, 3).await, 1, "it does not stand yet");
    assert_eq!(ben.number(5, 0, 3).await, 0, "nor for anybody else");
    assert_eq!(ann.number(5, 1, 3).await, 2);
    assert_eq!(ann.number(5, 2, 3).await, 3);
    assert_eq!(ann.number(5, 3, 3).await, 3, "the cap");
    assert_eq!(ben.number(5, 0, 3).await, 0);
    assert_eq!(ann.number(3, 3, 3).await, 2, "who has none is given one");
    assert_eq!(ann.number(5, 2, 3).await, 2, "it is not taken back");
    assert_eq!(ann.number(2, 2, 3).await, 2);
    assert_eq!(ben.number(5, 0, 3).await, 1);
    assert_eq!(ann.number(0, 0, 3).await, 0, "all given back");
    assert_eq!(ben.number(5, 1, 3).await, 3, "as many as have stood at once");
}

#[tokio::test]
async fn what_a_server_lets_in_is_learned() {
    let fixture = Fixture::new().await;
    let [ann, ben] = [(); 2].map(|()| Hands { fixture: &fixture, id: WorkerId::generate() });
    for open in 0..2 {
        assert_eq!(ann.number(2, open, 0).await, open + 1);
    }
    assert_eq!(ann.number(2, 2, 0).await, 2);
    assert_eq!(ben.number(4, 0, 0).await, 1);
    assert_eq!(ben.number(4, 1, 0).await, 2);
    let refused = ben.hold(4, 1, 0, true).await;
    assert_eq!((refused.number, refused.cap), (1, Some(3)));
    assert_eq!((ann.number(4, 2, 0).await, ben.number(4, 1, 0).await), (2, 1));
    // Nobody stood: that is no crowd.
    let fixture = Fixture::new().await;
    let alone = Hands { fixture: &fixture, id: WorkerId::generate() };
    assert_eq!(alone.number(4, 0, 0).await, 1);
    assert_eq!(alone.hold(4, 0, 0, true).await.cap, None);
}

#[tokio::test]
async fn a_lost_workers_connections_come_back() {
    let fixture = Fixture::new().await;
    let [ann, ben] = [(); 2].map(|()| Hands { fixture: &fixture, id: WorkerId::generate() });
    assert_eq!(ann.number(1, 0, 1).await, 1);
    let started = Instant::now();
    eventually(LIMIT, "the lost one's place", async || (ben.number(1, 0, 1).await == 1).then_some(())).await;
    assert!(started.elapsed() >= Duration::from_secs(8), "{:?}", started.elapsed());
}
