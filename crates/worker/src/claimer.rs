//! The loop: as many jobs as there are free slots, from the queues in their order.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use postroom_core::{
    Error, QueueName, Shutdown,
    store::{Bell, Claim, ClaimId, ClaimReply, Claimed, LimitName, Measure, Peek, Settled},
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    alerts::About,
    counter::Room,
    delivery::{Delivery, Provided},
    following::follow,
    lease_clock,
    limits::{Permit, Taken},
    office::Office,
    outlet::{Admission, Outlet},
    panics::watched,
    seats::Seat,
};

/// An idle worker looks for itself at least this often. It seldom matters: a ring that was lost is made good by a sweep.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How long a claim that is under way is heard when this worker is told to stop: behind a dead connection it never ends.
const LAST_CLAIM: Duration = Duration::from_secs(3);

/// After a restart of Redis claims wait until all workers have said what they know; asked again so often.
const OTHERS_MAY_HAVE_SPOKEN: Duration = Duration::from_millis(100);

/// Takes jobs and starts their deliveries.
pub(crate) struct Claimer {
    office: Arc<Office>,
    slots: Arc<Semaphore>,
    bell: Bell,
    /// Claims that were not answered.
    unheard: HashMap<QueueName, ClaimId>,
    /// Queues with jobs of a newer protocol, and when to look again.
    newer: HashMap<QueueName, Duration>,
    deliveries: TaskTracker,
    give_up: CancellationToken,
}

/// What a look into the queues found.
#[derive(Default)]
struct Look {
    /// Whether more waits than there were slots for.
    more: bool,
    /// How long until there is a reason to look again: a job is due, a transport may be tried.
    next_due: Option<Duration>,
    /// From where nothing is claimed for now.
    closed: Vec<QueueName>,
}

/// What mail needs to leave, before it is claimed.
struct Means {
    seats: Vec<Seat>,
    /// Where there are limits.
    permit: Option<Permit>,
    /// Whether seats were asked for: those that turn out to be too many go back at once, since others may wait for them.
    asked: bool,
}

impl Look {
    /// Nothing is claimed from this queue before that long; unknown when something else will tell.
    fn closed(queue: &QueueName, again_in: Option<Duration>) -> Self {
        Self { next_due: again_in, closed: vec![queue.clone()], ..Self::default() }
    }
}

/// How urgent a queue's mail is among all that share a limit: as its most urgent one, but bulk mail comes last.
fn class_of(queue: &QueueName, priority: u8) -> u8 {
    const BULK: u8 = 7;
    if *queue == QueueName::bulk() { priority.max(BULK) } else { priority }
}

impl Claimer {
    pub(crate) fn new(office: &Arc<Office>) -> Self {
        let slots = usize::try_from(office.settings.concurrency.max).unwrap_or(usize::MAX);
        Self {
            office: Arc::clone(office),
            slots: Arc::new(Semaphore::new(slots)),
            bell: Bell::new(&office.store, &office.queues()),
            unheard: HashMap::new(),
            newer: HashMap::new(),
            deliveries: TaskTracker::new(),
            give_up: CancellationToken::new(),
        }
    }

    /// Runs until shutdown, then lets what is under way come to its end within the limit of the settings.
    pub(crate) async fn run(mut self, shutdown: &Shutdown) {
        let concurrency = self.office.settings.concurrency;
        if concurrency.min < concurrency.max {
            tokio::spawn(follow(Arc::clone(&self.office), Arc::clone(&self.slots), shutdown.child()));
        }
        while !shutdown.is_requested() {
            self.turn(shutdown).await;
        }
        self.drain().await;
    }

    /// Waits for a free slot, looks once, and waits for the next reason to look. Only the waiting ends with the shutdown:
    /// a claim that is under way is heard a while longer, so that its jobs are not left with nobody until their leases run
    /// out.
    async fn turn(&mut self, shutdown: &Shutdown) {
        tokio::select! {
            () = shutdown.requested() => return,
            // The semaphore is never closed.
            slot = self.slots.acquire() => drop(slot),
        }
        let late = async {
            shutdown.requested().await;
            tokio::time::sleep(LAST_CLAIM).await;
        };
        let look = tokio::select! {
            look = self.look() => look,
            () = late => return,
        };
        let idle = async {
            match look {
                // The next turn waits for a slot: a ring is for those who have one free.
                Ok(look) if look.more || self.slots.available_permits() == 0 => {}
                Ok(look) => self.wait_for_work(&look).await,
                Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
            }
        };
        tokio::select! {
            () = shutdown.requested() => {}
            () = idle => {}
        }
    }

    async fn wait_for_work(&mut self, look: &Look) {
        let limit = look.next_due.map_or(LOOK_EVERY, |due| due.min(LOOK_EVERY));
        let open = self.office.queues().into_iter().filter(|queue| !look.closed.contains(queue));
        self.bell.listen_to(&open.collect::<Vec<_>>());
        let rang = tokio::select! {
            rang = self.bell.wait(limit) => rang,
            () = self.office.bells.ready.notified() => return,
        };
        if self.office.outage.watch(rang).is_err() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Claims from the queues in their order until the slots are full.
    async fn look(&mut self) -> Result<Look, Error> {
        let mut found = Look::default();
        for queue in self.order() {
            let free = self.slots.available_permits();
            if free == 0 {
                found.more = true;
                break;
            }
            let look = match self.claim(&queue, free).await {
                Ok(look) => look,
                Err(problem) if problem.is_transient() => return Err(problem),
                // This queue's own trouble, which is told: the others go on.
                Err(_) => continue,
            };
            found.more |= look.more;
            found.next_due = [found.next_due, look.next_due].into_iter().flatten().min();
            found.closed.extend(look.closed);
        }
        if found.more && self.slots.available_permits() == 0 {
            self.office.pulse.full();
        }
        Ok(found)
    }

    /// As listed; with weights, the first by chance, each as often as its weight says.
    fn order(&self) -> Vec<QueueName> {
        let mut serve = self.office.settings.serve.clone();
        if serve.iter().any(|(_, weight)| *weight > 0) {
            let mut ordered = Vec::new();
            while !serve.is_empty() {
                let all: u32 = serve.iter().map(|(_, weight)| weight).sum();
                let mut at = fastrand::u32(..all);
                let chosen = serve.iter().position(|(_, weight)| {
                    let here = at < *weight;
                    at = at.saturating_sub(*weight);
                    here
                });
                ordered.push(serve.remove(chosen.unwrap_or(0)).0);
            }
            return ordered;
        }
        serve.into_iter().map(|(queue, _)| queue).collect()
    }

    /// Claims what can leave, and nothing while no transport of the queue takes mail.
    async fn claim(&mut self, queue: &QueueName, free: usize) -> Result<Look, Error> {
        let asked_at = lease_clock::now();
        if let Some(again_at) = self.newer.get(queue).filter(|again_at| **again_at > asked_at) {
            return Ok(Look::closed(queue, Some(*again_at - asked_at)));
        }
        let (outlet, want, mut reserved) = match self.office.counter(queue).room() {
            Room::Enough(outlet) => (outlet, free, None),
            Room::ForOne(admission) => (Arc::clone(admission.outlet()), 1, Some(admission)),
            Room::None(again_in) => return Ok(Look::closed(queue, again_in)),
        };
        let Means { seats, permit, asked } = match self.means(queue, &outlet, want).await? {
            Ok(means) => means,
            Err(look) => return Ok(look),
        };
        let asked_at = lease_clock::now();
        let want = permit.as_ref().map_or(seats.len(), |permit| permit.number.min(seats.len()));
        let reply = self.asked(queue, want).await;
        let got = reply.as_ref().map_or(0, ClaimReply::jobs);
        let mut turns: VecDeque<_> = permit.iter().flat_map(|permit| permit.turns(got)).collect();
        if let Some(permit) = permit {
            // What does not go back is lost to nobody but the limit's pace.
            let _ = self.office.outage.watch(permit.give_back(&self.office.store, got).await);
        }
        match reply? {
            ClaimReply::Jobs { jobs, more, next_due_ms, now_ms } => {
                let mut seats = seats.into_iter();
                for job in jobs {
                    let reserved = reserved.take().map(Admission::taken_up);
                    let provided = Provided { reserved, seat: seats.next(), turn: turns.pop_front() };
                    self.start(job, now_ms, asked_at, provided);
                }
                let due = |ms: i64| Duration::from_millis(u64::try_from(ms - now_ms).unwrap_or(0).max(1));
                drop(seats);
                if asked && got < want {
                    let _ = self.office.outage.watch(outlet.keep_seats(&self.office).await);
                }
                Ok(Look { more, next_due: next_due_ms.map(due), ..Look::default() })
            }
            ClaimReply::Paused => Ok(Look::default()),
            ClaimReply::Wait(wait) => Ok(Look { next_due: Some(wait.min(OTHERS_MAY_HAVE_SPOKEN)), ..Look::default() }),
            ClaimReply::Newer(theirs) => {
                let problem = Error::NewerProtocol { theirs, ours: postroom_core::store::PROTOCOL_VERSION };
                self.office.alerts.raise(About::Protocol(queue.clone()), format!("{queue} is not served: {problem}"));
                self.newer.insert(queue.clone(), asked_at + LOOK_EVERY);
                Ok(Look::closed(queue, Some(LOOK_EVERY)))
            }
        }
    }

    /// Seats, and leave where there are limits. Both are only asked for when there is something to send: what nobody uses is lost
    /// to others.
    async fn means(&self, queue: &QueueName, outlet: &Arc<Outlet>, want: usize) -> Result<Result<Means, Look>, Error> {
        let office = &self.office;
        let mut seats = outlet.seats(want);
        let limits = office.limits_on(queue, outlet);
        // With one that is free it is seen first whether there is more to send.
        let asks_for_seats = seats.is_empty() && outlet.may_have_more();
        if seats.is_empty() && !asks_for_seats {
            return Ok(Err(Look::closed(queue, Some(outlet.ask_again_in()))));
        }
        if limits.is_empty() && !asks_for_seats {
            return Ok(Ok(Means { seats, permit: None, asked: false }));
        }
        let class = match office.outage.watch(office.jobs.peek(queue).await)? {
            Peek::Nothing(next_due) => return Ok(Err(Look { next_due, ..Look::default() })),
            Peek::Waiting(priority) => class_of(queue, priority),
        };
        let permit = match self.leave(queue, &limits, class, if asks_for_seats { want } else { seats.len() }).await? {
            Ok(permit) => permit,
            Err(look) => return Ok(Err(look)),
        };
        if asks_for_seats {
            let asked = outlet.ask_for_seats(office, permit.number).await;
            seats = outlet.seats(permit.number);
            if seats.is_empty() {
                let _ = office.outage.watch(permit.give_back(&office.store, 0).await);
                office.outage.watch(asked)?;
                return Ok(Err(Look::closed(queue, Some(outlet.ask_again_in()))));
            }
        }
        outlet.let_go();
        Ok(Ok(Means { seats, permit: Some(permit), asked: asks_for_seats }))
    }

    async fn leave(
        &self,
        queue: &QueueName,
        limits: &[(LimitName, Measure)],
        class: u8,
        want: usize,
    ) -> Result<Result<Permit, Look>, Error> {
        const LONGEST: Duration = Duration::from_secs(30);
        let office = &self.office;
        match office.outage.watch(office.limits.take(&office.store, limits, class, want).await)? {
            Taken::Leave(permit) => Ok(Ok(permit)),
            Taken::Wait(wait) => Ok(Err(Look::closed(queue, Some(wait)))),
            Taken::Shut(limit, wait, why) => {
                office.shut(&limit, wait, &why);
                // Where another way is open, it is looked at again at once.
                let again = if limit == LimitName::Queue(queue.clone()) { wait.min(LONGEST) } else { Duration::ZERO };
                Ok(Err(Look::closed(queue, Some(again))))
            }
        }
    }

    /// A claim whose answer was lost is said again under the same id until it is heard, and gets the same jobs.
    async fn asked(&mut self, queue: &QueueName, want: usize) -> Result<ClaimReply, Error> {
        let id = self.unheard.remove(queue).unwrap_or_else(ClaimId::generate);
        let claim = Claim { queue, worker: &self.office.id, id: &id, want };
        let answer = self.office.outage.watch(self.office.jobs.claim(&claim).await);
        if answer.is_err() {
            self.unheard.insert(queue.clone(), id);
        }
        answer
    }

    fn start(&self, job: Claimed, now_ms: i64, claimed_at: Duration, provided: Provided) {
        // A claim that was said again brings what was asked for then: by now there may be fewer slots.
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            let settler = self.office.counter(job.id.queue()).settler.clone();
            let left = Settled { attempt: job.attempt, ..Settled::default() };
            self.deliveries.spawn(async move { drop(settler.defer((job.id, job.fence, Duration::ZERO, left)).await) });
            return;
        };
        let (office, give_up, begun) = (Arc::clone(&self.office), self.give_up.clone(), Arc::default());
        let delivery = Delivery { office, job, now_ms, claimed_at, give_up, begun, provided };
        self.deliveries.spawn(watched(slot, delivery.in_case(), delivery.run()));
    }

    async fn drain(self) {
        self.deliveries.close();
        let limit = self.office.settings.shutdown_timeout;
        if tokio::time::timeout(limit, self.deliveries.wait()).await.is_err() {
            warn!("{} mails are still under way after {limit:?}; they are put back", self.office.in_flight.len());
            self.give_up.cancel();
            // What is said now must reach Redis; without it the leases run out.
            let last_words = tokio::time::timeout(Duration::from_secs(3), self.deliveries.wait());
            if last_words.await.is_err() {
                warn!("Redis did not hear of {} mails; their leases run out", self.office.in_flight.len());
            }
        }
    }
}
