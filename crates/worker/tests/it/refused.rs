//! Scripts that Redis refuses and records that are damaged: reported once, with a pause, and no
//! mail is lost.

use std::process::Command;

use postroom_core::JobState;
use postroom_testkit::{FakeSmtp, PrivateRedis, Process, eventually, target_bin};

use crate::fixture::{Fixture, LIMIT, mail_to};

async fn doctor(fixture: &Fixture) -> (i32, String) {
    let mut command = Command::new(target_bin("postroom"));
    command.arg("doctor").current_dir(fixture.folder()).env_clear().envs(fixture.env.iter().cloned());
    let mut process = Process::run(command);
    let status = process.wait(LIMIT).await;
    (status.code().expect("an exit code"), format!("{}{}", process.stdout(), process.stderr()))
}

#[tokio::test]
async fn a_refused_script_is_logged_once_and_retried_after_a_pause() {
    let redis = PrivateRedis::start().await;
    let fixture = Fixture::on(&redis, FakeSmtp::start().await).await;
    let worker = fixture.worker(&["--queues", "emails,bulk"]).await;
    assert_eq!(redis.ask(&["ACL", "SETUSER", "default", "-zadd"]), "OK");
    let id = fixture.enqueue(mail_to("ann@example.org")).await;
    let info = fixture.reports("an alert", |info| !info.alerts.is_empty()).await;
    assert_eq!(info.alerts[0].about, "refused:emails", "{info:?}");
    let (code, output) = doctor(&fixture).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("FAIL workers") && output.contains("emails is not served"), "{output}");
    // The script is retried without filling the log.
    eventually(LIMIT, "another attempt", async || {
        let refused = redis.ask(&["ACL", "LOG"]).matches("zadd").count();
        (refused > 0).then_some(())
    })
    .await;
    let lines = worker.stderr().lines().filter(|line| line.contains("ERROR")).count();
    assert!(lines <= 4, "{}", worker.stderr());
    assert_eq!(redis.ask(&["ACL", "SETUSER", "default", "+zadd"]), "OK");
    fixture.reaches(&id, JobState::Sent).await;
    assert_eq!(fixture.arrived(), ["ann@example.org"], "the mail was not sent once");
}

#[tokio::test]
async fn a_damaged_record_is_reported_and_all_other_mail_is_sent() {
    let fixture = Fixture::new().await;
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(fixture.enqueue(mail_to(&format!("user{number:02}@example.org"))).await);
    }
    let redis = PrivateRedis::shared();
    redis.ask(&["SET", &fixture.key(&format!("f:{}", ids[7].short())), "garbage"]);
    redis.ask(&["HSET", &fixture.key(&format!("h:{}", ids[15].short())), "fence", "garbage"]);
    redis.ask(&["DEL", &fixture.payload_key(&ids[20])]);
    redis.ask(&["RPUSH", &fixture.payload_key(&ids[20]), "garbage"]);
    let worker = fixture.worker(&["--queues", "emails"]).await;
    for (number, id) in ids.iter().enumerate() {
        let damaged = [7, 15, 20].contains(&number);
        let job = fixture.reaches(id, if damaged { JobState::Failed } else { JobState::Sent }).await;
        assert_eq!(job.error.is_some_and(|error| error.code == "damaged"), damaged, "{number}");
    }
    assert_eq!(fixture.arrived().len(), 27);
    let info = fixture.reports("an alert", |info| !info.alerts.is_empty()).await;
    assert_eq!(info.alerts[0].about, "damage:emails");
    let (code, output) = doctor(&fixture).await;
    assert_eq!(code, 0, "doctor reports a failure: {output}");
    for number in [7, 15, 20] {
        assert!(output.contains(&format!("job {}: ", ids[number])), "{number}: {output}");
    }
    let lines = worker.stderr().lines().filter(|line| line.contains("ERROR")).count();
    assert!(lines <= 2, "{}", worker.stderr());
}
