//! Redis loses its last writes; workers and producers restore them with a resync.

mod random;
mod steps;

use postroom_core::{OnUnknown, store::JobTerms};
use postroom_testkit::PrivateRedis;

use crate::fixture::{Fixture, terms};

/// Copies all keys of a fixture to another database.
fn save(fixture: &Fixture) {
    copy(fixture, "0", "1");
}

/// Restores the keys from the copy: Redis loses the writes since.
fn lose_writes(fixture: &Fixture) {
    copy(fixture, "1", "0");
}

fn copy(fixture: &Fixture, from: &str, to: &str) {
    let script = "local pattern = '{' .. ARGV[3] .. ':*'
        redis.call('SELECT', ARGV[2])
        for _, key in ipairs(redis.call('KEYS', pattern)) do redis.call('DEL', key) end
        redis.call('SELECT', ARGV[1])
        for _, key in ipairs(redis.call('KEYS', pattern)) do redis.call('COPY', key, key, 'DB', ARGV[2]) end";
    let reply = PrivateRedis::shared().ask(&["EVAL", script, "0", from, to, &fixture.prefix]);
    assert!(!reply.starts_with('-'), "{reply}");
}

fn held_terms() -> JobTerms {
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    terms
}
