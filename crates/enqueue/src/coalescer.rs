//! Coalesces mails that many callers enqueue at the same time. Mails that arrive during a call go
//! in the next one, so calls are few under load and immediate otherwise.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use postroom_core::{
    Error, JobId, Mail, QueueName, Result, Store,
    store::{EnqueueRequest, JobTerms, PackedJob},
};
use tokio::sync::oneshot;

/// Maximum number of concurrent calls.
const MAX_CALLS: usize = 2;
/// Maximum number of mails in one call; the script accepts no more.
const MAX_MAILS: usize = 200;
/// Mails with more bytes of content than this are sent in a call of their own.
const LARGE: usize = 16 << 10;

/// Collects mails and enqueues them in groups.
#[derive(Debug, Default)]
pub(crate) struct Coalescer {
    state: Mutex<CoalescerState>,
}

#[derive(Debug, Default)]
struct CoalescerState {
    pending: VecDeque<PendingMail>,
    calls: usize,
}

/// A mail that waits for the next call.
#[derive(Debug)]
struct PendingMail {
    queue: QueueName,
    terms: JobTerms,
    job: PackedJob,
    result: oneshot::Sender<Result<()>>,
}

impl Coalescer {
    /// Enqueues a mail together with pending mails of the same queue and terms. The mail is packed
    /// on the caller's thread, so that callers pack in parallel.
    pub(crate) async fn enqueue(
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
        let (result, received) = oneshot::channel();
        self.push(store, PendingMail { queue: queue.clone(), terms: terms.clone(), job, result });
        received.await.unwrap_or_else(|_| Err(Error::Away("the runtime that ran the call has ended".to_owned())))
    }

    fn push(self: &Arc<Self>, store: &Store, mail: PendingMail) {
        let mut state = self.lock();
        state.pending.push_back(mail);
        if state.calls < MAX_CALLS {
            state.calls += 1;
            let call = Call { coalescer: Arc::clone(self), is_finished: false };
            tokio::spawn(call.run(store.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, CoalescerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CoalescerState {
    /// Removes the first pending mail and the others of its queue and terms.
    fn next_group(&mut self) -> Vec<PendingMail> {
        let Some(first) = self.pending.pop_front() else { return Vec::new() };
        let mut group = vec![first];
        let mut at = 0;
        while group.len() < MAX_MAILS && at < self.pending.len() {
            let (mail, first) = (&self.pending[at], &group[0]);
            if mail.queue == first.queue && mail.terms == first.terms {
                group.extend(self.pending.remove(at));
            } else {
                at += 1;
            }
        }
        group
    }
}

/// A task that makes one call after the other until no mail is pending.
struct Call {
    coalescer: Arc<Coalescer>,
    is_finished: bool,
}

impl Call {
    async fn run(mut self, store: Store) {
        while let Some(group) = self.next_group() {
            enqueue_group(&store, group).await;
        }
    }

    fn next_group(&mut self) -> Option<Vec<PendingMail>> {
        let mut state = self.coalescer.lock();
        let group = state.next_group();
        if group.is_empty() {
            // Under the same lock, so that the next caller starts a new task.
            state.calls -= 1;
            self.is_finished = true;
        }
        (!group.is_empty()).then_some(group)
    }
}

/// Frees the slot of a task whose runtime ends early. The next task enqueues the mails that are
/// still pending.
impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_finished {
            self.coalescer.lock().calls -= 1;
        }
    }
}

async fn enqueue_group(store: &Store, group: Vec<PendingMail>) {
    let (mut jobs, mut callers, mut common) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()), None);
    for PendingMail { queue, terms, job, result } in group {
        jobs.push(job);
        callers.push(result);
        common.get_or_insert((queue, terms));
    }
    let Some((queue, terms)) = common else { return };
    let result = store.enqueue_request(&EnqueueRequest::of_packed(&queue, None, &terms, jobs)).await.map(drop);
    // Sending fails if the caller was cancelled meanwhile.
    callers.into_iter().for_each(|caller| drop(caller.send(result.clone())));
}
