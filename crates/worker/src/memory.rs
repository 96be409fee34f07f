//! What was said of jobs a moment ago, kept for a Redis that may forget its last moments.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use postroom_core::{
    JobId,
    store::{Finish, Outcome, Settled},
};

/// For how long it is remembered what Redis has heard, while it answers: what it heard right before it went away must be there
/// when it is back. Its append-only file is at most two seconds behind, a replica seldom
/// more than a few.
const REMEMBERED: Duration = Duration::from_secs(10);

/// So much is remembered at most of what Redis has heard: at a thousand mails a second, ten seconds.
const MOST_HEARD: usize = 10_000;

/// And no more bytes of jobs' content.
const MOST_BYTES: usize = 16 << 20;

/// What became of a claimed job.
#[derive(Debug)]
pub(crate) enum Said {
    /// It was settled so.
    Finish(Outcome, Finish),
    /// It is to be tried again after that long; and what the try left.
    Defer(Duration, Box<Settled>),
}

/// One thing said.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) id: JobId,
    pub(crate) fence: u64,
    pub(crate) said: Said,
    /// The stored form of the job; of what was sent, the header alone.
    pub(crate) payload: Box<str>,
}

/// What was said, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    unheard: Mutex<Vec<Arc<Statement>>>,
    heard: Mutex<Heard>,
}

/// What Redis has heard, and when.
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
        self.statements.len() > MOST_HEARD || (self.bytes > MOST_BYTES && self.statements.len() > 1)
    }

    fn is_old(&self, now: Instant) -> bool {
        self.statements.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > REMEMBERED)
    }

    fn pop(&mut self) {
        if let Some((_, statement)) = self.statements.pop_front() {
            self.bytes -= statement.payload.len();
        }
    }
}

impl Statement {
    /// `payload` is what is known of the job's stored form.
    pub(crate) fn new(id: JobId, fence: u64, said: Said, payload: Option<&str>) -> Self {
        let payload = payload.unwrap_or_default();
        let kept = match (&said, payload.split_once('\n')) {
            // Nobody needs the content of what was sent: without it, it can only be told.
            (Said::Finish(Outcome::Sent, _), Some((header, _))) => format!("{header}\n{{}}"),
            _ => payload.to_owned(),
        };
        Self { id, fence, said, payload: kept.into() }
    }
}

impl Memory {
    /// This is about to be said.
    pub(crate) fn note(&self, statements: &[Arc<Statement>]) {
        lock(&self.unheard).extend_from_slice(statements);
    }

    /// Redis has heard it.
    pub(crate) fn heard(&self, statements: &[Arc<Statement>]) {
        let now = Instant::now();
        // First, so that none is missed by who asks for all meanwhile.
        statements.iter().for_each(|statement| lock(&self.heard).push(now, statement));
        lock(&self.unheard).retain(|known| !statements.iter().any(|heard| Arc::ptr_eq(known, heard)));
        self.forget(now);
    }

    /// All that Redis has not heard, or may have forgotten.
    pub(crate) fn all(&self) -> Vec<Arc<Statement>> {
        let unheard = lock(&self.unheard).clone();
        let mut all: Vec<_> = lock(&self.heard).statements.iter().map(|(_, statement)| Arc::clone(statement)).collect();
        all.extend(unheard);
        all
    }

    /// All of it was said again to another run of the server, which may forget it as well.
    pub(crate) fn said_again(&self) {
        let now = Instant::now();
        lock(&self.heard).statements.iter_mut().for_each(|(at, _)| *at = now);
    }

    /// Lets go what is old. To be called when Redis has just answered.
    pub(crate) fn forget(&self, now: Instant) {
        let mut heard = lock(&self.heard);
        while heard.is_too_much() || heard.is_old(now) {
            heard.pop();
        }
        if heard.statements.is_empty() {
            heard.statements.shrink_to_fit();
        }
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn statement(said: Said) -> Arc<Statement> {
        Arc::new(Statement::new(id(), 1, said, Some("1 header\n{\"to\":[]}")))
    }

    #[test]
    fn what_was_heard_is_remembered_for_a_while_and_what_was_not_without_limit() {
        let memory = Memory::default();
        let (heard, unheard) = (deferred(), deferred());
        memory.note(&[Arc::clone(&heard), Arc::clone(&unheard)]);
        memory.heard(&[Arc::clone(&heard)]);
        assert_eq!(memory.all().len(), 2);
        memory.forget(Instant::now() + REMEMBERED + Duration::from_secs(1));
        let left = memory.all();
        assert!(left.len() == 1 && Arc::ptr_eq(&left[0], &unheard));
    }

    #[test]
    fn what_was_said_again_is_as_fresh_as_new() {
        let memory = Memory::default();
        let heard = deferred();
        memory.heard(&[Arc::clone(&heard)]);
        let later = Instant::now() + REMEMBERED + Duration::from_secs(1);
        lock(&memory.heard).statements[0].0 = Instant::now().checked_sub(REMEMBERED).expect("the machine is up");
        memory.said_again();
        memory.forget(Instant::now());
        assert_eq!(memory.all().len(), 1);
        memory.forget(later);
        assert!(memory.all().is_empty());
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let memory = Memory::default();
        let many = vec![deferred(); MOST_HEARD + 5];
        memory.heard(&many);
        assert_eq!(memory.all().len(), MOST_HEARD);
    }

    #[test]
    fn of_what_was_sent_only_the_header_is_kept() {
        assert_eq!(&*finished(Outcome::Sent).payload, "1 header\n{}");
        assert_eq!(&*finished(Outcome::Unknown).payload, "1 header\n{\"to\":[]}");
    }
}
