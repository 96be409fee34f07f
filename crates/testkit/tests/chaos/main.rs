//! What README guarantees, shown in seconds instead of minutes by the program behind `scripts/chaos`: each row of its
//! table, and faults in the order of fixed seeds.

use postroom_testkit::{Process, target_bin, target_example};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

/// Most of the time they wait, so many of them share few processors.
const AT_A_TIME: usize = 5;
/// The exit code of a run that shows nothing.
const VOID: i32 = 3;
const LIMIT: Duration = Duration::from_secs(240);

const RUNS: [&[&str]; 32] = [
    // The longest first.
    &["--seed", "1", "--minutes", "0.25", "--jobs", "900"],
    &["--seed", "2", "--minutes", "0.25", "--jobs", "900", "--on-unknown", "resend"],
    &["million-due"],
    &["hostile-content"],
    &["redis-stopped"],
    &["redis-cut-back"],
    &["redis-killed"],
    &["black-hole"],
    &["redis-failover"],
    &["sigterm"],
    &["sigterm", "--on-unknown", "resend"],
    &["workers-killed"],
    &["workers-killed", "--on-unknown", "resend"],
    &["worker-stopped"],
    &["worker-stopped", "--on-unknown", "resend"],
    &["redis-stalled"],
    &["redis-clock"],
    &["scheduled-cancelled"],
    &["scheduled-cancelled", "--on-unknown", "resend"],
    &["worker-clocks"],
    &["damaged-records"],
    &["batch-steered"],
    &["limit"],
    &["bulk-delay"],
    &["urgent-limited"],
    &["server-rate"],
    &["server-connections"],
    &["resend"],
    &["slow-clients"],
    &["redis-full"],
    &["lost-replies"],
    &["lost-replies", "--on-unknown", "resend"],
];

#[tokio::test]
async fn what_is_guaranteed_holds() {
    for program in ["postroom", "postroom-worker", "postroom-beat", "postroom-monitor"] {
        target_bin(program);
    }
    let (program, turns) = (target_example("postroom-chaos"), Rc::new(Semaphore::new(AT_A_TIME)));
    let (mut runs, local) = (JoinSet::new(), LocalSet::new());
    for args in RUNS {
        let (program, turns) = (program.clone(), Rc::clone(&turns));
        runs.spawn_local_on(
            async move {
                let _turn = turns.acquire().await.expect("it is never closed");
                let mut ended = play(&program, args).await;
                // A void run shows nothing either way: its moment was missed, on a machine with much else to do.
                if ended.0 == Some(VOID) {
                    ended = play(&program, args).await;
                }
                (ended.0 != Some(0)).then_some(ended.1)
            },
            &local,
        );
    }
    let failed: Vec<String> = local.run_until(runs.join_all()).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{} of {} runs failed:\n\n{}", failed.len(), RUNS.len(), failed.join("\n"));
}

/// The exit code of one run, and what it said.
async fn play(program: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program);
    // All was built before.
    command.args(args).arg("--quick").env("POSTROOM_TEST_BINS", "built");
    let mut process = Process::run(command);
    let status = process.wait(LIMIT).await;
    eprintln!("{status}: {}", process.stdout().lines().next().unwrap_or_default());
    (status.code(), format!("{status}\n{}{}", process.stdout(), process.stderr()))
}
