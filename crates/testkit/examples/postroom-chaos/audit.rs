//! Final comparison of the mails at the server with the states of the jobs.

use crate::load::{Load, recipient};
use crate::testbed::{QUEUES, Testbed};
use postroom_testkit::Received;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const UNFINISHED: [&str; 4] = ["scheduled", "queued", "sending", "deferred"];
/// States that a batch counts.
pub(crate) const STATES: [&str; 8] =
    ["scheduled", "queued", "sending", "deferred", "sent", "failed", "cancelled", "unknown"];

/// Maximum delay between a mail's arrival and its record in the server's ledger.
const RECORD_DELAY: Duration = Duration::from_millis(500);

/// Result of a run. The server's ledger decides what was sent.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) enqueued: usize,
    pub(crate) sent: usize,
    pub(crate) duplicates: usize,
    pub(crate) explained: usize,
    pub(crate) most_copies: usize,
    /// Number of mails that are at the server and missing in Redis.
    pub(crate) missing: usize,
    pub(crate) failed: usize,
    pub(crate) cancelled: usize,
    /// Recipients of lost mails with their job's state. A mail is lost if the server does not have
    /// it and its job neither holds it nor ended with a reason.
    pub(crate) lost: Vec<String>,
    /// Recipients whose mail waits for a person's decision.
    pub(crate) held: BTreeSet<String>,
    /// Recipients of mails that the server has.
    pub(crate) reached: BTreeSet<String>,
    /// Recipients whose copies differ in their Message-ID.
    pub(crate) other_ids: Vec<String>,
    /// Differences between the ledger and the jobs.
    pub(crate) contradictions: Vec<String>,
    /// Differences between the counters and the jobs.
    pub(crate) miscounted: Vec<String>,
    /// Protocol violations by the SMTP client.
    pub(crate) violations: Vec<String>,
    /// Times of arrival, in order.
    pub(crate) arrivals: Vec<Instant>,
}

/// State of one job.
#[derive(Debug)]
struct Job {
    to: String,
    state: String,
    reason: String,
    /// Number of attempts with an unknown result.
    unknown_attempts: usize,
}

impl Audit {
    /// Waits until no job is unfinished, at most `limit`, and reads the result.
    pub(crate) async fn settled(testbed: &Testbed, load: &Load, limit: Duration) -> Self {
        settle(testbed, limit).await;
        // The server may record the last mails with a delay.
        tokio::time::sleep(RECORD_DELAY).await;
        Self::read(testbed, load).await
    }

    /// Reads the result.
    pub(crate) async fn read(testbed: &Testbed, load: &Load) -> Self {
        let mails = testbed.smtp.received();
        let mut audit = Self { enqueued: load.len(), violations: testbed.smtp.violations(), ..Self::default() };
        audit.arrivals = mails.iter().map(|mail| mail.at).collect();
        audit.arrivals.sort();
        let ledger = by_recipient(&mails);
        audit.reached = ledger.keys().map(ToString::to_string).collect();
        for (batch, (first, number)) in &load.batches {
            let jobs = jobs(testbed, &["list", "--batch", batch, "--limit", "100000"]).await;
            let missing = audit.missing;
            audit.enter_all((*first..first + number).map(recipient), &jobs, &ledger);
            let missing = audit.missing - missing;
            audit.check_counters(testbed, batch, *number, &jobs, missing).await;
        }
        let jobs = jobs(testbed, &["list", "--queue", "emails", "--limit", "100000"]).await;
        audit.enter_all(load.singles.keys().cloned(), &jobs, &ledger);
        audit
    }

    /// Returns the longest time between two mails.
    pub(crate) fn silence(&self) -> Duration {
        self.arrivals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Returns the number of mails that arrived after `moment`.
    pub(crate) fn arrived_after(&self, moment: Instant) -> usize {
        self.arrivals.iter().filter(|at| **at > moment).count()
    }

    /// Summarises the result in one line.
    pub(crate) fn summary(&self) -> String {
        format!(
            "enqueued {}, distinct sent {}, duplicates {} (explained by unknown: {}), lost {}, held {}, \
             failed {}, cancelled {}, sent but missing in Redis {}, longest gap {:.2} s",
            self.enqueued,
            self.sent,
            self.duplicates,
            self.explained,
            self.lost.len(),
            self.held.len(),
            self.failed,
            self.cancelled,
            self.missing,
            self.silence().as_secs_f64()
        )
    }

    fn enter_all(
        &mut self,
        to: impl Iterator<Item = String>,
        jobs: &BTreeMap<String, Job>,
        ledger: &MailsByRecipient<'_>,
    ) {
        for to in to {
            let copies = ledger.get(to.as_str()).map_or(&[][..], Vec::as_slice);
            match jobs.get(&to) {
                Some(job) => self.enter(job, copies),
                None if copies.is_empty() => self.lost.push(format!("{to}: missing in Redis")),
                None => {
                    self.missing += 1;
                    self.count_copies(&to, 0, copies);
                }
            }
        }
    }

    fn enter(&mut self, job: &Job, copies: &[&Received]) {
        let to = &job.to;
        self.count_copies(to, job.unknown_attempts, copies);
        match (job.state.as_str(), copies.is_empty()) {
            ("sent", false) => {}
            ("sent", true) => {
                self.contradictions.push(format!("{to}: state sent, but not at the server"));
                self.lost.push(format!("{to}: state sent"));
            }
            ("unknown", _) => drop(self.held.insert(to.clone())),
            ("failed", true) => self.failed += 1,
            ("failed", false) if job.reason == "unknown" => self.failed += 1,
            ("cancelled", true) => self.cancelled += 1,
            (state @ ("failed" | "cancelled"), false) => {
                self.contradictions.push(format!("{to}: state {state} ({}), but at the server", job.reason));
            }
            (state, true) => self.lost.push(format!("{to}: still {state}")),
            (state, false) => self.contradictions.push(format!("{to}: still {state}, but at the server")),
        }
    }

    fn count_copies(&mut self, to: &str, unknown_attempts: usize, copies: &[&Received]) {
        let extra = copies.len().saturating_sub(1);
        self.sent += usize::from(!copies.is_empty());
        self.duplicates += extra;
        self.explained += extra.min(unknown_attempts);
        self.most_copies = self.most_copies.max(copies.len());
        let ids: BTreeSet<_> = copies.iter().map(|mail| mail.header("Message-ID")).collect();
        if ids.len() > 1 {
            self.other_ids.push(to.to_owned());
        }
    }

    /// Compares a batch's counters with its jobs. The counter `sent` may include mails that are
    /// missing in Redis.
    async fn check_counters(
        &mut self,
        testbed: &Testbed,
        batch: &str,
        number: usize,
        jobs: &BTreeMap<String, Job>,
        missing: usize,
    ) {
        let Some(report) = testbed.json_or_none(&["status", batch]).await else {
            return self.miscounted.push(format!("{batch} is missing in Redis"));
        };
        let counter = |name: &str| report[name].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        let sum: usize = STATES.iter().map(|state| counter(state)).sum();
        if counter("total") != number || sum != number {
            let total = counter("total");
            self.miscounted
                .push(format!("{batch}: {number} jobs, but its total is {total} and its counters add up to {sum}"));
        }
        for state in STATES {
            let listed = jobs.values().filter(|job| job.state == state).count();
            let more = if state == "sent" { missing } else { 0 };
            if !(listed..=listed + more).contains(&counter(state)) {
                self.miscounted
                    .push(format!("{batch}: counter {state} is {}, but {listed} jobs have that state", counter(state)));
            }
        }
    }
}

type MailsByRecipient<'a> = BTreeMap<&'a str, Vec<&'a Received>>;

fn by_recipient(mails: &[Received]) -> MailsByRecipient<'_> {
    let mut ledger = MailsByRecipient::new();
    for mail in mails {
        for to in &mail.rcpt_to {
            ledger.entry(to).or_default().push(mail);
        }
    }
    ledger
}

async fn jobs(testbed: &Testbed, list: &[&str]) -> BTreeMap<String, Job> {
    let listed = testbed.json(list).await;
    listed.iter().map(job).map(|job| (job.to.clone(), job)).collect()
}

fn job(report: &Value) -> Job {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let attempts = report["attempts"].as_array();
    let unknown_attempts =
        attempts.map_or(0, |all| all.iter().filter(|attempt| attempt["verdict"] == "unknown").count());
    Job { to: text(&report["to"][0]), state: text(&report["state"]), reason: text(&report["reason"]), unknown_attempts }
}

/// Waits until the queues' counters show no unfinished job, at most `limit`.
pub(crate) async fn settle(testbed: &Testbed, limit: Duration) {
    let end = Instant::now() + limit;
    while Instant::now() < end && !is_settled(testbed) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_settled(testbed: &Testbed) -> bool {
    QUEUES.iter().all(|queue| unfinished(testbed, queue) == Some(0))
}

/// Returns the number of unfinished jobs of a queue, or `None` if Redis does not reply.
pub(crate) fn unfinished(testbed: &Testbed, queue: &str) -> Option<i64> {
    let key = format!("{{chaos:{queue}}}:n");
    let command = [&["HMGET", &key], &UNFINISHED[..]].concat();
    let counts = testbed.redis().try_ask(&command).ok()?;
    counts.split('\n').map(|count| if count.is_empty() { Some(0) } else { count.parse::<i64>().ok() }).sum()
}
