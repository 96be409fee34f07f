//! Tests of the adjustable clock.

use postroom_testkit::{FakeClock, PrivateRedis, Process, eventually};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LIMIT: Duration = Duration::from_secs(20);

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("a time")
}

/// Whether `time` differs from now by about `offset` seconds.
fn is_off_by(time: &str, offset: i64) -> bool {
    let time: i64 = time.lines().next().and_then(|seconds| seconds.trim().parse().ok()).expect("seconds");
    (time - now() - offset).abs() < 30
}

#[tokio::test]
async fn the_clock_of_a_program_can_be_moved() {
    let clock = FakeClock::new("+1h");
    let envs = clock.envs();
    let envs: Vec<_> = envs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let script = "date +first:%s; while [ ! -e go ]; do sleep 0.02; done; date +second:%s; pwd";
    let mut process = Process::spawn("/bin/sh", &["-c", &format!("pwd; {script}")], &envs);
    let first = process.wait_for_line("first:", LIMIT).await;
    assert!(is_off_by(&first[6..], 3600), "{first}");
    clock.set("-1h");
    let folder = process.stdout().lines().next().expect("a folder").to_owned();
    std::fs::write(format!("{folder}/go"), "").expect("written");
    let second = process.wait_for_line("second:", LIMIT).await;
    assert!(is_off_by(&second[7..], -3600), "{second}");
    assert!(process.wait(LIMIT).await.success());
}

#[tokio::test]
async fn the_clock_of_a_redis_can_be_moved() {
    let clock = FakeClock::new("+0");
    let redis = PrivateRedis::builder().clock(&clock).start().await;
    assert!(is_off_by(&redis.ask(&["TIME"]), 0));
    clock.set("+1h");
    eventually(LIMIT, "the clock is an hour ahead", async || is_off_by(&redis.ask(&["TIME"]), 3600).then_some(()))
        .await;
    clock.set("-1h");
    eventually(LIMIT, "the clock is an hour behind", async || is_off_by(&redis.ask(&["TIME"]), -3600).then_some(()))
        .await;
}
