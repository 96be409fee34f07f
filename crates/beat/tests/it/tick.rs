//! The script that decides: whatever clocks the tickers have and however they interleave, each time is decided once.

use std::time::Duration;

use postroom_core::{
    QueueName,
    schedule::Plan,
    store::{Schedule, TickReply},
};
use proptest::{prelude::*, test_runner::TestCaseResult};

use crate::fixture::{EACH_SECOND, Fixture};

/// What one of several tickers does next.
#[derive(Debug, Clone)]
enum Act {
    /// Reads, and plans by a clock that is off by so much.
    Read { ticker: usize, off_ms: i64 },
    /// Says its plan.
    Tick { ticker: usize },
    /// Hands over what it finds, and may die before it says so.
    Drain { dies: bool },
}

fn acts() -> impl Strategy<Value = Act> {
    let ticker = 0_usize..4;
    prop_oneof![
        3 => (ticker.clone(), -40_000_i64..5_000).prop_map(|(ticker, off_ms)| Act::Read { ticker, off_ms }),
        4 => ticker.prop_map(|ticker| Act::Tick { ticker }),
        1 => any::<bool>().prop_map(|dies| Act::Drain { dies }),
    ]
}

#[derive(Default)]
struct Tickers([Option<(Schedule, Plan)>; 4]);

impl Tickers {
    async fn act(&mut self, fixture: &Fixture<'_>, act: &Act) -> TestCaseResult {
        match act {
            Act::Read { ticker, off_ms } => {
                let schedule = fixture.schedule("tick").await;
                let plan = schedule.plan(fixture.now_ms() + off_ms);
                self.0[*ticker] = Some((schedule, plan));
            }
            Act::Tick { ticker } => {
                let Some((schedule, plan)) = &self.0[*ticker] else { return Ok(()) };
                let reply = fixture.store.tick(schedule, plan).await.expect("an answer");
                let ahead = plan.cursor_ms > fixture.now_ms();
                prop_assert!(!ahead || reply != TickReply::Ticked, "ticked ahead of Redis's clock: {:?}", plan);
            }
            Act::Drain { dies } => drain(fixture, *dies).await,
        }
        Ok(())
    }
}

async fn drain(fixture: &Fixture<'_>, dies: bool) {
    for firing in fixture.store.due_schedules().await.expect("read").outbox {
        fixture.store.enqueue_firing(&firing, &fixture.settings("")).await.expect("handed over");
        if !dies {
            fixture.store.drop_firing(&firing).await.expect("dropped");
        }
    }
}

async fn each_time_once(acts: &[Act]) -> TestCaseResult {
    let fixture = Fixture::new().await;
    let mut beat = fixture.beat(EACH_SECOND).await;
    let from_ms = fixture.set_back("tick", Duration::from_secs(20));
    let mut tickers = Tickers::default();
    for act in acts {
        tickers.act(&fixture, act).await?;
    }
    // An honest one ends it.
    while beat.turn().await.expect("a turn").fired > 0 {}
    let times = fixture.assert_each_time_once(Some(from_ms)).await;
    prop_assert!(times >= 20, "{} times", times);
    prop_assert_eq!(fixture.enqueued(&QueueName::emails()).await, u64::try_from(times).expect("a number"));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn of_any_interleaving_comes_each_time_once(acts in prop::collection::vec(acts(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(each_time_once(&acts))?;
    }
}

#[tokio::test]
async fn a_tick_before_its_time_is_refused() {
    let fixture = Fixture::new().await;
    fixture.beat(EACH_SECOND).await;
    let schedule = fixture.schedule("tick").await;
    let ahead = fixture.now_ms() + 30_000;
    let plan = schedule.plan(ahead);
    assert_eq!(fixture.store.tick(&schedule, &plan).await.expect("an answer"), TickReply::Early);
    // Nor may a firing lie ahead of an honest cursor.
    let sly = Plan { fire_ms: vec![ahead], cursor_ms: schedule.cursor_ms, next_ms: None };
    assert_eq!(fixture.store.tick(&schedule, &sly).await.expect("an answer"), TickReply::Early);
    assert_eq!(fixture.store.due_schedules().await.expect("read").outbox, []);
}

#[tokio::test]
async fn a_tick_of_a_schedule_that_was_changed_is_refused() {
    let fixture = Fixture::new().await;
    fixture.beat(EACH_SECOND).await;
    fixture.set_back("tick", Duration::from_secs(5));
    let schedule = fixture.schedule("tick").await;
    let plan = schedule.plan(fixture.now_ms());
    fixture.beat(&EACH_SECOND.replace("Tock", "Tack")).await;
    assert_eq!(fixture.store.tick(&schedule, &plan).await.expect("an answer"), TickReply::Changed);
    fixture.beat("").await;
    assert_eq!(fixture.store.tick(&schedule, &plan).await.expect("an answer"), TickReply::Changed);
}
