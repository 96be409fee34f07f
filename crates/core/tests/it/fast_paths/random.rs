//! Random jobs, most of them rows of a batch, through both paths.

use std::collections::BTreeSet;

use postroom_core::{BatchId, JobId, QueueName};
use proptest::{prelude::*, sample::Index};

use super::pair::QueuePair;

const WORKERS: [&str; 2] = ["w.ann.01ARZ3NDEKTSV4RRFFQ69G5ANN", "w.ben.01ARZ3NDEKTSV4RRFFQ69G5BEN"];
const BATCHES: usize = 2;
const DAY_MS: u64 = 86_400_000;

#[derive(Debug, Clone)]
enum RowStep {
    Enqueue { batch: usize, kind: JobKind, jobs: usize },
    Claim { worker: usize, want: usize },
    Begin { from: Index, jobs: usize, by: Claimant },
    Finish { from: Index, jobs: usize, by: Claimant, report: ReportKind, twice: bool },
    Defer(Index),
    Cancel(Index),
    CancelBatch(usize),
    SteerBatch(usize, &'static [&'static str]),
    DamagePayload(Index),
    Sweep,
    Advance(u64),
}

/// Terms of the jobs of one call.
#[derive(Debug, Clone, Copy)]
enum JobKind {
    Usual,
    OtherAttempts,
    Urgent,
    Expiring,
    TooOldSoon,
    WithoutResult,
    ShortRetention,
    Sensitive,
    Large,
    Scheduled,
    WithoutBatch,
}

/// The worker and fence that a call names.
#[derive(Debug, Clone, Copy)]
enum Claimant {
    Holder,
    OtherWorker,
    OtherFence,
}

/// Content of a `finish`.
#[derive(Debug, Clone, Copy)]
enum ReportKind {
    Accepted,
    AcceptedInTwoLines,
    AcceptedWithoutHistory,
    AcceptedUncounted,
    AcceptedByOneRecipient,
    AcceptedWithError,
    AcceptedWithReason,
    LongReceipt,
    Refused,
    Unknown,
}

fn kind() -> impl Strategy<Value = JobKind> {
    use JobKind::*;
    let others = [
        OtherAttempts,
        Urgent,
        Expiring,
        TooOldSoon,
        WithoutResult,
        ShortRetention,
        Sensitive,
        Large,
        Scheduled,
        WithoutBatch,
    ];
    prop_oneof![2 => Just(Usual), 1 => prop::sample::select(others.to_vec())]
}

fn report() -> impl Strategy<Value = ReportKind> {
    use ReportKind::*;
    let others = [
        AcceptedInTwoLines,
        AcceptedWithoutHistory,
        AcceptedUncounted,
        AcceptedByOneRecipient,
        AcceptedWithError,
        AcceptedWithReason,
        LongReceipt,
        Refused,
        Unknown,
    ];
    prop_oneof![3 => Just(Accepted), 1 => prop::sample::select(others.to_vec())]
}

fn claimant() -> impl Strategy<Value = Claimant> {
    prop_oneof![8 => Just(Claimant::Holder), 1 => Just(Claimant::OtherWorker), 1 => Just(Claimant::OtherFence)]
}

fn step() -> impl Strategy<Value = RowStep> {
    let index = any::<Index>;
    let acts: [&'static [&'static str]; 5] =
        [&["pause"], &["resume"], &["pace", "0", "0"], &["pace", "1000", "0"], &["pace", "500000", "1"]];
    prop_oneof![
        6 => (0..BATCHES, kind(), 1..6_usize).prop_map(|(batch, kind, jobs)| RowStep::Enqueue { batch, kind, jobs }),
        6 => (0..WORKERS.len(), 1..9_usize).prop_map(|(worker, want)| RowStep::Claim { worker, want }),
        7 => (index(), 1..6_usize, claimant()).prop_map(|(from, jobs, by)| RowStep::Begin { from, jobs, by }),
        7 => (index(), 1..6_usize, claimant(), report(), any::<bool>())
            .prop_map(|(from, jobs, by, report, twice)| RowStep::Finish { from, jobs, by, report, twice }),
        1 => index().prop_map(RowStep::Defer),
        1 => index().prop_map(RowStep::Cancel),
        1 => (0..BATCHES * 4).prop_map(RowStep::CancelBatch),
        1 => (0..BATCHES, prop::sample::select(acts.to_vec())).prop_map(|(batch, act)| RowStep::SteerBatch(batch, act)),
        1 => index().prop_map(RowStep::DamagePayload),
        1 => Just(RowStep::Sweep),
        2 => prop::sample::select(vec![1_u64, 8, 40, 3_600]).prop_map(RowStep::Advance),
    ]
}

/// A claim of a job.
#[derive(Debug, Clone)]
struct RowClaim {
    worker: usize,
    id: String,
    fence: u64,
    begun: bool,
}

struct PairRun {
    pair: QueuePair,
    batches: Vec<BatchId>,
    rows: u64,
    ids: Vec<String>,
    damaged: BTreeSet<String>,
    claims: Vec<RowClaim>,
    claim_calls: usize,
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl PairRun {
    fn new() -> Self {
        let batches: Vec<_> = (0..BATCHES).map(|_| BatchId::new(QueueName::emails())).collect();
        let pair = QueuePair::new();
        for batch in &batches {
            pair.call("batch_create", &owned(&[&batch.to_string(), "news", "604800000", "", "{}", "0", "0"]));
        }
        Self { pair, batches, rows: 0, ids: Vec::new(), damaged: BTreeSet::new(), claims: Vec::new(), claim_calls: 0 }
    }

    fn apply(&mut self, step: &RowStep) {
        match step {
            RowStep::Enqueue { batch, kind, jobs } => self.enqueue(*batch, *kind, *jobs),
            RowStep::Claim { worker, want } => self.claim(*worker, *want),
            RowStep::Begin { from, jobs, by } => self.begin(from, *jobs, *by),
            RowStep::Finish { from, jobs, by, report, twice } => self.finish(from, *jobs, *by, *report, *twice),
            RowStep::Defer(index) => self.defer(index),
            RowStep::Cancel(index) => {
                let Some(id) = self.pick_id(index) else { return };
                self.pair.call("cancel", &[id, "person".to_owned()]);
            }
            // Most runs keep their batches.
            RowStep::CancelBatch(batch) => {
                if let Some(batch) = self.batches.get(*batch) {
                    self.pair.call("batch_cancel", &[batch.to_string()]);
                }
            }
            RowStep::SteerBatch(batch, act) => {
                let args = [vec![self.batches[*batch].to_string()], owned(act)].concat();
                self.pair.call("batch_steer", &args);
            }
            RowStep::DamagePayload(index) => self.damage_payload(index),
            RowStep::Sweep => drop(self.pair.call("sweep", &owned(&["sweeper", "200"]))),
            RowStep::Advance(seconds) => self.pair.advance(*seconds),
        }
    }

    fn pick_id(&self, index: &Index) -> Option<String> {
        (!self.ids.is_empty()).then(|| self.ids[index.index(self.ids.len())].clone())
    }

    /// Returns the places of a claim and of later ones by its worker.
    fn pick_claims(&self, from: &Index, most: usize) -> Vec<usize> {
        if self.claims.is_empty() {
            return Vec::new();
        }
        let from = from.index(self.claims.len());
        let of_worker = (from..self.claims.len()).filter(|at| self.claims[*at].worker == self.claims[from].worker);
        of_worker.take(most).collect()
    }

    fn enqueue(&mut self, batch: usize, kind: JobKind, jobs: usize) {
        let batch = (!matches!(kind, JobKind::WithoutBatch)).then(|| self.batches[batch].clone());
        let priority = if matches!(kind, JobKind::Urgent) { "1" } else { "5" };
        let delay = if matches!(kind, JobKind::Scheduled) { "5000" } else { "0" };
        let expires_in = if matches!(kind, JobKind::Expiring) { "30000" } else { "0" };
        let max_age = if matches!(kind, JobKind::TooOldSoon) { "20000" } else { "172800000" };
        let attempts = if matches!(kind, JobKind::OtherAttempts) { "2" } else { "8" };
        let retention = match kind {
            JobKind::WithoutResult => 0,
            JobKind::ShortRetention => DAY_MS / 24,
            _ => 7 * DAY_MS,
        };
        let flags = if matches!(kind, JobKind::Sensitive) { "sensitive" } else { "-" };
        let content = match kind {
            JobKind::Sensitive => "{\"to\":\"ann@example.org\"}\n{\"token\":\"s3cret\"}".to_owned(),
            JobKind::Large => format!("{{\"text\":\"{}\"}}", "x".repeat(17_000)),
            _ => "{\"to\":\"ann@example.org\"}".to_owned(),
        };
        let mut args = owned(&[priority, delay, "0", expires_in, "0", max_age, attempts, "15000", "hold"]);
        args.extend([retention.to_string(), "1000".to_owned(), "0".to_owned()]);
        args.extend([batch.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string), flags.to_owned()]);
        for _ in 0..jobs {
            self.rows += 1;
            let new = || JobId::new(QueueName::emails());
            let id = batch.as_ref().map_or_else(new, |batch| batch.job(self.rows)).to_string();
            args.extend([id.clone(), content.clone()]);
            self.ids.push(id);
        }
        self.pair.call("enqueue", &args);
    }

    fn claim(&mut self, worker: usize, want: usize) {
        self.claim_calls += 1;
        let (call, want) = (self.claim_calls.to_string(), want.to_string());
        let reply = self.pair.call("claim", &owned(&[WORKERS[worker], &call, &want, &want, "200", "0"]));
        // Each job begins with its id, then its fence.
        let lines: Vec<&str> = reply.lines().collect();
        for words in lines.windows(2).filter(|words| words[0].parse::<JobId>().is_ok()) {
            let (id, fence) = (words[0].to_owned(), words[1].parse().expect("a fence"));
            self.claims.push(RowClaim { worker, id, fence, begun: false });
        }
    }

    /// Returns worker and fence as a call names them.
    fn named(claim: &RowClaim, by: Claimant) -> (&'static str, u64) {
        match by {
            Claimant::Holder => (WORKERS[claim.worker], claim.fence),
            Claimant::OtherWorker => (WORKERS[1 - claim.worker], claim.fence),
            Claimant::OtherFence => (WORKERS[claim.worker], claim.fence + 1),
        }
    }

    /// Begins intact jobs: only the general path reads the payload.
    fn begin(&mut self, from: &Index, jobs: usize, by: Claimant) {
        let mut places = self.pick_claims(from, jobs);
        places.retain(|at| !self.damaged.contains(&self.claims[*at].id));
        let Some(first) = places.first() else { return };
        let mut args = owned(&[Self::named(&self.claims[*first], by).0]);
        for at in &places {
            let claim = &self.claims[*at];
            let fence = Self::named(claim, by).1.to_string();
            args.extend([claim.id.clone(), fence, format!("{}@example.org", claim.id), "1700000000000".to_owned()]);
        }
        let reply = self.pair.call("begin", &args);
        for (at, word) in places.into_iter().zip(reply.lines()) {
            self.claims[at].begun |= word == "begun";
        }
    }

    fn finish(&mut self, from: &Index, jobs: usize, by: Claimant, report: ReportKind, twice: bool) {
        let places = self.pick_claims(from, jobs);
        let Some(first) = places.first() else { return };
        let mut args = owned(&[Self::named(&self.claims[*first], by).0]);
        for at in places.iter().chain(places.first().filter(|_| twice)) {
            let claim = &self.claims[*at];
            args.extend([claim.id.clone(), Self::named(claim, by).1.to_string()]);
            args.extend(self.outcome(report));
        }
        self.pair.call("finish", &args);
    }

    /// Returns the arguments of `finish` from the outcome on.
    fn outcome(&self, report: ReportKind) -> Vec<String> {
        let line = |counted: char| {
            format!("1 {counted} {} 12 accepted main dot = = 250 2.0.0 Ok: queued as 4bX", self.pair.now_ms() - 12)
        };
        let (accepted, open) = (line('+'), r#"[{"address":"ann@example.org","result":"open"}]"#);
        let two_lines = format!("{}\n{accepted}", line('-'));
        let words = match report {
            ReportKind::Accepted => ["sent", "", "1", "", "", "", "[]", &accepted, "12"],
            ReportKind::AcceptedInTwoLines => ["sent", "", "1", "", "", "", "[]", &two_lines, "12"],
            ReportKind::AcceptedWithoutHistory => ["sent", "", "0", "", "", "", "", "", "0"],
            ReportKind::AcceptedUncounted => ["sent", "", "0", "", "", "x", "[]", &line('-'), "7"],
            ReportKind::AcceptedByOneRecipient => ["sent", "", "1", "", "", "", open, &accepted, "12"],
            ReportKind::AcceptedWithError => ["sent", "", "1", "late", "too late", "", "[]", &accepted, "12"],
            ReportKind::AcceptedWithReason => ["sent", "person", "1", "", "", "", "[]", &accepted, "12"],
            ReportKind::LongReceipt => ["sent", "", "1", "", "", "two\nlines", "[]", &accepted, "12"],
            ReportKind::Refused => ["failed", "refused", "1", "5.1.1", "550 no", "", "[]", &accepted, "12"],
            ReportKind::Unknown => ["unknown", "", "1", "lost", "no reply", "", "[]", &accepted, "12"],
        };
        owned(&words)
    }

    fn defer(&mut self, index: &Index) {
        let Some(at) = self.pick_claims(index, 1).pop() else { return };
        let claim = &self.claims[at];
        let fence = claim.fence.to_string();
        let words = [WORKERS[claim.worker], &claim.id, &fence, "0", "1", "", "", "", "", "0"];
        self.pair.call("defer", &owned(&words));
    }

    /// Damages the payload of a job that waits or has begun.
    fn damage_payload(&mut self, index: &Index) {
        let Some(id) = self.pick_id(index) else { return };
        let flying: BTreeSet<&String> =
            self.claims.iter().filter(|claim| !claim.begun).map(|claim| &claim.id).collect();
        if !flying.contains(&id) {
            self.pair.raw("SET", &id[id.len() - 26..], &["1 damaged"]);
            self.damaged.insert(id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 80,
        max_shrink_iters: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn fast_and_general_paths_store_the_same(steps in prop::collection::vec(step(), 1..50)) {
        let mut run = PairRun::new();
        for step in &steps {
            run.apply(step);
        }
    }
}
