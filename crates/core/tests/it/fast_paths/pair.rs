//! Two queues that get the same calls: one with the fast paths, one without.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::LazyLock,
};

use postroom_testkit::{PrivateRedis, unique_prefix};
use serde_json::{Map, Value, json};

use super::{WITHOUT_FAST_PATH, changed, variant};

const SCRIPTS: [&str; 10] =
    ["batch_create", "batch_steer", "batch_cancel", "enqueue", "claim", "begin", "finish", "defer", "cancel", "sweep"];

/// Takes the time from a key of the queue, in seconds.
const FIXED_TIME: super::TextChange =
    ("local clock = redis.call('TIME')", "local clock = { redis.call('GET', KEYS[1] .. ':clock'), '250000' }");

/// Returns each key of a queue without its base key, its lifetime in ms and its value, as JSON.
const DUMP: &str = "
    local reply, read = {}, {
      string = function(key) return redis.call('GET', key) end,
      list = function(key) return redis.call('LRANGE', key, 0, -1) end,
      zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
      hash = function(key) return redis.call('HGETALL', key) end,
    }
    for _, key in ipairs(redis.call('KEYS', KEYS[1] .. ':*')) do
      local kind = redis.call('TYPE', key).ok
      local entry = { string.sub(key, #KEYS[1] + 2), redis.call('PTTL', key), kind, read[kind](key) }
      reply[#reply + 1] = cjson.encode(entry)
    end
    return reply";

type ScriptTexts = HashMap<&'static str, String>;

static FAST: LazyLock<ScriptTexts> = LazyLock::new(|| texts(&[]));
static GENERAL: LazyLock<ScriptTexts> = LazyLock::new(|| texts(&WITHOUT_FAST_PATH));

fn texts(changes: &[(&str, super::TextChange)]) -> ScriptTexts {
    SCRIPTS.iter().map(|script| (*script, changed(&variant(script, changes), FIXED_TIME))).collect()
}

/// A stored value and its lifetime in ms.
type StoredKeys = BTreeMap<String, (Value, i64)>;

/// Runs a script's text on a queue and returns the reply as text.
pub(super) fn eval(base: &str, text: &str, args: &[String]) -> String {
    let mut words = vec!["EVAL", text, "1", base];
    words.extend(args.iter().map(String::as_str));
    PrivateRedis::shared().ask(&words)
}

pub(super) struct QueuePair {
    fast: String,
    general: String,
    now: u64,
}

impl QueuePair {
    pub(super) fn new() -> Self {
        let base = || format!("{{{}:emails}}", unique_prefix());
        let time = PrivateRedis::shared().ask(&["TIME"]);
        let now = time.lines().next().and_then(|seconds| seconds.parse().ok()).expect("seconds");
        let pair = Self { fast: base(), general: base(), now };
        pair.raw("SET", "clock", &[&now.to_string()]);
        pair
    }

    /// Current time of both queues in ms.
    pub(super) fn now_ms(&self) -> u64 {
        self.now * 1_000 + 250
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now += seconds;
        self.raw("SET", "clock", &[&self.now.to_string()]);
    }

    /// Runs a command on the same key of both queues.
    pub(super) fn raw(&self, command: &str, key: &str, args: &[&str]) {
        for base in [&self.fast, &self.general] {
            let key = format!("{base}:{key}");
            PrivateRedis::shared().ask(&[&[command, &key], args].concat());
        }
    }

    /// Runs a script on both queues. Asserts that the replies and all stored keys are the same, and
    /// returns the reply.
    pub(super) fn call(&self, script: &str, args: &[String]) -> String {
        let args = [&["1".to_owned()], args].concat();
        let reply = eval(&self.fast, &FAST[script], &args);
        assert!(!reply.starts_with('-'), "{script} {args:?}: {reply}");
        assert_eq!(reply, eval(&self.general, &GENERAL[script], &args), "reply of {script} {args:?}");
        compare(&stored(&self.fast), &stored(&self.general), &format!("{script} {args:?}"));
        reply
    }
}

fn compare(fast: &StoredKeys, general: &StoredKeys, call: &str) {
    let keys: BTreeSet<&String> = fast.keys().chain(general.keys()).collect();
    let both = |key: &String| (fast.get(key).map(|entry| &entry.0), general.get(key).map(|entry| &entry.0));
    let differing: Vec<_> = keys.iter().map(|key| (key, both(key))).filter(|(_, (one, other))| one != other).collect();
    assert!(differing.is_empty(), "fast and general path after {call}: {differing:#?}");
    for (key, (_, lifetime)) in fast {
        let other = general[key].1;
        assert_eq!(lifetime.is_positive(), other.is_positive(), "{key} expires after {call}");
        // The calls are some time apart.
        assert!(lifetime.abs_diff(other) < 60_000, "{key} lives {lifetime} and {other} ms after {call}");
    }
}

fn stored(base: &str) -> StoredKeys {
    let dump = eval(base, DUMP, &[]);
    let entries = dump.lines().map(|line| {
        let (key, lifetime, kind, value): (String, i64, String, Value) = serde_json::from_str(line).expect("an entry");
        let (key, value) = match (kind.as_str(), key.strip_prefix("f:")) {
            ("hash", _) => (key, fields(value)),
            ("string", Some(id)) => match begun(&value) {
                Some(fields) => (format!("h:{id}"), Value::Object(fields)),
                None => (key, value),
            },
            _ => (key, value),
        };
        (key, (value, lifetime))
    });
    entries.collect()
}

/// Returns a hash with its fields in order. A job that was set aside keeps its flight in one field.
fn fields(flat: Value) -> Value {
    let Value::Array(flat) = flat else { panic!("{flat}: a hash") };
    let pairs = flat.chunks(2).map(|pair| (pair[0].as_str().expect("a field").to_owned(), pair[1].clone()));
    let mut fields: Map<String, Value> = pairs.collect();
    if let Some(begun) = fields.get("flight").and_then(begun) {
        fields.remove("flight");
        let kept =
            begun.into_iter().filter(|(field, _)| ["claimed_ms", "date_ms", "message_id"].contains(&field.as_str()));
        fields.extend(kept);
    }
    Value::Object(fields)
}

/// Returns the fields of a begun flight. The general path of `begin` stores them as a hash; scripts
/// read both forms alike.
fn begun(flight: &Value) -> Option<Map<String, Value>> {
    let words: Vec<&str> = flight.as_str()?.split(' ').collect();
    let [fence, worker, claimed, _, _, _, begun, date, message_id] = words[..] else { return None };
    let fields = [
        ("state", "sending"),
        ("fence", fence),
        ("worker", worker),
        ("claimed_ms", claimed),
        ("begun_ms", begun),
        ("date_ms", date),
        ("message_id", message_id),
    ];
    Some(fields.into_iter().map(|(field, value)| (field.to_owned(), json!(value))).collect())
}
