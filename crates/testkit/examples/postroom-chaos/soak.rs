//! Faults of all kinds in an order that a seed decides, for as long as one likes.

use crate::account::Account;
use crate::args::Args;
use crate::crew::{Crew, Post};
use crate::fault::FaultLog;
use crate::load::Load;
use crate::report::Report;
use crate::scale::Scale;
use crate::site::{Setup, Site, through};
use postroom_testkit::{Action, Fault, Phase, PrivateRedis, Proxy};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
const BEATS: usize = 2;
const CONNECTIONS: usize = 10;
/// Where the beats' mail goes.
const TICKS: &str = "tick@chaos.example";
const TOML: &str = "[[schedule]]\nname = \"tick\"\nevery = \"1s\"\nsubject = \"Tick\"\ntext = \"Tick.\"\n\
                    to = [\"tick@chaos.example\"]\nqueue = \"emails\"\n";
/// Fewer than that waiting, and more is handed over.
const LOW: i64 = 500;
const PORTION: usize = 500;
/// What is acknowledged is on the disk after that long.
const FLUSHED: Duration = Duration::from_millis(1_500);

/// What may go wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble {
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

const ALL: [Trouble; 13] = [
    Trouble::KillWorker,
    Trouble::CutRedisBack,
    Trouble::FreezeWorker,
    Trouble::LoseReplies,
    Trouble::StallRedis,
    Trouble::KillBeat,
    Trouble::SwallowConnections,
    Trouble::BreakSessions,
    Trouble::KillRedis,
    Trouble::RefuseForNow,
    Trouble::ResetConnections,
    Trouble::FreezeBeat,
    Trouble::StopServer,
];

/// Everything that a run has in its hands.
struct Soak {
    site: Arc<Site>,
    proxy: Proxy,
    crew: Crew,
    load: Load,
    log: FaultLog,
    chance: fastrand::Rng,
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
    let mut order: Vec<Trouble> = Vec::new();
    while Instant::now() < end {
        // Each kind once before any comes again.
        if order.is_empty() {
            order = ALL.into();
            soak.chance.shuffle(&mut order);
        }
        let trouble = order.pop().expect("it was filled");
        soak.feed().await;
        soak.strike(trouble).await;
        let rest = soak.chance.u64(scale.pick(1_000..4_000, 300..900));
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
    // The load outlasts the last fault.
    soak.load.bulk(PORTION.max(args.jobs.saturating_sub(soak.load.len())), &[]).await;
    soak.close(&mut report, args, start).await;
    report
}

impl Soak {
    async fn start(args: &Args, scale: Scale) -> Self {
        let redis = PrivateRedis::builder().tcp().remembers().start().await;
        let (proxy, url) = through(&redis);
        let lease = scale.lease();
        let setup =
            Setup { redis, url: Some(url), on_unknown: args.on_unknown, lease, transport: None, toml: TOML.to_owned() };
        let site = Site::new(setup).await;
        site.smtp.fault(Fault::at(Phase::Mail, Action::Delay(Duration::from_millis(100))));
        site.smtp.fault(Fault::at(Phase::Dot, Action::Delay(Duration::from_millis(100))));
        let mut load = Load::new(&site);
        load.bulk(scale.pick(args.jobs.min(2_000), PORTION), &[]).await;
        let mut posts = vec![Post::worker(CONNECTIONS); WORKERS];
        posts.extend(vec![Post::beat(); BEATS]);
        let crew = Crew::start(&site, posts).await;
        let chance = fastrand::Rng::with_seed(args.seed);
        Self { site, proxy, crew, load, log: FaultLog::new(), chance, lease }
    }

    /// Hands more over where little is left.
    async fn feed(&mut self) {
        if crate::account::unfinished(&self.site, "bulk").is_some_and(|waiting| waiting < LOW) {
            self.load.bulk(PORTION, &[]).await;
        }
    }

    async fn strike(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::KillWorker => self.kill(0..WORKERS).await,
            Trouble::KillBeat => self.kill(WORKERS..WORKERS + BEATS).await,
            Trouble::FreezeWorker => self.freeze(0..WORKERS).await,
            Trouble::FreezeBeat => self.freeze(WORKERS..WORKERS + BEATS).await,
            Trouble::KillRedis => self.kill_redis(None).await,
            Trouble::CutRedisBack => self.cut_redis_back().await,
            Trouble::StallRedis => self.stall_redis().await,
            Trouble::SwallowConnections => {
                self.network("connections to Redis swallow everything", Proxy::black_hole_existing).await;
            }
            Trouble::ResetConnections => self.network("connections to Redis reset", Proxy::reset).await,
            Trouble::LoseReplies => self.server("5 replies lost", Phase::Dot, Action::StoreThenClose, 5).await,
            Trouble::BreakSessions => self.break_sessions().await,
            Trouble::RefuseForNow => {
                self.server("20 mails refused for now", Phase::Dot, Action::reply(451, "4.3.0 later"), 20).await;
            }
            Trouble::StopServer => self.stop_server().await,
        }
    }

    async fn kill(&mut self, among: std::ops::Range<usize>) {
        let victim = self.chance.usize(among);
        self.log.begin(&self.site, format!("kill -9 of {}", self.crew.name(victim))).await;
        self.crew.kill(victim);
        self.crew.replace(victim);
        self.log.end();
    }

    /// For shorter or longer than a lease.
    async fn freeze(&mut self, among: std::ops::Range<usize>) {
        let (victim, length) = (self.chance.usize(among), self.lease.mul_f64(0.3 + 1.2 * self.chance.f64()));
        self.log.begin(&self.site, format!("{} frozen", self.crew.name(victim))).await;
        self.crew.freeze(victim);
        tokio::time::sleep(length).await;
        self.crew.thaw(victim);
        self.log.end();
    }

    async fn cut_redis_back(&mut self) {
        tokio::time::sleep(FLUSHED).await;
        let back = Duration::from_millis(self.chance.u64(200..1_000));
        self.kill_redis(Some(back)).await;
    }

    async fn kill_redis(&mut self, back: Option<Duration>) {
        let what = back.map_or("Redis killed".to_owned(), |back| format!("Redis killed, its last {back:?} gone"));
        self.log.begin(&self.site, what).await;
        let redis = self.site.redis();
        match back {
            Some(back) => drop(redis.kill_and_cut_back(back)),
            None => redis.kill(),
        }
        let away = Duration::from_millis(self.chance.u64(100..1_500));
        tokio::time::sleep(away).await;
        redis.start_again().await;
        self.log.end();
    }

    async fn stall_redis(&mut self) {
        let length = self.lease.mul_f64(0.3 + 1.2 * self.chance.f64());
        self.log.begin(&self.site, "Redis stalled").await;
        self.site.redis().pause();
        tokio::time::sleep(length).await;
        self.site.redis().resume();
        self.log.end();
    }

    async fn network(&mut self, what: &str, trouble: fn(&Proxy)) {
        self.log.begin(&self.site, what).await;
        trouble(&self.proxy);
        self.log.end();
    }

    async fn server(&mut self, what: &str, phase: Phase, action: Action, times: usize) {
        self.log.begin(&self.site, what).await;
        self.site.smtp.fault(Fault::at(phase, action).times(times));
        self.log.end();
    }

    async fn break_sessions(&mut self) {
        let phases = [Phase::Banner, Phase::Ehlo, Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Body, Phase::Dot];
        let phase = phases[self.chance.usize(..phases.len())];
        let action = if self.chance.bool() { Action::Close } else { Action::Reset };
        self.server(&format!("10 sessions break at {phase:?} ({action:?})"), phase, action, 10).await;
    }

    async fn stop_server(&mut self) {
        self.log.begin(&self.site, "the mail server stopped").await;
        self.site.smtp.stop();
        tokio::time::sleep(Duration::from_millis(self.chance.u64(200..2_000))).await;
        self.site.smtp.start_again();
        self.log.end();
    }

    async fn close(mut self, report: &mut Report, args: &Args, start: Instant) {
        let elapsed = start.elapsed();
        for beat in WORKERS..WORKERS + BEATS {
            self.crew.terminate(beat);
            self.crew.ended(beat, Duration::from_secs(20)).await;
        }
        let account = Account::settled(&self.site, &self.load, Scale::of(args).patience()).await;
        report.balance(&account);
        report.was_real(&self.log, &account);
        let worst = self.log.all().iter().filter_map(|fault| crate::fault::recovery(fault, &account.arrivals)).max();
        report.note(format!("worst recovery {:.2} s", worst.unwrap_or_default().as_secs_f64()));
        self.check_ticks(report, elapsed).await;
        if args.logs {
            report.note(format!("what workers and beats said:\n{}", self.crew.logs()));
        }
    }

    /// Each firing is one job and, unless in doubt, one mail.
    async fn check_ticks(&self, report: &mut Report, elapsed: Duration) {
        let jobs = self.site.json(&["list", "--queue", "emails", "--address", TICKS, "--limit", "100000"]).await;
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        for mail in self.site.smtp.received().iter().filter(|mail| mail.rcpt_to.iter().any(|to| to == TICKS)) {
            *copies.entry(mail.header("Message-ID").unwrap_or_default()).or_default() += 1;
        }
        let doubtful = jobs.iter().filter(|job| is_doubtful(job)).count();
        let twice = copies.values().filter(|number| **number > 1).count();
        report.note(format!("beats: {} firings in {:.0} s, {} mails", jobs.len(), elapsed.as_secs_f64(), copies.len()));
        report.at_most("firings sent twice without a doubt", 0, twice.saturating_sub(doubtful));
        let most = usize::try_from(elapsed.as_secs()).unwrap_or(usize::MAX).saturating_add(3);
        report.at_most("firings", most, jobs.len());
        let unsent = jobs.iter().filter(|job| job["state"] != "sent" && !is_doubtful(job)).count();
        report.at_most("firings neither sent nor in doubt", 0, unsent);
    }
}

fn is_doubtful(job: &Value) -> bool {
    let attempts = job["attempts"].as_array();
    attempts.is_some_and(|attempts| attempts.iter().any(|attempt| attempt["verdict"] == "unknown"))
}
