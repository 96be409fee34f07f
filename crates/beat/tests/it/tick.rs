//! Tests of the tick script: each time is decided once, whatever the clocks and the order of the
//! tickers.

use std::time::Duration;

use postroom_core::{
    QueueName,
    schedule::Plan,
    store::{Schedule, TickReply},
};
use proptest::{prelude::*, test_runner::TestCaseResult};

use crate::fixture::{EACH_SECOND, Fixture};

/// Next step of one of several tickers.
#[derive(Debug, Clone)]
enum TickerStep {
    /// Reads the schedule, and plans with a clock that is off by `off_ms`.
    Read { ticker: usize, off_ms: i64 },
    /// Sends the plan.
    Tick { ticker: usize },
    /// Enqueues the outbox, and may die before deleting the firings.
    Drain { dies: bool },
}

fn steps() -> impl Strategy<Value = TickerStep> {
    let ticker = 0_usize..4;
    prop_oneof![
        3 => (ticker.clone(), -40_000_i64..5_000).prop_map(|(ticker, off_ms)| TickerStep::Read { ticker, off_ms }),
        4 => ticker.prop_map(|ticker| TickerStep::Tick { ticker }),
        1 => any::<bool>().prop_map(|dies| TickerStep::Drain { dies }),
    ]
}

#[derive(Default)]
struct Tickers([Option<(Schedule, Plan)>; 4]);

impl Tickers {
    async fn run(&mut self, fixture: &Fixture<'_>, step: &TickerStep) -> TestCaseResult {
        match step {
            TickerStep::Read { ticker, off_ms } => {
                let schedule = fixture.schedule("tick").await;
                let plan = schedule.plan(fixture.now_ms() + off_ms);
                self.0[*ticker] = Some((schedule, plan));
            }
            TickerStep::Tick { ticker } => {
                let Some((schedule, plan)) = &self.0[*ticker] else { return Ok(()) };
                let reply = fixture.store.tick(schedule, plan).await.expect("a reply");
                let ahead = plan.cursor_ms > fixture.now_ms();
                prop_assert!(!ahead || reply != TickReply::Ticked, "ticked ahead of Redis's clock: {:?}", plan);
            }
            TickerStep::Drain { dies } => drain(fixture, *dies).await,
        }
        Ok(())
    }
}

async fn drain(fixture: &Fixture<'_>, dies: bool) {
    for firing in fixture.store.due_schedules().await.expect("read").outbox {
        fixture.store.enqueue_firing(&firing, &fixture.settings("")).await.expect("enqueued");
        if !dies {
            fixture.store.drop_firing(&firing).await.expect("dropped");
        }
    }
}

async fn each_time_once(steps: &[TickerStep]) -> TestCaseResult {
    let fixture = Fixture::new().await;
    let mut beat = fixture.beat(EACH_SECOND).await;
    let from_ms = fixture.set_back("tick", Duration::from_secs(20));
    let mut tickers = Tickers::default();
    for step in steps {
        tickers.run(&fixture, step).await?;
    }
    // A regular beat decides the rest.
    while beat.run_once().await.expect("a pass").fired > 0 {}
    let times = fixture.assert_each_time_once(Some(from_ms)).await;
    prop_assert!(times >= 20, "{} times", times);
    prop_assert_eq!(fixture.enqueued(&QueueName::emails()).await, u64::try_from(times).expect("a number"));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn each_time_is_decided_once_in_any_order(steps in prop::collection::vec(steps(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(each_time_once(&steps))?;
    }
}

#[tokio::test]
async fn a_tick_ahead_of_the_clock_is_refused() {
    let fixture = Fixture::new().await;
    fixture.beat(EACH_SECOND).await;
    let schedule = fixture.schedule("tick").await;
    let ahead = fixture.now_ms() + 30_000;
    let plan = schedule.plan(ahead);
    assert_eq!(fixture.store.tick(&schedule, &plan).await.expect("a reply"), TickReply::Early);
    // A firing ahead of a correct cursor is refused too.
    let firing_ahead = Plan { fire_ms: vec![ahead], cursor_ms: schedule.cursor_ms, next_ms: None };
    assert_eq!(fixture.store.tick(&schedule, &firing_ahead).await.expect("a reply"), TickReply::Early);
    assert_eq!(fixture.store.due_schedules().await.expect("read").outbox, []);
}

#[tokio::test]
async fn a_tick_of_a_changed_schedule_is_refused() {
    let fixture = Fixture::new().await;
    fixture.beat(EACH_SECOND).await;
    fixture.set_back("tick", Duration::from_secs(5));
    let schedule = fixture.schedule("tick").await;
    let plan = schedule.plan(fixture.now_ms());
    fixture.beat(&EACH_SECOND.replace("Tock", "Tack")).await;
    assert_eq!(fixture.store.tick(&schedule, &plan).await.expect("a reply"), TickReply::Changed);
    fixture.beat("").await;
    assert_eq!(fixture.store.tick(&schedule, &plan).await.expect("a reply"), TickReply::Changed);
}
