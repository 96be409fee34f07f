//! Begin, finish and defer for one queue. What gathers while a script call is under way goes into the next one, so calls
//! are few under load and immediate otherwise.

use std::{pin::Pin, sync::Arc, time::Duration};

use postroom_core::{
    Error, JobId, Outage, QueueName, Result, Store,
    store::{Begin, BeginReply, Defer, DeferReply, Finish, FinishReply, Outcome, Settled, WorkerId},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    in_flight::InFlight,
    memory::{Memory, Said, Statement},
};

/// How many jobs one script call settles.
pub(crate) const MOST: usize = 100;

/// How long finishes gather where they come in crowds: their mails have left, and one call for many costs Redis much less.
const GATHERING: Duration = Duration::from_millis(1);

type Asked<Q, A> = (Q, oneshot::Sender<Result<A>>);

/// The way to the settler of one queue.
#[derive(Debug, Clone)]
pub(crate) struct Settler {
    begin: mpsc::UnboundedSender<Asked<Begin, BeginReply>>,
    finish: mpsc::UnboundedSender<Asked<Arc<Statement>, FinishReply>>,
    defer: mpsc::UnboundedSender<Asked<Arc<Statement>, DeferReply>>,
    in_flight: Arc<InFlight>,
    memory: Arc<Memory>,
}

impl Settler {
    /// Starts a queue's settler; it ends with its last handle.
    pub(crate) fn start(
        store: &Store,
        queue: &QueueName,
        worker: &WorkerId,
        outage: &Outage,
        in_flight: &Arc<InFlight>,
    ) -> Self {
        let memory = Arc::new(Memory::default());
        let desk = Arc::new(Desk {
            store: store.clone(),
            queue: queue.clone(),
            worker: worker.clone(),
            outage: outage.clone(),
            in_flight: Arc::clone(in_flight),
            memory: Arc::clone(&memory),
        });
        let (begin, begins) = mpsc::unbounded_channel();
        let (finish, finishes) = mpsc::unbounded_channel();
        let (defer, defers) = mpsc::unbounded_channel();
        tokio::spawn(Arc::clone(&desk).serve_begins(begins));
        tokio::spawn(Arc::clone(&desk).serve_finishes(finishes));
        tokio::spawn(desk.serve_defers(defers));
        Self { begin, finish, defer, in_flight: Arc::clone(in_flight), memory }
    }

    /// Writes the mark. An error means that it is not known to be written: do not send.
    pub(crate) async fn begin(&self, mark: Begin) -> Result<BeginReply> {
        ask(&self.begin, mark).await
    }

    /// Settles a job, however long Redis is away.
    pub(crate) async fn finish(
        &self,
        id: &JobId,
        fence: u64,
        outcome: Outcome,
        reason: &str,
        left: &Settled,
    ) -> Result<FinishReply> {
        let finish = Finish::new(id, fence, outcome, reason, left)?;
        ask(&self.finish, self.statement(id.clone(), fence, Said::Finish(outcome, finish))).await
    }

    /// Puts a job back, however long Redis is away.
    pub(crate) async fn defer(&self, Defer { id, fence, delay, left }: Defer) -> Result<DeferReply> {
        ask(&self.defer, self.statement(id, fence, Said::Defer(delay, Box::new(left)))).await
    }

    /// What was said lately.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    fn statement(&self, id: JobId, fence: u64, said: Said) -> Arc<Statement> {
        let payload = self.in_flight.payload(&id, fence);
        Arc::new(Statement::new(id, fence, said, payload.as_deref()))
    }
}

async fn ask<Q, A>(desk: &mpsc::UnboundedSender<Asked<Q, A>>, question: Q) -> Result<A> {
    let gone = || Error::Away("the settler has ended".to_owned());
    let (answer, answered) = oneshot::channel();
    desk.send((question, answer)).map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}

struct Desk {
    store: Store,
    queue: QueueName,
    worker: WorkerId,
    outage: Outage,
    in_flight: Arc<InFlight>,
    memory: Arc<Memory>,
}

impl Desk {
    async fn serve_begins(self: Arc<Self>, mut asked: mpsc::UnboundedReceiver<Asked<Begin, BeginReply>>) {
        while let Some((jobs, answers)) = gather(&mut asked).await {
            let replies = self.store.begin(&self.queue, &self.worker, &jobs).await;
            if let Ok(replies) = &replies {
                self.note_begun(jobs, replies);
            }
            answer(answers, self.outage.watch(replies));
        }
    }

    fn note_begun(&self, jobs: Vec<Begin>, replies: &[BeginReply]) {
        let begun = jobs.into_iter().zip(replies).filter(|(_, reply)| **reply == BeginReply::Begun);
        begun.for_each(|(Begin { id, fence, message_id, date_ms }, _)| {
            self.in_flight.begun(&id, fence, message_id, date_ms);
        });
    }

    async fn serve_finishes(self: Arc<Self>, mut asked: mpsc::UnboundedReceiver<Asked<Arc<Statement>, FinishReply>>) {
        while let Some((jobs, answers)) = gather(&mut asked).await {
            let crowded = jobs.len() > 1;
            self.persist(jobs, answers, |desk, jobs| Box::pin(async move { desk.say_finished(&jobs).await })).await;
            if crowded {
                tokio::time::sleep(GATHERING).await;
            }
        }
    }

    async fn serve_defers(self: Arc<Self>, mut asked: mpsc::UnboundedReceiver<Asked<Arc<Statement>, DeferReply>>) {
        while let Some((jobs, answers)) = gather(&mut asked).await {
            self.persist(jobs, answers, |desk, jobs| Box::pin(async move { desk.say_deferred(&jobs).await })).await;
        }
    }

    async fn say_finished(&self, jobs: &[Arc<Statement>]) -> Result<Vec<FinishReply>> {
        self.store.finish(&self.queue, &self.worker, finishes(jobs)).await
    }

    async fn say_deferred(&self, jobs: &[Arc<Statement>]) -> Result<Vec<DeferReply>> {
        self.store.defer(&self.queue, &self.worker, &defers(jobs)).await
    }

    /// Says it again until Redis has heard it: it may be said twice, and what is known must not be lost. What is refused for
    /// another reason is said one by one, so that one job does not take the others with it.
    async fn persist<A>(
        self: &Arc<Self>,
        jobs: Vec<Arc<Statement>>,
        answers: Vec<oneshot::Sender<Result<A>>>,
        say: impl Fn(Arc<Self>, Vec<Arc<Statement>>) -> Saying<A>,
    ) {
        self.memory.note(&jobs);
        let said = self.until_heard(|| say(Arc::clone(self), jobs.clone())).await;
        self.memory.heard(&jobs);
        if said.is_ok() || jobs.len() == 1 {
            return answer(answers, said);
        }
        for (job, one) in jobs.into_iter().zip(answers) {
            let said = self.until_heard(|| say(Arc::clone(self), vec![Arc::clone(&job)])).await;
            answer(vec![one], said);
        }
    }

    async fn until_heard<A>(&self, say: impl Fn() -> Saying<A>) -> Result<Vec<A>> {
        loop {
            match self.outage.watch(say().await) {
                Err(problem) if problem.is_transient() => tokio::time::sleep(Duration::from_millis(200)).await,
                said => return said,
            }
        }
    }
}

type Saying<A> = Pin<Box<dyn Future<Output = Result<Vec<A>>> + Send>>;
type Gathered<Q, A> = (Vec<Q>, Vec<oneshot::Sender<Result<A>>>);

/// Waits for the first question and takes what has come meanwhile; `None` when nobody is left to ask.
async fn gather<Q, A>(asked: &mut mpsc::UnboundedReceiver<Asked<Q, A>>) -> Option<Gathered<Q, A>> {
    let mut gathered = vec![asked.recv().await?];
    // Whoever is about to ask goes first.
    tokio::task::yield_now().await;
    while gathered.len() < MOST
        && let Ok(question) = asked.try_recv()
    {
        gathered.push(question);
    }
    Some(gathered.into_iter().unzip())
}

fn answer<A>(answers: Vec<oneshot::Sender<Result<A>>>, replies: Result<Vec<A>>) {
    match replies {
        // Nobody listens any more when the job was given up meanwhile.
        Ok(replies) => answers.into_iter().zip(replies).for_each(|(answer, reply)| drop(answer.send(Ok(reply)))),
        Err(problem) => {
            let said = problem.to_string();
            answers.into_iter().for_each(|answer| drop(answer.send(Err(Error::Away(said.clone())))));
        }
    }
}

/// Those of the statements that settle their jobs, as the store takes them.
pub(crate) fn finishes(jobs: &[Arc<Statement>]) -> impl Iterator<Item = &Finish> {
    jobs.iter().filter_map(|job| match &job.said {
        Said::Finish(_, finish) => Some(finish),
        Said::Defer(..) => None,
    })
}

/// Those that put their jobs back.
pub(crate) fn defers(jobs: &[Arc<Statement>]) -> Vec<Defer> {
    let defer = |job: &Arc<Statement>| match &job.said {
        Said::Defer(delay, left) => {
            Some(Defer { id: job.id.clone(), fence: job.fence, delay: *delay, left: Settled::clone(left) })
        }
        Said::Finish(..) => None,
    };
    jobs.iter().filter_map(defer).collect()
}
