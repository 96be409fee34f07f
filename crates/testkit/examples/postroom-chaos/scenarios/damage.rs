//! Random damage to records in Redis while mail is sent.

use super::{ScenarioRun, slow};
use crate::{
    load::{Load, recipient},
    processes::ProcessGroup,
    report::Report,
    testbed::Testbed,
};
use fastrand::Rng;
use postroom_testkit::PrivateRedis;
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

const WORKERS: usize = 3;
const CONCURRENCY: usize = 30;
/// Maximum number of log lines of a worker at level WARN or ERROR.
const MAX_LINES: usize = 100;
const UNFINISHED: [&str; 4] = ["scheduled", "queued", "sending", "deferred"];

/// Mutates records of victims and shared records at random, while good mails and victims are sent.
/// The own records of good mails are not touched.
pub(super) async fn records(run: ScenarioRun, mut report: Report) -> Report {
    let (good, victims, mutations) = run.scale.pick((20_000, 1_500, 2_000), (2_000, 300, 400));
    let testbed = run.testbed(PrivateRedis::start().await, None).await;
    slow(&testbed, Duration::from_millis(40));
    let mut load = Load::new(&testbed);
    // Alternate good mails and victims, so that workers claim both all the time.
    let mut good_ones = BTreeSet::new();
    let mut batches = Vec::new();
    for _ in 0..10 {
        let (_, first) = load.bulk(good / 10, &[]).await;
        good_ones.extend(first..first + good / 10);
        batches.push(load.bulk(victims / 10, &[]).await.0);
    }
    let mut mutator = Mutator::new(&testbed, run.seed, &batches).await;
    let mut processes = ProcessGroup::workers(&testbed, WORKERS, CONCURRENCY).await;
    let pace = run.scale.seconds(20.0, 3.0) / u32::try_from(mutations).unwrap_or(1);
    for _ in 0..mutations {
        mutator.mutate();
        tokio::time::sleep(pace).await;
    }
    let over = Instant::now();
    let arrived = testbed.smtp.received_count();
    let settled = wait_until_settled(&testbed, &batches, &good_ones, run.scale.settle_limit()).await;
    finish(run, &mut report, &testbed, &mut processes, &mutator, &good_ones, settled).await;
    report.note(format!(
        "seed {}: {arrived} mails had arrived when the last of {mutations} mutations was made",
        run.seed
    ));
    report.within(
        "all is settled after the last mutation",
        run.scale.lease() + run.scale.settle_limit(),
        Some(over.elapsed()),
    );
    report
}

async fn finish(
    run: ScenarioRun,
    report: &mut Report,
    testbed: &Testbed,
    processes: &mut ProcessGroup,
    mutator: &Mutator,
    good_ones: &BTreeSet<usize>,
    victims: Vec<Value>,
) {
    let mut copies = std::collections::BTreeMap::<String, usize>::new();
    for to in testbed.smtp.received().into_iter().flat_map(|mail| mail.rcpt_to) {
        *copies.entry(to).or_default() += 1;
    }
    let number = |to: usize| copies.get(&recipient(to)).copied().unwrap_or(0);
    let once = good_ones.iter().filter(|to| number(**to) == 1).count();
    report.check(
        "every good mail arrives exactly once",
        format!("{once} of {}", good_ones.len()),
        once == good_ones.len(),
    );
    let twice = copies.values().filter(|copies| **copies > 1).count();
    report.at_most("mails sent twice", 0, twice);
    let text = |job: &Value, field: &str| job[field].as_str().unwrap_or_default().to_owned();
    let of_state = |state: &str| victims.iter().filter(|job| text(job, "state") == state).count();
    let description = |job: &Value| {
        let id = text(job, "id");
        format!("{id} is {}: {} ({})", text(job, "state"), text(&job["error"], "message"), mutator.records(&id))
    };
    let left: Vec<String> = victims.iter().filter(|job| is_left(job)).map(description).collect();
    report.none("damaged jobs not set aside", &left);
    let failed = victims.iter().filter(|job| job["state"] == "failed");
    let unexplained = failed.filter(|job| text(&job["error"], "message").is_empty()).count();
    report.at_most("failed jobs without an error", 0, unexplained);
    let newer = victims.iter().filter(|job| text(&job["error"], "code") == "newer").count();
    report.note(format!(
        "{} of {} victims were mutated: {} jobs set aside, {} unknown, {} sent, {newer} wait for a newer version",
        mutator.damaged.len(),
        mutator.jobs.len(),
        of_state("failed"),
        of_state("unknown"),
        of_state("sent"),
    ));
    report.at_most("workers that ended", 0, WORKERS - processes.running());
    let lines = |text: &str| text.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    report.at_most("log lines at level WARN or ERROR", MAX_LINES * WORKERS, lines(&processes.logs()));
    run.note_logs(report, processes);
}

/// Whether the job would wait forever. A job written by a newer version waits for a newer worker.
fn is_left(job: &Value) -> bool {
    let state = job["state"].as_str().unwrap_or_default();
    UNFINISHED.contains(&state) && job["error"]["code"] != "newer"
}

/// Waits until the good mails have arrived and no victim waits. Returns the victims.
///
/// The received mails are copied only if their number suffices and has grown. The victims are
/// listed only once all good mails have arrived.
async fn wait_until_settled(
    testbed: &Testbed,
    batches: &[String],
    good: &BTreeSet<usize>,
    limit: Duration,
) -> Vec<Value> {
    let end = Instant::now() + limit;
    let (mut checked_count, mut all_good) = (0, false);
    loop {
        let count = testbed.smtp.received_count();
        if !all_good && count >= good.len() && count > checked_count {
            let arrived: HashSet<String> = testbed.smtp.received().into_iter().flat_map(|mail| mail.rcpt_to).collect();
            (checked_count, all_good) = (count, good.iter().all(|to| arrived.contains(&recipient(*to))));
        }
        let late = Instant::now() > end;
        if all_good || late {
            let victims = victims(testbed, batches).await;
            if late || !victims.iter().any(is_left) {
                return victims;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn victims(testbed: &Testbed, batches: &[String]) -> Vec<Value> {
    let mut victims = Vec::new();
    for batch in batches {
        victims.extend(testbed.json(&["list", "--batch", batch, "--limit", "100000"]).await);
    }
    victims
}

/// Mutates records of victims and of the queue.
struct Mutator {
    redis: Arc<PrivateRedis>,
    rng: Rng,
    base: String,
    batches: Vec<String>,
    /// Ids of the victims.
    jobs: Vec<String>,
    /// Ids of the victims with intact records.
    intact: Vec<String>,
    damaged: BTreeSet<String>,
}

fn shuffled(jobs: &[String], rng: &mut Rng) -> Vec<String> {
    let mut jobs = jobs.to_vec();
    rng.shuffle(&mut jobs);
    jobs
}

impl Mutator {
    async fn new(testbed: &Testbed, seed: u64, batches: &[String]) -> Self {
        let mut jobs = Vec::new();
        for batch in batches {
            let listed = testbed.json(&["list", "--batch", batch, "--limit", "100000"]).await;
            jobs.extend(listed.iter().filter_map(|job| job["id"].as_str().map(str::to_owned)));
        }
        let mut rng = Rng::with_seed(seed);
        Self {
            redis: testbed.redis(),
            intact: shuffled(&jobs, &mut rng),
            rng,
            base: "{chaos:bulk}".to_owned(),
            batches: batches.to_vec(),
            jobs,
            damaged: BTreeSet::new(),
        }
    }

    fn ask(&self, command: &str, key: &str, words: &[&str]) -> String {
        let key = format!("{}:{key}", self.base);
        self.redis.ask(&[&[command, &key], words].concat())
    }

    /// Describes the records of a job, for a failed check.
    fn records(&self, id: &str) -> String {
        let short = id.rsplit('-').next().unwrap_or_default();
        let ready = self.ask("LPOS", "ready:5", &[id]);
        let lease = self.ask("ZSCORE", "leases", &[id]);
        let flight = self.ask("GET", &format!("f:{short}"), &[]);
        let hash = self.ask("HGETALL", &format!("h:{short}"), &[]);
        format!("in ready:5 at {ready:?}, lease {lease:?}, flight {flight:?}, hash {hash:?}")
    }

    fn mutate(&mut self) {
        match self.rng.u8(..20) {
            0..6 => self.payload(),
            6..10 => self.hash(),
            10..14 => self.flight(),
            14..16 => self.list(),
            16..18 => self.zset(),
            18 => self.batch(),
            _ => self.queue(),
        }
    }

    /// Returns the last 26 characters of the id of an intact victim, or of a damaged one if none is
    /// intact.
    fn victim(&mut self) -> String {
        let intact = self.intact.pop();
        let id = intact.unwrap_or_else(|| self.jobs[self.rng.usize(..self.jobs.len())].clone());
        let short = id.rsplit('-').next().unwrap_or_default().to_owned();
        self.damaged.insert(id);
        short
    }

    fn garbage(&mut self) -> String {
        let length = self.rng.usize(0..40);
        (0..length).map(|_| self.rng.char('\u{20}'..'\u{17f}')).collect()
    }

    /// Replaces a key with one of another type.
    fn retype(&mut self, key: &str) {
        self.ask("DEL", key, &[]);
        match self.rng.u8(..4) {
            0 => self.ask("RPUSH", key, &["garbage"]),
            1 => self.ask("HSET", key, &["garbage", "1"]),
            2 => self.ask("ZADD", key, &["1", "garbage"]),
            _ => self.ask("SADD", key, &["garbage"]),
        };
    }

    fn payload(&mut self) {
        let short = self.victim();
        let old = self.ask("GET", &short, &[]);
        match self.rng.u8(..8) {
            0 => self.retype(&short),
            1 => drop(self.ask("DEL", &short, &[])),
            2 => drop(self.ask("SET", &short, &[""])),
            3 => {
                let garbage = self.garbage();
                self.ask("SET", &short, &[&garbage]);
            }
            4 => {
                let end = self.rng.usize(0..=old.chars().count());
                self.ask("SET", &short, &[&old.chars().take(end).collect::<String>()]);
            }
            5 if self.rng.u8(..20) == 0 => {
                let version = self.rng.u32(2..100);
                self.ask("SET", &short, &[&format!("{version} unknown\n{{}}")]);
            }
            _ => {
                // Change bytes of the header or the mail, except the version at the start.
                let mut bytes = old.into_bytes();
                for _ in 0..self.rng.usize(1..6) {
                    if bytes.len() > 2 {
                        let at = self.rng.usize(2..bytes.len());
                        bytes[at] = self.rng.u8(0x20..0x7f);
                    }
                }
                self.ask("SET", &short, &[&String::from_utf8_lossy(&bytes)]);
            }
        }
    }

    fn hash(&mut self) {
        let key = format!("h:{}", self.victim());
        let fields = [
            "fence",
            "state",
            "attempt",
            "tries",
            "recipients",
            "settled",
            "retried_ms",
            "resends",
            "begun_ms",
            "generation",
        ];
        let field = fields[self.rng.usize(..fields.len())];
        let garbage = self.garbage();
        match self.rng.u8(..4) {
            0 => self.retype(&key),
            1 => {
                self.ask("DEL", &key, &[]);
                self.ask("SET", &key, &[&garbage]);
            }
            _ => drop(self.ask("HSET", &key, &[field, &format!("x{garbage}")])),
        }
    }

    fn flight(&mut self) {
        let key = format!("f:{}", self.victim());
        let garbage = self.garbage();
        match self.rng.u8(..4) {
            0 => self.retype(&key),
            1 => drop(self.ask("SET", &key, &["1 worker 5"])),
            _ => drop(self.ask("SET", &key, &[&format!("x{garbage}")])),
        }
    }

    /// Adds garbage or a duplicate id to a list.
    fn list(&mut self) {
        let garbage = self.garbage();
        let duplicate = self.jobs[self.rng.usize(..self.jobs.len())].clone();
        let member = if self.rng.bool() { garbage } else { duplicate };
        let list = format!("ready:{}", if self.rng.bool() { 5 } else { self.rng.u8(0..10) });
        let command = if self.rng.bool() { "LPUSH" } else { "RPUSH" };
        self.ask(command, &list, &[&member]);
    }

    /// Adds garbage or a victim to an unrelated index.
    fn zset(&mut self) {
        let names = [
            "scheduled:normal",
            "scheduled:urgent",
            "deferred:low",
            "deferred:normal",
            "expiring",
            "leases",
            "lines",
            "sent",
            "failed",
        ];
        let name = names[self.rng.usize(..names.len())];
        let garbage = self.garbage();
        let member = if self.rng.bool() { garbage } else { self.jobs[self.rng.usize(..self.jobs.len())].clone() };
        self.ask("ZADD", name, &["1", &member]);
    }

    /// Damages a counter of a victims' batch.
    fn batch(&mut self) {
        let key = format!("b:{}", self.batches[self.rng.usize(..self.batches.len())]);
        let fields = ["queued", "sending", "sent", "failed", "pace_us", "next_us"];
        let field = fields[self.rng.usize(..fields.len())];
        self.ask("HSET", &key, &[field, "x"]);
    }

    /// Damages a counter of the queue, or replaces a key whose content can be rebuilt.
    fn queue(&mut self) {
        if self.rng.bool() {
            let fields =
                ["queued", "sending", "sent_total", "lease_ms", "last_ms", "no_rescue_before_ms", "newer_in_a_row"];
            let field = fields[self.rng.usize(..fields.len())];
            self.ask("HSET", "n", &[field, "x"]);
            return;
        }
        let names = [
            "n",
            "workers",
            "run",
            "wake",
            "wake:urgent",
            "ready:0",
            "ready:9",
            "lines",
            "expiring",
            "failed",
            "newer",
            "damaged",
            "notices",
        ];
        let name = names[self.rng.usize(..names.len())];
        self.ask("DEL", name, &[]);
        self.ask("SET", name, &["garbage"]);
    }
}
