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
pub(crate) enum SettlementKind {
    /// Finished with this outcome.
    Finish(Outcome, Finish),
    /// Deferred for this time, with the result of the attempt.
    Defer(Duration, Box<Settled>),
}

/// One settlement of a job.
#[derive(Debug)]
pub(crate) struct Settlement {
    pub(crate) id: JobId,
    pub(crate) fence: u64,
    pub(crate) kind: SettlementKind,
    /// Stored form of the job; for a sent mail, the header only.
    pub(crate) payload: Box<str>,
}

/// Settlements, oldest first.
#[derive(Debug, Default)]
pub(crate) struct ReplayLog {
    pending: Mutex<Vec<Arc<Settlement>>>,
    acknowledged: Mutex<Acknowledged>,
}

/// Settlements that Redis has acknowledged, with the time.
#[derive(Debug, Default)]
struct Acknowledged {
    settlements: VecDeque<(Instant, Arc<Settlement>)>,
    bytes: usize,
}

impl Acknowledged {
    fn push(&mut self, at: Instant, settlement: &Arc<Settlement>) {
        self.bytes += settlement.payload.len();
        self.settlements.push_back((at, Arc::clone(settlement)));
    }

    fn is_too_much(&self) -> bool {
        self.settlements.len() > MAX_ACKNOWLEDGED || (self.bytes > MAX_BYTES && self.settlements.len() > 1)
    }

    fn is_old(&self, now: Instant) -> bool {
        self.settlements.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > RETENTION)
    }

    fn pop(&mut self) {
        if let Some((_, settlement)) = self.settlements.pop_front() {
            self.bytes -= settlement.payload.len();
        }
    }
}

impl Settlement {
    /// Creates a settlement; `payload` is the stored form of the job, if known.
    pub(crate) fn new(id: JobId, fence: u64, kind: SettlementKind, payload: Option<&str>) -> Self {
        let payload = payload.unwrap_or_default();
        let stored = match (&kind, payload.split_once('\n')) {
            // A sent mail needs no content. Without it, the job can only be reported.
            (SettlementKind::Finish(Outcome::Sent, _), Some((header, _))) => format!("{header}\n{{}}"),
            _ => payload.to_owned(),
        };
        Self { id, fence, kind, payload: stored.into() }
    }
}

impl ReplayLog {
    /// Records settlements that are about to be sent.
    pub(crate) fn note(&self, settlements: &[Arc<Settlement>]) {
        lock(&self.pending).extend_from_slice(settlements);
    }

    /// Marks settlements as acknowledged by Redis.
    pub(crate) fn acknowledge(&self, settlements: &[Arc<Settlement>]) {
        let now = Instant::now();
        // Pushed before the removal below, so that a concurrent `all` misses none.
        settlements.iter().for_each(|settlement| lock(&self.acknowledged).push(now, settlement));
        lock(&self.pending).retain(|known| !settlements.iter().any(|done| Arc::ptr_eq(known, done)));
        self.forget(now);
    }

    /// Returns all settlements that Redis has not acknowledged or may have lost.
    pub(crate) fn all(&self) -> Vec<Arc<Settlement>> {
        let pending = lock(&self.pending).clone();
        let mut all: Vec<_> =
            lock(&self.acknowledged).settlements.iter().map(|(_, settlement)| Arc::clone(settlement)).collect();
        all.extend(pending);
        all
    }

    /// Restarts the retention: all settlements were sent to another run of the server, which may
    /// lose them as well.
    pub(crate) fn replayed(&self) {
        let now = Instant::now();
        lock(&self.acknowledged).settlements.iter_mut().for_each(|(at, _)| *at = now);
    }

    /// Drops settlements past the retention. To be called when Redis has just answered.
    pub(crate) fn forget(&self, now: Instant) {
        let mut acknowledged = lock(&self.acknowledged);
        while acknowledged.is_too_much() || acknowledged.is_old(now) {
            acknowledged.pop();
        }
        if acknowledged.settlements.is_empty() {
            acknowledged.settlements.shrink_to_fit();
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

    fn deferred() -> Arc<Settlement> {
        settlement(SettlementKind::Defer(Duration::ZERO, Box::default()))
    }

    fn finished(outcome: Outcome) -> Arc<Settlement> {
        let finish = Finish::new(&id(), 1, outcome, "", &Settled::default()).expect("a settlement");
        settlement(SettlementKind::Finish(outcome, finish))
    }

    fn settlement(kind: SettlementKind) -> Arc<Settlement> {
        Arc::new(Settlement::new(id(), 1, kind, Some("1 header\n{\"to\":[]}")))
    }

    #[test]
    fn acknowledged_settlements_expire_and_pending_ones_do_not() {
        let replay_log = ReplayLog::default();
        let (acknowledged, pending) = (deferred(), deferred());
        replay_log.note(&[Arc::clone(&acknowledged), Arc::clone(&pending)]);
        replay_log.acknowledge(&[Arc::clone(&acknowledged)]);
        assert_eq!(replay_log.all().len(), 2);
        replay_log.forget(Instant::now() + RETENTION + Duration::from_secs(1));
        let left = replay_log.all();
        assert!(left.len() == 1 && Arc::ptr_eq(&left[0], &pending));
    }

    #[test]
    fn a_replay_restarts_the_retention() {
        let replay_log = ReplayLog::default();
        let acknowledged = deferred();
        replay_log.acknowledge(&[Arc::clone(&acknowledged)]);
        let later = Instant::now() + RETENTION + Duration::from_secs(1);
        lock(&replay_log.acknowledged).settlements[0].0 =
            Instant::now().checked_sub(RETENTION).expect("uptime exceeds the retention");
        replay_log.replayed();
        replay_log.forget(Instant::now());
        assert_eq!(replay_log.all().len(), 1);
        replay_log.forget(later);
        assert!(replay_log.all().is_empty());
    }

    #[test]
    fn the_number_of_acknowledged_settlements_is_limited() {
        let replay_log = ReplayLog::default();
        let many = vec![deferred(); MAX_ACKNOWLEDGED + 5];
        replay_log.acknowledge(&many);
        assert_eq!(replay_log.all().len(), MAX_ACKNOWLEDGED);
    }

    #[test]
    fn a_sent_mail_keeps_its_header_only() {
        assert_eq!(&*finished(Outcome::Sent).payload, "1 header\n{}");
        assert_eq!(&*finished(Outcome::Unknown).payload, "1 header\n{\"to\":[]}");
    }
}
