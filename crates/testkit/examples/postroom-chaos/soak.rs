//! Soak run: faults of all kinds in an order derived from a seed.

use crate::args::Args;
use crate::audit::Audit;
use crate::fault::FaultLog;
use crate::load::Load;
use crate::processes::{ProcessGroup, ProcessSpec};
use crate::report::Report;
use crate::scale::Scale;
use crate::testbed::{Setup, Testbed, through};
use postroom_testkit::{Action, Fault, FaultPhase, PrivateRedis, Proxy};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
const BEATS: usize = 2;
const CONNECTIONS: usize = 10;
/// Recipient of the scheduled mail.
const TICKS: &str = "tick@chaos.example";
const TOML: &str = "[[schedule]]\nname = \"tick\"\nevery = \"1s\"\nsubject = \"Tick\"\ntext = \"Tick.\"\n\
                    to = [\"tick@chaos.example\"]\nqueue = \"emails\"\n";
/// Number of unfinished jobs below which more mails are enqueued.
const LOW: i64 = 500;
const PORTION: usize = 500;
/// Time after which acknowledged writes of Redis are on the disk.
const FLUSHED: Duration = Duration::from_millis(1_500);

/// Kind of an injected fault.
#[derive(Clone, Copy, Debug)]
enum FaultKind {
    KillWorker,
    FreezeWorker,
    KillBeat,
    FreezeBeat,
    KillRedis,
    CutRedisBack,
    StallRedis,
    SwallowConnections,
    ResetConnections,
    LoseReplies,
    BreakSessions,
    RefuseForNow,
    StopServer,
}

const ALL: [FaultKind; 13] = [
    FaultKind::KillWorker,
    FaultKind::CutRedisBack,
    FaultKind::FreezeWorker,
    FaultKind::LoseReplies,
    FaultKind::StallRedis,
    FaultKind::KillBeat,
    FaultKind::SwallowConnections,
    FaultKind::BreakSessions,
    FaultKind::KillRedis,
    FaultKind::RefuseForNow,
    FaultKind::ResetConnections,
    FaultKind::FreezeBeat,
    FaultKind::StopServer,
];

/// State of a soak run.
struct Soak {
    testbed: Arc<Testbed>,
    proxy: Proxy,
    processes: ProcessGroup,
    load: Load,
    log: FaultLog,
    rng: fastrand::Rng,
    lease: Duration,
}

pub(crate) async fn run(args: &Args) -> Report {
    let scale = Scale::of(args);
    let mut report = Report::new(format!(
        "seed {} for {} minutes, --on-unknown {}{}",
        args.seed,
        args.minutes,
        args.on_unknown.as_str(),
        if args.quick { " --quick" } else { "" }
    ));
    let mut soak = Soak::start(args, scale).await;
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(args.minutes * 60.0);
    let mut order: Vec<FaultKind> = Vec::new();
    while Instant::now() < end {
        // Each kind occurs once before any is repeated.
        if order.is_empty() {
            order = ALL.into();
            soak.rng.shuffle(&mut order);
        }
        let kind = order.pop().expect("the order is not empty");
        soak.refill().await;
        soak.inject(kind).await;
        let rest = soak.rng.u64(scale.pick(1_000..4_000, 300..900));
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
    // Mails must remain after the last fault.
    soak.load.bulk(PORTION.max(args.jobs.saturating_sub(soak.load.len())), &[]).await;
    soak.finish(&mut report, args, start).await;
    report
}

impl Soak {
    async fn start(args: &Args, scale: Scale) -> Self {
        let redis = PrivateRedis::builder().tcp().records_aof_size().start().await;
        let (proxy, url) = through(&redis);
        let lease = scale.lease();
        let setup =
            Setup { redis, url: Some(url), on_unknown: args.on_unknown, lease, transport: None, toml: TOML.to_owned() };
        let testbed = Testbed::new(setup).await;
        testbed.smtp.fault(Fault::at(FaultPhase::Mail, Action::Delay(Duration::from_millis(100))));
        testbed.smtp.fault(Fault::at(FaultPhase::Dot, Action::Delay(Duration::from_millis(100))));
        let mut load = Load::new(&testbed);
        load.bulk(scale.pick(args.jobs.min(2_000), PORTION), &[]).await;
        let mut specs = vec![ProcessSpec::worker(CONNECTIONS); WORKERS];
        specs.extend(vec![ProcessSpec::beat(); BEATS]);
        let processes = ProcessGroup::start(&testbed, specs).await;
        let rng = fastrand::Rng::with_seed(args.seed);
        Self { testbed, proxy, processes, load, log: FaultLog::new(), rng, lease }
    }

    /// Enqueues more mails if few are unfinished.
    async fn refill(&mut self) {
        if crate::audit::unfinished(&self.testbed, "bulk").is_some_and(|waiting| waiting < LOW) {
            self.load.bulk(PORTION, &[]).await;
        }
    }

    async fn inject(&mut self, kind: FaultKind) {
        match kind {
            FaultKind::KillWorker => self.kill(0..WORKERS).await,
            FaultKind::KillBeat => self.kill(WORKERS..WORKERS + BEATS).await,
            FaultKind::FreezeWorker => self.freeze(0..WORKERS).await,
            FaultKind::FreezeBeat => self.freeze(WORKERS..WORKERS + BEATS).await,
            FaultKind::KillRedis => self.kill_redis(None).await,
            FaultKind::CutRedisBack => self.cut_redis_back().await,
            FaultKind::StallRedis => self.stall_redis().await,
            FaultKind::SwallowConnections => {
                self.network("connections to Redis black-holed", Proxy::black_hole_existing).await;
            }
            FaultKind::ResetConnections => self.network("connections to Redis reset", Proxy::reset).await,
            FaultKind::LoseReplies => self.server("5 replies lost", FaultPhase::Dot, Action::StoreThenClose, 5).await,
            FaultKind::BreakSessions => self.break_sessions().await,
            FaultKind::RefuseForNow => {
                self.server("20 mails refused temporarily", FaultPhase::Dot, Action::reply(451, "4.3.0 later"), 20)
                    .await;
            }
            FaultKind::StopServer => self.stop_server().await,
        }
    }

    async fn kill(&mut self, among: std::ops::Range<usize>) {
        let victim = self.rng.usize(among);
        self.log.begin(&self.testbed, format!("kill -9 of {}", self.processes.name(victim))).await;
        self.processes.kill(victim);
        self.processes.replace(victim);
        self.log.end();
    }

    /// Freezes a process for 0.3 to 1.5 leases.
    async fn freeze(&mut self, among: std::ops::Range<usize>) {
        let (victim, length) = (self.rng.usize(among), self.lease.mul_f64(0.3 + 1.2 * self.rng.f64()));
        self.log.begin(&self.testbed, format!("{} frozen", self.processes.name(victim))).await;
        self.processes.freeze(victim);
        tokio::time::sleep(length).await;
        self.processes.thaw(victim);
        self.log.end();
    }

    async fn cut_redis_back(&mut self) {
        tokio::time::sleep(FLUSHED).await;
        let back = Duration::from_millis(self.rng.u64(200..1_000));
        self.kill_redis(Some(back)).await;
    }

    async fn kill_redis(&mut self, back: Option<Duration>) {
        let what =
            back.map_or("Redis killed".to_owned(), |back| format!("Redis killed, its last {back:?} of writes removed"));
        self.log.begin(&self.testbed, what).await;
        let redis = self.testbed.redis();
        match back {
            Some(back) => drop(redis.kill_and_cut_back(back)),
            None => redis.kill(),
        }
        let away = Duration::from_millis(self.rng.u64(100..1_500));
        tokio::time::sleep(away).await;
        redis.start_again().await;
        self.log.end();
    }

    async fn stall_redis(&mut self) {
        let length = self.lease.mul_f64(0.3 + 1.2 * self.rng.f64());
        self.log.begin(&self.testbed, "Redis stalled").await;
        self.testbed.redis().pause();
        tokio::time::sleep(length).await;
        self.testbed.redis().resume();
        self.log.end();
    }

    async fn network(&mut self, what: &str, kind: fn(&Proxy)) {
        self.log.begin(&self.testbed, what).await;
        kind(&self.proxy);
        self.log.end();
    }

    async fn server(&mut self, what: &str, phase: FaultPhase, action: Action, times: usize) {
        self.log.begin(&self.testbed, what).await;
        self.testbed.smtp.fault(Fault::at(phase, action).times(times));
        self.log.end();
    }

    async fn break_sessions(&mut self) {
        let phases = [
            FaultPhase::Banner,
            FaultPhase::Ehlo,
            FaultPhase::Mail,
            FaultPhase::Rcpt,
            FaultPhase::Data,
            FaultPhase::Body,
            FaultPhase::Dot,
        ];
        let phase = phases[self.rng.usize(..phases.len())];
        let action = if self.rng.bool() { Action::Close } else { Action::Reset };
        self.server(&format!("10 sessions break at {phase:?} ({action:?})"), phase, action, 10).await;
    }

    async fn stop_server(&mut self) {
        self.log.begin(&self.testbed, "the mail server stopped").await;
        self.testbed.smtp.stop();
        tokio::time::sleep(Duration::from_millis(self.rng.u64(200..2_000))).await;
        self.testbed.smtp.start_again();
        self.log.end();
    }

    async fn finish(mut self, report: &mut Report, args: &Args, start: Instant) {
        let elapsed = start.elapsed();
        for beat in WORKERS..WORKERS + BEATS {
            self.processes.terminate(beat);
            self.processes.wait(beat, Duration::from_secs(20)).await;
        }
        let audit = Audit::settled(&self.testbed, &self.load, Scale::of(args).settle_limit()).await;
        report.check_audit(&audit);
        report.check_faults(&self.log, &audit);
        let worst = self.log.all().iter().filter_map(|fault| crate::fault::recovery(fault, &audit.arrivals)).max();
        report.note(format!("worst recovery {:.2} s", worst.unwrap_or_default().as_secs_f64()));
        self.check_ticks(report, elapsed).await;
        if args.logs {
            report.note(format!("logs of workers and beats:\n{}", self.processes.logs()));
        }
    }

    /// Checks that each tick has one job and, unless its result is unknown, one mail.
    async fn check_ticks(&self, report: &mut Report, elapsed: Duration) {
        let jobs = self.testbed.json(&["list", "--queue", "emails", "--address", TICKS, "--limit", "100000"]).await;
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        for mail in self.testbed.smtp.received().iter().filter(|mail| mail.rcpt_to.iter().any(|to| to == TICKS)) {
            *copies.entry(mail.header("Message-ID").unwrap_or_default()).or_default() += 1;
        }
        let unknown = jobs.iter().filter(|job| is_unknown(job)).count();
        let twice = copies.values().filter(|number| **number > 1).count();
        report.note(format!("beats: {} ticks in {:.0} s, {} mails", jobs.len(), elapsed.as_secs_f64(), copies.len()));
        report.at_most("ticks sent twice without an unknown result", 0, twice.saturating_sub(unknown));
        let most = usize::try_from(elapsed.as_secs()).unwrap_or(usize::MAX).saturating_add(3);
        report.at_most("ticks", most, jobs.len());
        let unsent = jobs.iter().filter(|job| job["state"] != "sent" && !is_unknown(job)).count();
        report.at_most("ticks neither sent nor unknown", 0, unsent);
    }
}

/// Whether an attempt of the job had an unknown result.
fn is_unknown(job: &Value) -> bool {
    let attempts = job["attempts"].as_array();
    attempts.is_some_and(|attempts| attempts.iter().any(|attempt| attempt["verdict"] == "unknown"))
}
