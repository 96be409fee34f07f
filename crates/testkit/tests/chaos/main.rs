//! Quick runs of the program behind `scripts/chaos`: each scenario of `docs/guarantees.md`, and
//! faults in the order of fixed seeds.

use postroom_testkit::{Process, target_bin, target_example};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

/// Number of concurrent runs. They mostly wait, so it may exceed the number of processors.
const CONCURRENT_RUNS: usize = 5;
/// Exit code of a void run.
const VOID: i32 = 3;
const LIMIT: Duration = Duration::from_secs(240);

const RUNS: [&[&str]; 32] = [
    // The longest runs first.
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
async fn every_guarantee_holds() {
    for program in ["postroom", "postroom-worker", "postroom-beat", "postroom-monitor"] {
        target_bin(program);
    }
    let (program, permits) = (target_example("postroom-chaos"), Rc::new(Semaphore::new(CONCURRENT_RUNS)));
    let (mut runs, local) = (JoinSet::new(), LocalSet::new());
    for args in RUNS {
        let (program, permits) = (program.clone(), Rc::clone(&permits));
        runs.spawn_local_on(
            async move {
                let _permit = permits.acquire().await.expect("the semaphore is never closed");
                let mut result = run(&program, args).await;
                // On a busy machine, a fault may come at a moment that makes the run void. Try once
                // more.
                if result.0 == Some(VOID) {
                    result = run(&program, args).await;
                }
                (result.0 != Some(0)).then_some(result.1)
            },
            &local,
        );
    }
    let failed: Vec<String> = local.run_until(runs.join_all()).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{} of {} runs failed:\n\n{}", failed.len(), RUNS.len(), failed.join("\n"));
}

/// Returns the exit code and the output of one run.
async fn run(program: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program);
    // The test has already built all programs.
    command.args(args).arg("--quick").env("POSTROOM_TEST_BINS", "built");
    let mut process = Process::run(command);
    let status = process.wait(LIMIT).await;
    eprintln!("{status}: {}", process.stdout().lines().next().unwrap_or_default());
    (status.code(), format!("{status}\n{}{}", process.stdout(), process.stderr()))
}
