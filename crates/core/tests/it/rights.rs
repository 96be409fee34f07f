//! A user of Redis who lacks a right: the error names the user, what was asked and the setting.

use postroom_core::{BatchId, Error, QueueName, Store};
use postroom_testkit::PrivateRedis;

use crate::fixture::redis_settings;

/// A private Redis with a user who may do what the rules say.
async fn redis_with_user(rules: &[&str]) -> PrivateRedis {
    let redis = PrivateRedis::start_tcp().await;
    let command = [&["ACL", "SETUSER", "ann", "on", ">secret"], rules].concat();
    assert_eq!(redis.ask(&command), "OK");
    redis
}

fn url_of_ann(redis: &PrivateRedis) -> String {
    format!("redis://ann:secret@{}", redis.addr())
}

/// What is said of a right that is missing.
fn lacks(error: Option<Error>) -> String {
    match error {
        Some(Error::Invalid(problem)) if problem.field == "REDIS_URL" => problem.problem,
        other => panic!("{other:?}"),
    }
}

fn assert_says(told: &str, words: &[&str]) {
    for word in words.iter().chain(&["docs/redis.md", "user ann"]) {
        assert!(told.contains(word), "{word:?} in {told}");
    }
}

#[tokio::test]
async fn a_command_that_is_not_permitted() {
    let redis = redis_with_user(&["~*", "+ping", "+info"]).await;
    let store = Store::connect(&redis_settings(&url_of_ann(&redis), "t")).await.expect("PING and INFO are permitted");
    let told = lacks(store.known_queues().await.err());
    assert_says(&told, &["NOPERM", "SMEMBERS {t:system}:queues"]);
    let told = lacks(store.seal_batch(&BatchId::new(QueueName::emails()), 0, 0).await.err());
    assert_says(&told, &["NOPERM", "the script batch_seal on {t:"]);
}

#[tokio::test]
async fn a_key_of_another_prefix() {
    let redis = redis_with_user(&["~{other:*", "+@all"]).await;
    let store = Store::connect(&redis_settings(&url_of_ann(&redis), "t")).await.expect("no key is needed");
    assert_says(&lacks(store.known_queues().await.err()), &["NOPERM", "SMEMBERS {t:system}:queues"]);
}

/// Redis 7.0 says neither the command nor NOPERM there.
#[tokio::test]
async fn a_command_inside_a_script() {
    let redis = redis_with_user(&["~*", "+ping", "+info", "+evalsha", "+script"]).await;
    let store = Store::connect(&redis_settings(&url_of_ann(&redis), "t")).await.expect("PING and INFO are permitted");
    assert_says(
        &lacks(store.seal_batch(&BatchId::new(QueueName::emails()), 0, 0).await.err()),
        &["the script batch_seal on {t:"],
    );
}

#[tokio::test]
async fn not_even_ping() {
    let redis = redis_with_user(&["~*"]).await;
    let refused = Store::connect(&redis_settings(&url_of_ann(&redis), "t")).await.err();
    assert_says(&lacks(refused), &["NOPERM", "PING"]);
}
