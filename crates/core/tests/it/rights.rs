//! A Redis user without a needed right: the error names the user, the command and the setting.

use postroom_core::{BatchId, Error, QueueName, Store};
use postroom_testkit::PrivateRedis;

use crate::fixture::redis_settings;

/// Starts a private Redis with a user who has these rights.
async fn redis_with_user(rules: &[&str]) -> PrivateRedis {
    let redis = PrivateRedis::start_tcp().await;
    let command = [&["ACL", "SETUSER", "ann", "on", ">secret"], rules].concat();
    assert_eq!(redis.ask(&command), "OK");
    redis
}

fn url_of_ann(redis: &PrivateRedis) -> String {
    format!("redis://ann:secret@{}", redis.addr())
}

/// Returns the error text for a missing right.
fn missing_right(error: Option<Error>) -> String {
    match error {
        Some(Error::Invalid(problem)) if problem.field == "REDIS_URL" => problem.problem,
        other => panic!("{other:?}"),
    }
}

fn assert_names(error: &str, words: &[&str]) {
    for word in words.iter().chain(&["docs/redis.md", "user ann"]) {
        assert!(error.contains(word), "{word:?} in {error}");
    }
}

#[tokio::test]
async fn a_command_that_is_not_permitted() {
    let redis = redis_with_user(&["~*", "+ping", "+info"]).await;
    let store = Store::connect(&redis_settings(&url_of_ann(&redis), "t")).await.expect("PING and INFO are permitted");
    let error = missing_right(store.known_queues().await.err());
    assert_names(&error, &["NOPERM", "SMEMBERS {t:system}:queues"]);
    let error = missing_right(store.seal_batch(&BatchId::new(QueueName::emails()), 0, 0).await.err());
    assert_names(&error, &["NOPERM", "the script batch_seal on {t:"]);
}

#[tokio::test]
async fn a_key_of_another_prefix() {
    let redis = redis_with_user(&["~{other:*", "+@all"]).await;
    let store = Store::connect(&redis_settings(&url_of_ann(&redis), "t")).await.expect("no key is used");
    assert_names(&missing_right(store.known_queues().await.err()), &["NOPERM", "SMEMBERS {t:system}:queues"]);
}

/// Redis 7.0 reports neither the command nor NOPERM there.
#[tokio::test]
async fn a_command_inside_a_script() {
    let redis = redis_with_user(&["~*", "+ping", "+info", "+evalsha", "+script"]).await;
    let store = Store::connect(&redis_settings(&url_of_ann(&redis), "t")).await.expect("PING and INFO are permitted");
    assert_names(
        &missing_right(store.seal_batch(&BatchId::new(QueueName::emails()), 0, 0).await.err()),
        &["the script batch_seal on {t:"],
    );
}

#[tokio::test]
async fn a_user_without_any_command() {
    let redis = redis_with_user(&["~*"]).await;
    let refused = Store::connect(&redis_settings(&url_of_ann(&redis), "t")).await.err();
    assert_names(&missing_right(refused), &["NOPERM", "PING"]);
}
