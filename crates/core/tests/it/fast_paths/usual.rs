//! The usual job of a batch takes the fast paths, with the arguments that the store really sends.

use postroom_core::store::{FinishReply, Outcome, WorkerId};
use postroom_testkit::PrivateRedis;

use super::{WITHOUT_GENERAL_PATH, pair::eval, variant};
use crate::fixture::{Fixture, accepted, terms};

/// Returns the arguments of the last script call. The server's slow log records every command.
fn last_arguments(redis: &PrivateRedis) -> Vec<String> {
    let entry = redis.ask(&["SLOWLOG", "GET", "1"]);
    redis.ask(&["SLOWLOG", "RESET"]);
    let words: Vec<&str> = entry.split('\n').collect();
    let [_, _, _, command, _, _, _, arguments @ .., _, _] = &words[..] else { panic!("{entry}") };
    assert_eq!(*command, "EVALSHA", "{entry}");
    arguments.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn the_usual_row_takes_the_fast_paths() {
    let redis = PrivateRedis::builder().config("slowlog-log-slower-than", "0").start().await;
    let fixture = Fixture::on(&redis).await;
    let worker = WorkerId::generate();
    let mut calls = Vec::new();
    let mut record = |script: &'static str| calls.push((script, last_arguments(&redis)));

    let batch = fixture.create_batch().await;
    record("batch_create");
    fixture.enqueue_as(&batch.job(0), Some(&batch), &terms()).await;
    record("enqueue");
    let job = fixture.claim(&worker, 5).await.remove(0);
    record("claim");
    fixture.begin(&worker, &job).await;
    record("begin");
    let replies = fixture.finish_all(&worker, std::slice::from_ref(&job), Outcome::Sent, &accepted()).await;
    assert_eq!(replies, [FinishReply::Finished]);
    record("finish");

    // The same calls on another queue, where each general path raises an error.
    let base = format!("{{{}:emails}}", postroom_testkit::unique_prefix());
    for (script, arguments) in calls {
        let reply = eval(&base, &variant(script, &WITHOUT_GENERAL_PATH), &arguments);
        let expected = match script {
            "batch_create" => "created",
            "enqueue" => "enqueued",
            "claim" => "claimed",
            "begin" => "begun",
            _ => "finished",
        };
        assert_eq!(reply.lines().next(), Some(expected), "{script}: {reply}");
        assert!(script != "claim" || reply.contains(&job.id.to_string()), "{reply}");
    }
    let sent = PrivateRedis::shared().ask(&["HGET", &format!("{base}:b:{batch}"), "sent"]);
    assert_eq!(sent, "1", "the row is sent");
}
