//! Replay log: recent settlements, kept for a Redis server that may lose its last moments.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use postroom_core::{
    JobId,
    store::{Finish, Outcome, Settled},
};

/// Time for which acknowledged settlements are kept while Redis answers. What Redis acknowledged
/// right before an outage must be there after it. An append-only file is at most two seconds
/// behind, a replica seldom more than a few.
const RETENTION: Duration = Duration::from_secs(10);

/// Maximum number of acknowledged settlements: ten seconds at a thousand mails a second.
const MAX_ACKNOWLEDGED: usize = 10_000;

/// Maximum size of the job payloads in them, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// How a claimed job is settled.
#[derive(Debug)]
pub(crate) enum Said {
    /// Finished with this outcome.
    Finish(Outcome, Finish),
    /// Deferred for this time, with the result of the attempt.
    Defer(Duration, Box<Settled>),
}

/// One settlement of a job.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) id: JobId,
    pub(crate) fence: u64,
    pub(crate) kind: Said,
    /// Stored form of the job; for a sent mail, the header only.
    pub(crate) payload: Box<str>,
}

/// Settlements, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pending: Mutex<Vec<Arc<Statement>>>,
    acknowledged: Mutex<Heard>,
}

/// Settlements that Redis has acknowledged, with the time.
#[derive(Debug, Default)]
struct Heard {
    statements: VecDeque<(Instant, Arc<Statement>)>,
    bytes: usize,
}

impl Heard {
    fn push(&mut self, at: Instant, statement: &Arc<Statement>) {
        self.bytes += statement.payload.len();
        self.statements.push_back((at, Arc::clone(statement)));
    }

    fn is_too_much(&self) -> bool {
        self.statements.len() > MAX_ACKNOWLEDGED || (self.bytes > MAX_BYTES && self.statements.len() > 1)
    }

    fn is_old(&self, now: Instant) -> bool {
        self.statements.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > RETENTION)
    }

    fn pop(&mut self) {
        if let Some((_, statement)) = self.statements.pop_front() {
            self.bytes -= statement.payload.len();
        }
    }
}

impl Statement {
    /// Creates a settlement; `payload` is the stored form of the job, if known.
    pub(crate) fn new(id: JobId, fence: u64, kind: Said, payload: Option<&str>) -> Self {
        let payload = payload.unwrap_or_default();
        let stored = match (&kind, payload.split_once('\n')) {
            // A sent mail needs no content. Without it, the job can only be reported.
            (Said::Finish(Outcome::Sent, _), Some((header, _))) => format!("{header}\n{{}}"),
            _ => payload.to_owned(),
        };
        Self { id, fence, kind, payload: stored.into() }
    }
}

impl Memory {
    /// Records settlements that are about to be sent.
    pub(crate) fn note(&self, statements: &[Arc<Statement>]) {
        lock(&self.pending).extend_from_slice(statements);
    }

    /// Marks settlements as acknowledged by Redis.
    pub(crate) fn acknowledge(&self, statements: &[Arc<Statement>]) {
        let now = Instant::now();
        // Pushed before the removal below, so that a concurrent `all` misses none.
        statements.iter().for_each(|statement| lock(&self.acknowledged).push(now, statement));
        lock(&self.pending).retain(|known| !statements.iter().any(|done| Arc::ptr_eq(known, done)));
        self.forget(now);
    }

    /// Returns all settlements that Redis has not acknowledged or may have lost.
    pub(crate) fn all(&self) -> Vec<Arc<Statement>> {
        let pending = lock(&self.pending).clone();
        let mut all: Vec<_> =
            lock(&self.acknowledged).statements.iter().map(|(_, statement)| Arc::clone(statement)).collect();
        all.extend(pending);
        all
    }

    /// Restarts the retention: all settlements were sent to another run of the server, which may
    /// lose them as well.
    pub(crate) fn replayed(&self) {
        let now = Instant::now();
        lock(&self.acknowledged).statements.iter_mut().for_each(|(at, _)| *at = now);
    }

    /// Drops settlements past the retention. To be called when Redis has just answered.
    pub(crate) fn forget(&self, now: Instant) {
        let mut acknowledged = lock(&self.acknowledged);
        while acknowledged.is_too_much() || acknowledged.is_old(now) {
            acknowledged.pop();
        }
        if acknowledged.statements.is_empty() {
            acknowledged.statements.shrink_to_fit();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> JobId {
        "emails-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("an id")
    }

    fn deferred() -> Arc<Statement> {
        statement(Said::Defer(Duration::ZERO, Box::default()))
    }

    fn finished(outcome: Outcome) -> Arc<Statement> {
        let finish = Finish::new(&id(), 1, outcome, "", &Settled::default()).expect("a statement");
        statement(Said::Finish(outcome, finish))
    }

    fn statement(kind: Said) -> Arc<Statement> {
        Arc::new(Statement::new(id(), 1, kind, Some("1 header\n{\"to\":[]}")))
    }

    #[test]
    fn acknowledged_settlements_expire_and_pending_ones_do_not() {
        let memory = Memory::default();
        let (acknowledged, pending) = (deferred(), deferred());
        memory.note(&[Arc::clone(&acknowledged), Arc::clone(&pending)]);
        memory.acknowledge(&[Arc::clone(&acknowledged)]);
        assert_eq!(memory.all().len(), 2);
        memory.forget(Instant::now() + RETENTION + Duration::from_secs(1));
        let left = memory.all();
        assert!(left.len() == 1 && Arc::ptr_eq(&left[0], &pending));
    }

    #[test]
    fn a_replay_restarts_the_retention() {
        let memory = Memory::default();
        let acknowledged = deferred();
        memory.acknowledge(&[Arc::clone(&acknowledged)]);
        let later = Instant::now() + RETENTION + Duration::from_secs(1);
        lock(&memory.acknowledged).statements[0].0 =
            Instant::now().checked_sub(RETENTION).expect("uptime exceeds the retention");
        memory.replayed();
        memory.forget(Instant::now());
        assert_eq!(memory.all().len(), 1);
        memory.forget(later);
        assert!(memory.all().is_empty());
    }

    #[test]
    fn the_number_of_acknowledged_settlements_is_limited() {
        let memory = Memory::default();
        let many = vec![deferred(); MAX_ACKNOWLEDGED + 5];
        memory.acknowledge(&many);
        assert_eq!(memory.all().len(), MAX_ACKNOWLEDGED);
    }

    #[test]
    fn a_sent_mail_keeps_its_header_only() {
        assert_eq!(&*finished(Outcome::Sent).payload, "1 header\n{}");
        assert_eq!(&*finished(Outcome::Unknown).payload, "1 header\n{\"to\":[]}");
    }
}
