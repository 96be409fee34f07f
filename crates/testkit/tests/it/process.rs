//! Child processes.

use postroom_testkit::{Process, eventually};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

fn shell(script: &str, envs: &[(&str, &str)]) -> Process {
    Process::spawn("/bin/sh", &["-c", script], envs)
}

#[tokio::test]
async fn output_is_captured_during_and_after_the_run() {
    let script = "echo ready; while [ ! -e go ]; do sleep 0.01; done; echo done; echo oops >&2; exit 3";
    let mut process = shell(&format!("echo $PWD; {script}"), &[]);
    process.wait_for_line("ready", LIMIT).await;
    assert!(process.is_running() && !process.stdout().contains("done"));
    let folder = process.stdout().lines().next().expect("a folder").to_owned();
    std::fs::write(format!("{folder}/go"), "").expect("written");
    assert_eq!(process.wait(LIMIT).await.code(), Some(3));
    assert_eq!((process.stdout(), process.stderr()), (format!("{folder}\nready\ndone\n"), "oops\n".to_owned()));
}

#[tokio::test]
async fn a_process_gets_only_the_given_environment() {
    let mut process = shell("echo ${CARGO_PKG_NAME-none} $QUEUES; ls -a", &[("QUEUES", "emails:5")]);
    assert!(process.wait(LIMIT).await.success());
    assert_eq!(process.stdout(), "none emails:5\n.\n..\n");
}

#[tokio::test]
async fn signals_reach_the_process() {
    let mut process = shell("trap 'exit 7' TERM; trap 'echo again' HUP; echo ready; while :; do sleep 0.02; done", &[]);
    process.wait_for_line("ready", LIMIT).await;
    assert!(process.rss_kb() > 0);
    process.hang_up();
    process.wait_for_line("again", LIMIT).await;
    process.stop();
    eventually(LIMIT, "the process is stopped", async || (state(&process) == "T").then_some(())).await;
    process.terminate();
    assert!(process.is_running());
    process.cont();
    assert_eq!(process.wait(LIMIT).await.code(), Some(7));
}

#[tokio::test]
async fn a_killed_process_ends_at_once() {
    let mut process = shell("exec sleep 60", &[]);
    process.kill();
    assert_eq!(process.wait(LIMIT).await.signal(), Some(9));
    process.terminate();
}

#[tokio::test]
#[should_panic(expected = "no line with \"never\" within 50ms\n--- stdout\nready\n--- stderr\n")]
async fn a_missing_line_shows_the_output() {
    let process = shell("echo ready; exec sleep 60", &[]);
    process.wait_for_line("ready", LIMIT).await;
    process.wait_for_line("never", Duration::from_millis(50)).await;
}

#[tokio::test]
#[should_panic(expected = "not within 20ms: pigs fly")]
async fn a_condition_that_never_holds_is_named() {
    eventually(Duration::from_millis(20), "pigs fly", async || None::<()>).await;
}

fn state(process: &Process) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).expect("the process exists");
    stat.rsplit_once(") ").expect("a state").1[..1].to_owned()
}
