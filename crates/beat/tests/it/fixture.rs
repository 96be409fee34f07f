//! Test surroundings: a separate key prefix in a Redis, schedules in it, and their results.

use std::{path::Path, time::Duration};

use postroom_beat::Beat;
use postroom_core::{
    BatchId, JobId, QueueName, Settings, Store,
    settings::{ScheduleSettings, Sources},
    store::{FiringId, Schedule},
};
use postroom_testkit::{PrivateRedis, Process, eventually, target_bin, unique_prefix};
use tempfile::TempDir;

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Schedule of most tests.
pub(crate) const EACH_SECOND: &str =
    "[[schedule]]\nname = 'tick'\nevery = '1s'\nsubject = 'Tick'\ntext = 'Tock'\nto = ['ann@example.org']\n";

pub(crate) struct Fixture<'a> {
    pub(crate) redis: &'a PrivateRedis,
    pub(crate) store: Store,
    prefix: String,
    folder: TempDir,
}

impl Fixture<'static> {
    pub(crate) async fn new() -> Self {
        Self::on(PrivateRedis::shared()).await
    }
}

impl<'a> Fixture<'a> {
    pub(crate) async fn on(redis: &'a PrivateRedis) -> Self {
        let prefix = unique_prefix();
        let store = Store::connect(&settings(&redis.url(), &prefix, "").redis).await.expect("a store");
        Self { redis, store, prefix, folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn settings(&self, toml: &str) -> Settings {
        settings(&self.redis.url(), &self.prefix, toml)
    }

    /// Returns a beat that has stored the file's schedules.
    pub(crate) async fn beat(&self, toml: &str) -> Beat {
        let beat = Beat::new(self.store.clone(), self.settings(toml));
        beat.adopt().await.expect("adopted");
        beat
    }

    pub(crate) fn write(&self, toml: &str) {
        std::fs::write(self.file(), toml).expect("written");
    }

    pub(crate) fn process(&self) -> Process {
        self.process_with(&[])
    }

    /// Starts a beat as a separate process with the written file.
    pub(crate) fn process_with(&self, envs: &[(&str, &str)]) -> Process {
        let (url, file) = (self.redis.url(), self.file());
        let file = file.to_str().expect("a path");
        let mut all = vec![("REDIS_URL", url.as_str()), ("POSTROOM_PREFIX", &self.prefix), ("POSTROOM_CONFIG", file)];
        all.extend(envs);
        Process::spawn(target_bin("postroom-beat"), &[], &all)
    }

    pub(crate) async fn schedule(&self, name: &str) -> Schedule {
        self.store.schedule(name).await.expect("read").expect("a schedule")
    }

    /// Reads a field of a schedule in Redis.
    pub(crate) fn field(&self, name: &str, field: &str) -> String {
        self.redis.ask(&["HGET", &self.key(&format!("schedule:{name}")), field])
    }

    pub(crate) fn set_field(&self, name: &str, field: &str, value: &str) {
        self.redis.ask(&["HSET", &self.key(&format!("schedule:{name}")), field, value]);
    }

    /// Sets the cursor back, as if no beat had run since.
    pub(crate) fn set_back(&self, name: &str, by: Duration) -> i64 {
        let cursor_ms = self.now_ms() - i64::try_from(by.as_millis()).expect("milliseconds");
        self.set_field(name, "cursor_ms", &cursor_ms.to_string());
        self.redis.ask(&["ZADD", &self.key("schedule_due"), "0", name]);
        cursor_ms
    }

    pub(crate) fn now_ms(&self) -> i64 {
        let time = self.redis.ask(&["TIME"]);
        let (seconds, micros) = time.split_once('\n').expect("two numbers");
        seconds.parse::<i64>().expect("seconds") * 1_000 + micros.parse::<i64>().expect("microseconds") / 1_000
    }

    pub(crate) async fn enqueued(&self, queue: &QueueName) -> u64 {
        self.store.queue(queue).await.expect("a queue").enqueued_total
    }

    /// Enqueues the rest of the outbox, as any beat would.
    pub(crate) async fn drain(&self) {
        let settings = self.settings("");
        for firing in self.store.due_schedules().await.expect("read").outbox {
            self.store.enqueue_firing(&firing, &settings).await.expect("enqueued");
            self.store.drop_firing(&firing).await.expect("dropped");
        }
    }

    /// Waits until `number` mails of `tick` were enqueued.
    pub(crate) async fn mails(&self, number: u64) {
        let queue = QueueName::emails();
        // Redis may refuse commands while it restarts.
        let enough = async || self.store.queue(&queue).await.ok().filter(|queue| queue.enqueued_total >= number);
        eventually(LIMIT, &format!("{number} mails"), enough).await;
    }

    /// Checks that each second since `tick` was created, or since `from_ms`, has exactly one mail.
    /// Returns their number.
    pub(crate) async fn assert_each_time_once(&self, from_ms: Option<i64>) -> usize {
        self.drain().await;
        let schedule = self.schedule("tick").await;
        let from_ms = from_ms.unwrap_or_else(|| self.field("tick", "created_ms").parse().expect("a time"));
        let times: Vec<i64> = (from_ms / 1_000 + 1..=schedule.cursor_ms / 1_000).map(|second| second * 1_000).collect();
        let ids: Vec<JobId> = times.iter().map(|at| job(&schedule.firing_id(*at))).collect();
        let jobs = self.store.jobs(&ids).await.expect("read");
        let missing: Vec<&i64> = times.iter().zip(&jobs).filter(|(_, job)| job.is_none()).map(|(at, _)| at).collect();
        assert!(missing.is_empty(), "no mail was enqueued for {missing:?} of {times:?}");
        let all = self.enqueued(&QueueName::emails()).await;
        assert_eq!(all, u64::try_from(times.len()).expect("a number"), "mails for other times than {times:?}");
        times.len()
    }

    fn file(&self) -> std::path::PathBuf {
        Path::new(self.folder.path()).join("postroom.toml")
    }

    fn key(&self, name: &str) -> String {
        format!("{{{}:system}}:{name}", self.prefix)
    }
}

pub(crate) fn job(id: &FiringId) -> JobId {
    match id {
        FiringId::Job(id) => id.clone(),
        FiringId::Batch(id) => panic!("{id} is a batch"),
    }
}

pub(crate) fn batch(id: &FiringId) -> BatchId {
    match id {
        FiringId::Batch(id) => id.clone(),
        FiringId::Job(id) => panic!("{id} is a job"),
    }
}

/// Returns the only schedule of a file.
pub(crate) fn only(settings: &Settings) -> ScheduleSettings {
    settings.schedules.first().expect("a schedule").clone()
}

fn settings(url: &str, prefix: &str, toml: &str) -> Settings {
    let env = [("REDIS_URL", url), ("POSTROOM_PREFIX", prefix)];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let file = Some(("postroom.toml".to_owned(), toml.to_owned()));
    Settings::from_sources(&Sources { env, file, ..Sources::default() }).expect("settings")
}
