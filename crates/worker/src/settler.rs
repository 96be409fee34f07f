//! Begin, finish and defer for one queue. Requests that arrive during a script call go into the
//! next one, so calls are few under load and immediate otherwise.

mod replay_log;

use std::{pin::Pin, sync::Arc, time::Duration};

use postroom_core::{
    Error, JobId, QueueName, Result,
    store::{Begin, BeginReply, Defer, DeferReply, Finish, FinishReply, Outcome, Settled},
};
use tokio::sync::{mpsc, oneshot};

use self::replay_log::ReplayLog;
pub(crate) use self::replay_log::{Settlement, SettlementKind};
use crate::{in_flight::InFlight, redis_access::RedisAccess};

/// Maximum number of jobs in one script call.
pub(crate) const MAX_JOBS: usize = 100;

/// Time that finishes gather after a call for several: their mails have left, and one call for many
/// costs Redis much less.
const GATHER_FINISHES: Duration = Duration::from_millis(1);

type PendingRequest<Q, A> = (Q, oneshot::Sender<Result<A>>);

/// Handle of the settler of one queue.
#[derive(Debug, Clone)]
pub(crate) struct Settler {
    begin: mpsc::UnboundedSender<PendingRequest<Begin, BeginReply>>,
    finish: mpsc::UnboundedSender<PendingRequest<Arc<Settlement>, FinishReply>>,
    defer: mpsc::UnboundedSender<PendingRequest<Arc<Settlement>, DeferReply>>,
    in_flight: Arc<InFlight>,
    replay_log: Arc<ReplayLog>,
}

impl Settler {
    /// Starts the settler of a queue. It ends with its last handle.
    pub(crate) fn start(redis: &RedisAccess, queue: &QueueName, in_flight: &Arc<InFlight>) -> Self {
        let replay_log = Arc::new(ReplayLog::default());
        let task = Arc::new(SettlerTask {
            redis: redis.clone(),
            queue: queue.clone(),
            in_flight: Arc::clone(in_flight),
            replay_log: Arc::clone(&replay_log),
        });
        let (begin, begins) = mpsc::unbounded_channel();
        let (finish, finishes) = mpsc::unbounded_channel();
        let (defer, defers) = mpsc::unbounded_channel();
        tokio::spawn(Arc::clone(&task).serve_begins(begins));
        tokio::spawn(Arc::clone(&task).serve_finishes(finishes));
        tokio::spawn(task.serve_defers(defers));
        Self { begin, finish, defer, in_flight: Arc::clone(in_flight), replay_log }
    }

    /// Writes the mark.
    ///
    /// # Errors
    ///
    /// After an error the mark may not be written, so the mail must not be sent.
    pub(crate) async fn begin(&self, mark: Begin) -> Result<BeginReply> {
        request(&self.begin, mark).await
    }

    /// Settles a job. Waits while Redis is away.
    ///
    /// # Errors
    ///
    /// Returns an error if Redis refuses the settlement.
    pub(crate) async fn finish(
        &self,
        id: &JobId,
        fence: u64,
        outcome: Outcome,
        reason: &str,
        left: &Settled,
    ) -> Result<FinishReply> {
        let finish = Finish::new(id, fence, outcome, reason, left)?;
        request(&self.finish, self.settlement(id.clone(), fence, SettlementKind::Finish(outcome, finish))).await
    }

    /// Defers a job. Waits while Redis is away.
    ///
    /// # Errors
    ///
    /// Returns an error if Redis refuses the settlement.
    pub(crate) async fn defer(&self, Defer { id, fence, delay, left }: Defer) -> Result<DeferReply> {
        request(&self.defer, self.settlement(id, fence, SettlementKind::Defer(delay, Box::new(left)))).await
    }

    /// Returns the replay log.
    pub(crate) fn replay_log(&self) -> &ReplayLog {
        &self.replay_log
    }

    fn settlement(&self, id: JobId, fence: u64, kind: SettlementKind) -> Arc<Settlement> {
        let payload = self.in_flight.settling(&id, fence);
        Arc::new(Settlement::new(id, fence, kind, payload.as_deref()))
    }
}

async fn request<Q, A>(queue: &mpsc::UnboundedSender<PendingRequest<Q, A>>, message: Q) -> Result<A> {
    let gone = || Error::Away("the settler has ended".to_owned());
    let (reply, replied) = oneshot::channel();
    queue.send((message, reply)).map_err(|_| gone())?;
    replied.await.map_err(|_| gone())?
}

struct SettlerTask {
    redis: RedisAccess,
    queue: QueueName,
    in_flight: Arc<InFlight>,
    replay_log: Arc<ReplayLog>,
}

impl SettlerTask {
    async fn serve_begins(self: Arc<Self>, mut requests: mpsc::UnboundedReceiver<PendingRequest<Begin, BeginReply>>) {
        while let Some((jobs, answers)) = gather(&mut requests).await {
            let replies = self.redis.jobs.begin(&self.queue, &self.redis.worker_id, &jobs).await;
            if let Ok(replies) = &replies {
                self.note_begun(jobs, replies);
            }
            answer(answers, self.redis.watch(replies));
        }
    }

    fn note_begun(&self, jobs: Vec<Begin>, replies: &[BeginReply]) {
        let begun = jobs.into_iter().zip(replies).filter(|(_, reply)| **reply == BeginReply::Begun);
        begun.for_each(|(Begin { id, fence, message_id, date_ms }, _)| {
            self.in_flight.begun(&id, fence, message_id, date_ms);
        });
    }

    async fn serve_finishes(
        self: Arc<Self>,
        mut requests: mpsc::UnboundedReceiver<PendingRequest<Arc<Settlement>, FinishReply>>,
    ) {
        while let Some((jobs, answers)) = gather(&mut requests).await {
            let crowded = jobs.len() > 1;
            self.persist(jobs, answers, |task, jobs| Box::pin(async move { task.send_finishes(&jobs).await })).await;
            if crowded {
                tokio::time::sleep(GATHER_FINISHES).await;
            }
        }
    }

    async fn serve_defers(
        self: Arc<Self>,
        mut requests: mpsc::UnboundedReceiver<PendingRequest<Arc<Settlement>, DeferReply>>,
    ) {
        while let Some((jobs, answers)) = gather(&mut requests).await {
            self.persist(jobs, answers, |task, jobs| Box::pin(async move { task.send_defers(&jobs).await })).await;
        }
    }

    async fn send_finishes(&self, jobs: &[Arc<Settlement>]) -> Result<Vec<FinishReply>> {
        self.redis.jobs.finish(&self.queue, &self.redis.worker_id, finishes(jobs)).await
    }

    async fn send_defers(&self, jobs: &[Arc<Settlement>]) -> Result<Vec<DeferReply>> {
        self.redis.jobs.defer(&self.queue, &self.redis.worker_id, &defers(jobs)).await
    }

    /// Repeats a call until Redis has answered: settlements are idempotent and must not be lost. If
    /// Redis refuses the call, each job is sent alone, so that one job does not block the others.
    async fn persist<A>(
        self: &Arc<Self>,
        jobs: Vec<Arc<Settlement>>,
        answers: Vec<oneshot::Sender<Result<A>>>,
        send: impl Fn(Arc<Self>, Vec<Arc<Settlement>>) -> StoreCall<A>,
    ) {
        self.replay_log.note(&jobs);
        let replies = self.until_answered(|| send(Arc::clone(self), jobs.clone())).await;
        self.replay_log.acknowledge(&jobs);
        if replies.is_ok() || jobs.len() == 1 {
            return answer(answers, replies);
        }
        for (job, one) in jobs.into_iter().zip(answers) {
            let replies = self.until_answered(|| send(Arc::clone(self), vec![Arc::clone(&job)])).await;
            answer(vec![one], replies);
        }
    }

    async fn until_answered<A>(&self, send: impl Fn() -> StoreCall<A>) -> Result<Vec<A>> {
        loop {
            match self.redis.watch(send().await) {
                Err(error) if error.is_transient() => tokio::time::sleep(Duration::from_millis(200)).await,
                replies => return replies,
            }
        }
    }
}

type StoreCall<A> = Pin<Box<dyn Future<Output = Result<Vec<A>>> + Send>>;
type GatheredRequests<Q, A> = (Vec<Q>, Vec<oneshot::Sender<Result<A>>>);

/// Waits for the first request and takes all that have arrived meanwhile. Returns `None` when all
/// handles are gone.
async fn gather<Q, A>(requests: &mut mpsc::UnboundedReceiver<PendingRequest<Q, A>>) -> Option<GatheredRequests<Q, A>> {
    let mut gathered = vec![requests.recv().await?];
    // Lets tasks that are ready send their requests first.
    tokio::task::yield_now().await;
    while gathered.len() < MAX_JOBS
        && let Ok(request) = requests.try_recv()
    {
        gathered.push(request);
    }
    Some(gathered.into_iter().unzip())
}

fn answer<A>(answers: Vec<oneshot::Sender<Result<A>>>, replies: Result<Vec<A>>) {
    match replies {
        // The receiver is gone if the delivery was given up meanwhile.
        Ok(replies) => answers.into_iter().zip(replies).for_each(|(answer, reply)| drop(answer.send(Ok(reply)))),
        Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone())))),
    }
}

/// Returns the settlements that finish their jobs.
pub(crate) fn finishes(jobs: &[Arc<Settlement>]) -> impl Iterator<Item = &Finish> {
    jobs.iter().filter_map(|job| match &job.kind {
        SettlementKind::Finish(_, finish) => Some(finish),
        SettlementKind::Defer(..) => None,
    })
}

/// Returns the settlements that defer their jobs.
pub(crate) fn defers(jobs: &[Arc<Settlement>]) -> Vec<Defer> {
    let defer = |job: &Arc<Settlement>| match &job.kind {
        SettlementKind::Defer(delay, left) => {
            Some(Defer { id: job.id.clone(), fence: job.fence, delay: *delay, left: Settled::clone(left) })
        }
        SettlementKind::Finish(..) => None,
    };
    jobs.iter().filter_map(defer).collect()
}
