//! Checks that docs/redis.md lists exactly the rights in Redis that each program needs.

use std::collections::BTreeSet;

use super::{Script, assembly::assemble};

/// A user in docs/redis.md, with the scripts and the plain commands of its program.
struct User {
    name: &'static str,
    scripts: &'static [Script],
    commands: &'static [&'static str],
}

/// Commands of every program: SELECT for a database other than 0, SCRIPT LOAD and EVALSHA for
/// scripts.
const COMMON: [&str; 5] = ["evalsha", "info", "ping", "script|load", "select"];

/// Commands of newer servers, which docs/redis.md adds for those only.
const NEWER: [&str; 1] = ["waitaof"];

const USERS: [User; 4] = [
    User {
        name: "postroom-app",
        scripts: &[
            Script::Mend,
            Script::Peek,
            Script::Capture,
            Script::BatchCancel,
            Script::BatchCreate,
            Script::BatchNotify,
            Script::BatchSeal,
            Script::BatchSteer,
            Script::Batches,
            Script::Cancel,
            Script::ContentKeep,
            Script::Enqueue,
            Script::Jobs,
            Script::LimitStates,
            Script::Pause,
            Script::Reserve,
            Script::Resolve,
            Script::Retry,
            Script::ScheduleList,
        ],
        commands: &[
            "get",
            "getrange",
            "hdel",
            "hexists",
            "hget",
            "hgetall",
            "hset",
            "llen",
            "lpush",
            "lrange",
            "ltrim",
            "sadd",
            "set",
            "smembers",
            "time",
            "wait",
            "zcard",
            "zrange",
            "zrevrange",
        ],
    },
    User {
        name: "postroom-worker",
        scripts: &[
            Script::Mend,
            Script::Capture,
            Script::Begin,
            Script::Claim,
            Script::ConnectionsHold,
            Script::ContentKeep,
            Script::Defer,
            Script::Enqueue,
            Script::Finish,
            Script::Jobs,
            Script::LimitGiveBack,
            Script::LimitHeard,
            Script::LimitTake,
            Script::Peek,
            Script::Prune,
            Script::Renew,
            Script::Restate,
            Script::SayAlive,
            Script::Sweep,
            Script::WebhookAdd,
            Script::WebhookDefer,
            Script::WebhookTake,
            Script::Batches,
        ],
        commands: &[
            "blpop", "get", "hdel", "hget", "hgetall", "hmget", "lpush", "ltrim", "sadd", "set", "zrange", "zrem",
        ],
    },
    User {
        name: "postroom-beat",
        scripts: &[
            Script::Mend,
            Script::BatchCreate,
            Script::BatchSeal,
            Script::ContentKeep,
            Script::Enqueue,
            Script::SayAlive,
            Script::ScheduleDue,
            Script::SchedulePut,
            Script::ScheduleRemove,
            Script::ScheduleTick,
        ],
        commands: &["hdel", "sadd", "xdel", "zrange"],
    },
    User {
        name: "postroom-monitor",
        scripts: &[
            Script::Mend,
            Script::BatchCancel,
            Script::BatchSteer,
            Script::Batches,
            Script::Cancel,
            Script::Jobs,
            Script::Pause,
            Script::Resolve,
            Script::Retry,
            Script::SayAlive,
            Script::ScheduleList,
        ],
        commands: &[
            "get",
            "getrange",
            "hdel",
            "hexists",
            "hget",
            "hgetall",
            "llen",
            "lrange",
            "mget",
            "set",
            "strlen",
            "unlink",
            "smembers",
            "time",
            "zcard",
            "zrange",
            "zrevrange",
        ],
    },
];

#[test]
fn docs_list_exactly_the_needed_rights() {
    let page = include_str!("../../../../../docs/redis.md");
    let wrong: Vec<String> = USERS.iter().filter_map(|user| user.mismatch(page)).collect();
    assert!(wrong.is_empty(), "docs/redis.md must contain:\n{}", wrong.join("\n"));
}

#[test]
fn every_plain_command_belongs_to_a_user() {
    let known: BTreeSet<String> = USERS.iter().flat_map(User::needed).chain(NEWER.map(str::to_owned)).collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    for file in files(&folder).into_iter().filter(|file| !file.ends_with("rights.rs")) {
        let source = std::fs::read_to_string(&file).expect("a source file");
        let plain = source.split("cmd(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let around: &[&str] = if source.contains(".atomic()") { &["MULTI", "EXEC"] } else { &[] };
        for word in plain.chain(around.iter().copied()) {
            let word = word.to_lowercase();
            // Sentinels have users of their own. A denied CONFIG is handled.
            let is_known = known.contains(&word) || ["sentinel", "config", ""].contains(&word.as_str());
            assert!(is_known, "{} calls {word}, which docs/redis.md grants to no user", file.display());
        }
    }
}

impl User {
    /// Returns the line that the page should have for this user, if it differs.
    fn mismatch(&self, page: &str) -> Option<String> {
        let start = format!("ACL SETUSER {} reset ", self.name);
        let line = page.lines().find(|line| line.starts_with(&start)).unwrap_or_default();
        let permitted: BTreeSet<String> =
            line.split(' ').filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect();
        let needed = self.needed();
        let rules: Vec<String> = needed.iter().map(|command| format!("+{command}")).collect();
        (permitted != needed).then(|| format!("{start}on >PASSWORD ~{{postroom:* {}", rules.join(" ")))
    }

    fn needed(&self) -> BTreeSet<String> {
        let plain = COMMON.iter().chain(self.commands).map(|command| (*command).to_owned());
        plain.chain(self.scripts.iter().flat_map(|script| commands(&assemble(*script)))).collect()
    }
}

/// Returns the commands in a script: quoted uppercase words, including those stored in variables
/// before the call.
fn commands(source: &str) -> Vec<String> {
    let words = source.split('\'').skip(1).step_by(2);
    let is_command = |word: &&str| word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase());
    let options = ["COUNT", "LIMIT", "MAXLEN", "WITHSCORES", "WRONGTYPE"];
    words.filter(is_command).filter(move |word| !options.contains(word)).map(str::to_lowercase).collect()
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
