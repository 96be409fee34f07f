//! Mails that many callers hand over at the same time go to Redis together: what gathers while a call is under way goes into
//! the next one, so calls are few under load and immediate otherwise.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use postroom_core::{
    Error, JobId, Mail, QueueName, Result, Store,
    store::{EnqueueRequest, JobTerms, PackedJob},
};
use tokio::sync::oneshot;

/// How many calls are under way at a time.
const FLIGHTS: usize = 2;
/// How many mails go in one call; a script does no more work than that.
const MOST: usize = 200;
/// A mail with more bytes of content than this goes alone.
const LARGE: usize = 16 << 10;

/// Where mails gather.
#[derive(Debug, Default)]
pub(crate) struct Together {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    flights: usize,
}

/// A mail that waits for the next call.
#[derive(Debug)]
struct Waiting {
    queue: QueueName,
    terms: JobTerms,
    job: PackedJob,
    answer: oneshot::Sender<Result<()>>,
}

impl Together {
    /// Hands a mail over, with whatever else is being handed over under the same terms. It is packed by whoever hands it over, so that
    /// many can do it at a time.
    pub(crate) async fn put_in(
        self: &Arc<Self>,
        store: &Store,
        queue: &QueueName,
        terms: &JobTerms,
        id: &JobId,
        mail: &Mail,
    ) -> Result<()> {
        let job = PackedJob::new(id, mail, terms)?;
        if mail.content_bytes() > LARGE {
            return store.enqueue_request(&EnqueueRequest::of_packed(queue, None, terms, vec![job])).await.map(drop);
        }
        let (answer, answered) = oneshot::channel();
        self.gather(store, Waiting { queue: queue.clone(), terms: terms.clone(), job, answer });
        answered.await.unwrap_or_else(|_| Err(Error::Away("the runtime that was to hand it over has ended".to_owned())))
    }

    fn gather(self: &Arc<Self>, store: &Store, waiting: Waiting) {
        let mut state = self.lock();
        state.waiting.push_back(waiting);
        if state.flights < FLIGHTS {
            state.flights += 1;
            let flight = Flight { together: Arc::clone(self), is_over: false };
            tokio::spawn(flight.run(store.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The first that waits, and those that may go with it.
    fn next_group(&mut self) -> Vec<Waiting> {
        let Some(first) = self.waiting.pop_front() else { return Vec::new() };
        let mut group = vec![first];
        let mut at = 0;
        while group.len() < MOST && at < self.waiting.len() {
            let (one, first) = (&self.waiting[at], &group[0]);
            if one.queue == first.queue && one.terms == first.terms {
                group.extend(self.waiting.remove(at));
            } else {
                at += 1;
            }
        }
        group
    }
}

/// Makes one call after the other until nothing waits.
struct Flight {
    together: Arc<Together>,
    is_over: bool,
}

impl Flight {
    async fn run(mut self, store: Store) {
        while let Some(group) = self.next_group() {
            fly(&store, group).await;
        }
    }

    fn next_group(&mut self) -> Option<Vec<Waiting>> {
        let mut state = self.together.lock();
        let group = state.next_group();
        if group.is_empty() {
            // In the same moment, so that whoever comes next starts another one.
            state.flights -= 1;
            self.is_over = true;
        }
        (!group.is_empty()).then_some(group)
    }
}

/// Its runtime may end before it does; what waits is then taken on by the next.
impl Drop for Flight {
    fn drop(&mut self) {
        if !self.is_over {
            self.together.lock().flights -= 1;
        }
    }
}

async fn fly(store: &Store, group: Vec<Waiting>) {
    let (mut jobs, mut answers, mut shared) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()), None);
    for Waiting { queue, terms, job, answer } in group {
        jobs.push(job);
        answers.push(answer);
        shared.get_or_insert((queue, terms));
    }
    let Some((queue, terms)) = shared else { return };
    let said = store.enqueue_request(&EnqueueRequest::of_packed(&queue, None, &terms, jobs)).await.map(drop);
    // Whoever has gone away meanwhile needs no answer.
    answers.into_iter().for_each(|answer| drop(answer.send(said.clone())));
}
