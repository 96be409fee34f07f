//! What there is in the end: the server's ledger beside what the jobs say.

use crate::load::{Load, recipient};
use crate::site::{QUEUES, Site};
use postroom_testkit::Received;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const UNFINISHED: [&str; 4] = ["scheduled", "queued", "sending", "deferred"];
/// Those that a batch counts.
pub(crate) const STATES: [&str; 8] =
    ["scheduled", "queued", "sending", "deferred", "sent", "failed", "cancelled", "unknown"];

const SLOWNESS: Duration = Duration::from_millis(500);

/// The balance of a run. The server's ledger is the truth.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) enqueued: usize,
    pub(crate) sent: usize,
    pub(crate) duplicates: usize,
    pub(crate) explained: usize,
    pub(crate) most_copies: usize,
    /// Mails that the server has and Redis has lost sight of.
    pub(crate) forgotten: usize,
    pub(crate) failed: usize,
    pub(crate) cancelled: usize,
    /// Recipients whose mail is neither at the server nor held nor ended for a reason, with what their job says.
    pub(crate) lost: Vec<String>,
    /// Recipients whose mail waits for a person.
    pub(crate) held: BTreeSet<String>,
    /// Recipients that the server has a mail for.
    pub(crate) reached: BTreeSet<String>,
    /// Recipients whose copies do not have one Message-ID.
    pub(crate) other_ids: Vec<String>,
    /// Where ledger and jobs do not agree.
    pub(crate) contradictions: Vec<String>,
    /// Where counters and jobs do not agree.
    pub(crate) miscounted: Vec<String>,
    /// What the client did that no client may.
    pub(crate) violations: Vec<String>,
    /// When mails came, in order.
    pub(crate) arrivals: Vec<Instant>,
}

/// What a job says.
#[derive(Debug)]
struct Job {
    to: String,
    state: String,
    reason: String,
    /// How often it could not be known whether it went out.
    doubts: usize,
}

impl Account {
    /// Waits until no mail of the load is unfinished, at most so long, and takes stock.
    pub(crate) async fn settled(site: &Site, load: &Load, patience: Duration) -> Self {
        settle(site, patience).await;
        // What a server is slow to put into its ledger is there, too.
        tokio::time::sleep(SLOWNESS).await;
        Self::read(site, load).await
    }

    /// Takes stock.
    pub(crate) async fn read(site: &Site, load: &Load) -> Self {
        let mails = site.smtp.received();
        let mut account = Self { enqueued: load.len(), violations: site.smtp.violations(), ..Self::default() };
        account.arrivals = mails.iter().map(|mail| mail.at).collect();
        account.arrivals.sort();
        let ledger = by_recipient(&mails);
        account.reached = ledger.keys().map(ToString::to_string).collect();
        for (batch, (first, number)) in &load.batches {
            let jobs = jobs(site, &["list", "--batch", batch, "--limit", "100000"]).await;
            let forgotten = account.forgotten;
            account.enter_all((*first..first + number).map(recipient), &jobs, &ledger);
            let forgotten = account.forgotten - forgotten;
            account.check_counters(site, batch, *number, &jobs, forgotten).await;
        }
        let jobs = jobs(site, &["list", "--queue", "emails", "--limit", "100000"]).await;
        account.enter_all(load.singles.keys().cloned(), &jobs, &ledger);
        account
    }

    /// The longest time without a mail, from the first to the last.
    pub(crate) fn silence(&self) -> Duration {
        self.arrivals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// How many mails came after that moment.
    pub(crate) fn arrived_after(&self, moment: Instant) -> usize {
        self.arrivals.iter().filter(|at| **at > moment).count()
    }

    /// In one line.
    pub(crate) fn told(&self) -> String {
        format!(
            "enqueued {}, distinct sent {}, duplicates {}, of them explained by unknown {}, lost {}, held {}, failed {}, \
             cancelled {}, sent and forgotten {}, longest silence {:.2} s",
            self.enqueued,
            self.sent,
            self.duplicates,
            self.explained,
            self.lost.len(),
            self.held.len(),
            self.failed,
            self.cancelled,
            self.forgotten,
            self.silence().as_secs_f64()
        )
    }

    fn enter_all(&mut self, to: impl Iterator<Item = String>, jobs: &BTreeMap<String, Job>, ledger: &Ledger<'_>) {
        for to in to {
            let copies = ledger.get(to.as_str()).map_or(&[][..], Vec::as_slice);
            match jobs.get(&to) {
                Some(job) => self.enter(job, copies),
                None if copies.is_empty() => self.lost.push(format!("{to}: Redis does not know it")),
                None => {
                    self.forgotten += 1;
                    self.count_copies(&to, 0, copies);
                }
            }
        }
    }

    fn enter(&mut self, job: &Job, copies: &[&Received]) {
        let to = &job.to;
        self.count_copies(to, job.doubts, copies);
        match (job.state.as_str(), copies.is_empty()) {
            ("sent", false) => {}
            ("sent", true) => {
                self.contradictions.push(format!("{to} is called sent, and the server does not have it"));
                self.lost.push(format!("{to}: called sent"));
            }
            ("unknown", _) => drop(self.held.insert(to.clone())),
            ("failed", true) => self.failed += 1,
            ("failed", false) if job.reason == "unknown" => self.failed += 1,
            ("cancelled", true) => self.cancelled += 1,
            (state @ ("failed" | "cancelled"), false) => {
                self.contradictions.push(format!("{to} is called {state} ({}), and the server has it", job.reason));
            }
            (state, true) => self.lost.push(format!("{to}: still {state}")),
            (state, false) => self.contradictions.push(format!("{to} is still {state}, and the server has it")),
        }
    }

    fn count_copies(&mut self, to: &str, doubts: usize, copies: &[&Received]) {
        let extra = copies.len().saturating_sub(1);
        self.sent += usize::from(!copies.is_empty());
        self.duplicates += extra;
        self.explained += extra.min(doubts);
        self.most_copies = self.most_copies.max(copies.len());
        let ids: BTreeSet<_> = copies.iter().map(|mail| mail.header("Message-ID")).collect();
        if ids.len() > 1 {
            self.other_ids.push(to.to_owned());
        }
    }

    /// A mail that Redis has lost sight of may be counted as sent all the same.
    async fn check_counters(
        &mut self,
        site: &Site,
        batch: &str,
        number: usize,
        jobs: &BTreeMap<String, Job>,
        forgotten: usize,
    ) {
        let Some(report) = site.json_or_none(&["status", batch]).await else {
            return self.miscounted.push(format!("{batch} is not known to Redis"));
        };
        let counter = |name: &str| report[name].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        let sum: usize = STATES.iter().map(|state| counter(state)).sum();
        if counter("total") != number || sum != number {
            let total = counter("total");
            self.miscounted
                .push(format!("{batch}: of {number}, its total is {total} and its counters add up to {sum}"));
        }
        for state in STATES {
            let listed = jobs.values().filter(|job| job.state == state).count();
            let more = if state == "sent" { forgotten } else { 0 };
            if !(listed..=listed + more).contains(&counter(state)) {
                self.miscounted.push(format!("{batch}: it counts {} {state}, and {listed} jobs are", counter(state)));
            }
        }
    }
}

type Ledger<'a> = BTreeMap<&'a str, Vec<&'a Received>>;

fn by_recipient(mails: &[Received]) -> Ledger<'_> {
    let mut ledger = Ledger::new();
    for mail in mails {
        for to in &mail.rcpt_to {
            ledger.entry(to).or_default().push(mail);
        }
    }
    ledger
}

async fn jobs(site: &Site, list: &[&str]) -> BTreeMap<String, Job> {
    let listed = site.json(list).await;
    listed.iter().map(job).map(|job| (job.to.clone(), job)).collect()
}

fn job(report: &Value) -> Job {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let attempts = report["attempts"].as_array();
    let doubts = attempts.map_or(0, |all| all.iter().filter(|attempt| attempt["verdict"] == "unknown").count());
    Job { to: text(&report["to"][0]), state: text(&report["state"]), reason: text(&report["reason"]), doubts }
}

/// Waits until the queues' own counters say that nothing is unfinished.
pub(crate) async fn settle(site: &Site, patience: Duration) {
    let end = Instant::now() + patience;
    while Instant::now() < end && !is_settled(site) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_settled(site: &Site) -> bool {
    QUEUES.iter().all(|queue| unfinished(site, queue) == Some(0))
}

/// How many jobs of a queue are unfinished; `None` when Redis can't say.
pub(crate) fn unfinished(site: &Site, queue: &str) -> Option<i64> {
    let key = format!("{{chaos:{queue}}}:n");
    let command = [&["HMGET", &key], &UNFINISHED[..]].concat();
    let counts = site.redis().try_ask(&command).ok()?;
    counts.split('\n').map(|count| if count.is_empty() { Some(0) } else { count.parse::<i64>().ok() }).sum()
}
