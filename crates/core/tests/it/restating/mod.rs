//! Redis forgets its last moments; what workers and whoever put mail in say again makes it whole.

mod chance;
mod steps;

use postroom_core::{OnUnknown, store::JobTerms};
use postroom_testkit::PrivateRedis;

use crate::fixture::{Fixture, terms};

/// All of a fixture as it is now, kept aside.
fn remember(fixture: &Fixture) {
    copy(fixture, "0", "1");
}

/// Redis forgets what happened since.
fn forget(fixture: &Fixture) {
    copy(fixture, "1", "0");
}

fn copy(fixture: &Fixture, from: &str, to: &str) {
    let script = "local pattern = '{' .. ARGV[3] .. ':*'
        redis.call('SELECT', ARGV[2])
        for _, key in ipairs(redis.call('KEYS', pattern)) do redis.call('DEL', key) end
        redis.call('SELECT', ARGV[1])
        for _, key in ipairs(redis.call('KEYS', pattern)) do redis.call('COPY', key, key, 'DB', ARGV[2]) end";
    let told = PrivateRedis::shared().ask(&["EVAL", script, "0", from, to, &fixture.prefix]);
    assert!(!told.starts_with('-'), "{told}");
}

fn held_terms() -> JobTerms {
    let mut terms = terms();
    terms.policy.on_unknown = OnUnknown::Hold;
    terms
}
