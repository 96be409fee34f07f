//! What a worker needs to start, and what it says when that is missing.

use std::process::Command;

use postroom_testkit::{Process, target_bin};

use crate::bench::LIMIT;

async fn refusal(env: &[(&str, &str)], args: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(target_bin("postroom-worker"));
    command.args(args).current_dir(folder.path()).env_clear().envs(env.iter().copied());
    let mut process = Process::run(command);
    let status = process.wait(LIMIT).await;
    assert_eq!(status.code(), Some(2), "{}", process.stderr());
    process.stderr()
}

#[tokio::test]
async fn it_refuses_to_swallow_mail() {
    let told = refusal(&[], &[]).await;
    for word in ["SMTP_HOST", "MAIL_TRANSPORT", "[transport"] {
        assert!(told.contains(word), "{told}");
    }
}

#[tokio::test]
async fn wrong_settings_are_named() {
    for (env, word) in [
        (("QUEUES", "Bad Queue"), "QUEUES"),
        (("CONCURRENCY", "many"), "CONCURRENCY"),
        (("POSTROOM_PREFIXX", "x"), "POSTROOM_PREFIXX"),
        (("SHUTDOWN_TIMEOUT", "25"), "SHUTDOWN_TIMEOUT"),
    ] {
        let told = refusal(&[("MAIL_TRANSPORT", "discard"), env], &[]).await;
        assert!(told.contains(word), "{told}");
    }
    let told = refusal(&[("MAIL_TRANSPORT", "discard")], &["--queues", "no spaces"]).await;
    assert!(told.contains("no spaces"), "{told}");
}
