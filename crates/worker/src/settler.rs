//! Begin, finish and defer for one queue. What gathers while a script call is under way goes into the next one, so calls
//! are few under load and immediate otherwise.

use std::{pin::Pin, sync::Arc, time::Duration};

use postroom_core::{
    Error, JobId, Outage, QueueName, Result, Store,
    store::{BeginReply, DeferReply, FinishReply, Outcome, Settled, WorkerId},
};
use tokio::sync::{mpsc, oneshot};

/// How many jobs one script call settles.
const MOST: usize = 100;

type Begin = (JobId, u64, String, i64);
type Finish = (JobId, u64, Outcome, String, Settled);
type Defer = (JobId, u64, Duration, Settled);
type Asked<Q, A> = (Q, oneshot::Sender<Result<A>>);

/// The way to the settler of one queue.
#[derive(Debug, Clone)]
pub(crate) struct Settler {
    begin: mpsc::UnboundedSender<Asked<Begin, BeginReply>>,
    finish: mpsc::UnboundedSender<Asked<Finish, FinishReply>>,
    defer: mpsc::UnboundedSender<Asked<Defer, DeferReply>>,
}

impl Settler {
    /// Starts a queue's settler; it ends with its last handle.
    pub(crate) fn start(store: &Store, queue: &QueueName, worker: &WorkerId, outage: &Outage) -> Self {
        let desk = Arc::new(Desk {
            store: store.clone(),
            queue: queue.clone(),
            worker: worker.clone(),
            outage: outage.clone(),
        });
        let (begin, begins) = mpsc::unbounded_channel();
        let (finish, finishes) = mpsc::unbounded_channel();
        let (defer, defers) = mpsc::unbounded_channel();
        tokio::spawn(Arc::clone(&desk).serve_begins(begins));
        tokio::spawn(Arc::clone(&desk).serve_finishes(finishes));
        tokio::spawn(desk.serve_defers(defers));
        Self { begin, finish, defer }
    }

    /// Writes the mark. An error means that it is not known to be written: do not send.
    pub(crate) async fn begin(&self, mark: Begin) -> Result<BeginReply> {
        ask(&self.begin, mark).await
    }

    /// Settles a job, however long Redis is away.
    pub(crate) async fn finish(&self, finish: Finish) -> Result<FinishReply> {
        ask(&self.finish, finish).await
    }

    /// Puts a job back, however long Redis is away.
    pub(crate) async fn defer(&self, defer: Defer) -> Result<DeferReply> {
        ask(&self.defer, defer).await
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
}

impl Desk {
    async fn serve_begins(self: Arc<Self>, mut asked: mpsc::UnboundedReceiver<Asked<Begin, BeginReply>>) {
        while let Some((jobs, answers)) = gather(&mut asked).await {
            let replies = self.store.begin(&self.queue, &self.worker, &jobs).await;
            answer(answers, self.outage.watch(replies));
        }
    }

    async fn serve_finishes(self: Arc<Self>, mut asked: mpsc::UnboundedReceiver<Asked<Finish, FinishReply>>) {
        let say = |desk: Arc<Self>, jobs: Vec<Finish>| -> Saying<FinishReply> {
            Box::pin(async move { desk.store.finish(&desk.queue, &desk.worker, &jobs).await })
        };
        while let Some((jobs, answers)) = gather(&mut asked).await {
            self.persist(jobs, answers, say).await;
        }
    }

    async fn serve_defers(self: Arc<Self>, mut asked: mpsc::UnboundedReceiver<Asked<Defer, DeferReply>>) {
        let say = |desk: Arc<Self>, jobs: Vec<Defer>| -> Saying<DeferReply> {
            Box::pin(async move { desk.store.defer(&desk.queue, &desk.worker, &jobs).await })
        };
        while let Some((jobs, answers)) = gather(&mut asked).await {
            self.persist(jobs, answers, say).await;
        }
    }

    /// Says it again until Redis has heard it: it may be said twice, and what is known must not be lost. What is refused for
    /// another reason is said one by one, so that one job does not take the others with it.
    async fn persist<Q: Clone, A>(
        self: &Arc<Self>,
        jobs: Vec<Q>,
        answers: Vec<oneshot::Sender<Result<A>>>,
        say: impl Fn(Arc<Self>, Vec<Q>) -> Saying<A>,
    ) {
        let said = self.until_heard(|| say(Arc::clone(self), jobs.clone())).await;
        if said.is_ok() || jobs.len() == 1 {
            return answer(answers, said);
        }
        for (job, one) in jobs.into_iter().zip(answers) {
            let said = self.until_heard(|| say(Arc::clone(self), vec![job.clone()])).await;
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
    let mut gathered = Vec::new();
    let number = asked.recv_many(&mut gathered, MOST).await;
    (number > 0).then(|| gathered.into_iter().unzip())
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
