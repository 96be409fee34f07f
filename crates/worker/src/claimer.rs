//! The loop: as many jobs as there are free slots, from the queues in their order.

use std::{collections::HashMap, sync::Arc, time::Duration};

use postroom_core::{
    Error, Priority, QueueName, Shutdown,
    store::{Claim, ClaimId, ClaimReply, Claimed, Defer, Settled, WakeListener},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    alerts::About,
    counter::Room,
    delivery::{Delivery, Provided},
    following::follow,
    lease_clock,
    leave::{Answer, Leave},
    office::Office,
    outlet::Admission,
    panics::watched,
    slots::{SlotRoom, Slots},
};

/// An idle worker looks for itself at least this often. It seldom matters: a ring that was lost is made good by a sweep.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How long a claim that is under way is heard when this worker is told to stop: behind a dead connection it never ends.
const LAST_CLAIM: Duration = Duration::from_secs(3);

/// How long free slots wait for others before more is claimed for them.
const GATHERING: Duration = Duration::from_millis(1);

/// After a restart of Redis claims wait until all workers have said what they know; asked again so often.
const OTHERS_MAY_HAVE_SPOKEN: Duration = Duration::from_millis(100);
/// How long a queue is left alone after Redis refused a script for it.
const REFUSED: Duration = Duration::from_secs(5);
/// How often queues that are served in their order are not: while the first one never empties, the others are served a little.
const OUT_OF_TURN: f64 = 0.05;

/// Takes jobs and starts their deliveries.
pub(crate) struct Claimer {
    office: Arc<Office>,
    slots: Arc<Slots>,
    bell: WakeListener,
    /// Claims that were not answered.
    unheard: HashMap<QueueName, ClaimId>,
    /// Queues that can't be served for now, because of jobs of a newer protocol or a refused script, and when to look again.
    shut: HashMap<QueueName, Duration>,
    deliveries: TaskTracker,
    give_up: CancellationToken,
    /// Whether the last look left something waiting.
    busy: bool,
}

/// What a look into the queues found.
#[derive(Default)]
struct Look {
    /// Whether something is left that waits for a slot.
    left: bool,
    /// Whether some of that could be claimed at once.
    more: bool,
    /// How long until there is a reason to look again: a job is due, a transport may be tried.
    next_due: Option<Duration>,
    /// From where nothing is claimed for now.
    closed: Vec<QueueName>,
}

impl Look {
    /// Nothing is claimed from this queue before that long; unknown when something else will tell.
    fn closed(queue: &QueueName, again_in: Option<Duration>) -> Self {
        Self { next_due: again_in, closed: vec![queue.clone()], ..Self::default() }
    }
}

impl Claimer {
    pub(crate) fn new(office: &Arc<Office>) -> Self {
        let slots = usize::try_from(office.settings.concurrency.max).unwrap_or(usize::MAX);
        let slots = Slots::new(slots, office.queues().len());
        Self {
            office: Arc::clone(office),
            slots,
            bell: WakeListener::new(&office.store, &office.queues()),
            unheard: HashMap::new(),
            shut: HashMap::new(),
            deliveries: TaskTracker::new(),
            give_up: CancellationToken::new(),
            busy: false,
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
            () = self.free_slots() => {}
        }
        let late = async {
            shutdown.requested().await;
            tokio::time::sleep(LAST_CLAIM).await;
        };
        let look = tokio::select! {
            look = self.look() => look,
            () = late => return,
        };
        self.busy = look.as_ref().is_ok_and(|look| look.left);
        let idle = async {
            match look {
                // The next turn waits for a slot: a ring is for those who have one free.
                Ok(look) if look.more => {}
                Ok(look) => self.wait_for_work(&look).await,
                Err(problem) => self.wait_for_redis(&problem).await,
            }
        };
        tokio::select! {
            () = shutdown.requested() => {}
            () = idle => {}
        }
    }

    /// Waits for a free slot; while there is more to do than slots, for several, so that claims are few and take many.
    async fn free_slots(&mut self) {
        if !self.slots.has_free() {
            self.bell.stop();
            self.slots.any_free().await;
        }
        self.gather().await;
    }

    async fn gather(&self) {
        if self.busy {
            let several = self.slots.all() / 4;
            drop(tokio::time::timeout(GATHERING, self.slots.several_free(several)).await);
        }
    }

    async fn wait_for_work(&mut self, look: &Look) {
        let limit = look.next_due.map_or(LOOK_EVERY, |due| due.min(LOOK_EVERY));
        let mut open = self.office.queues();
        open.retain(|queue| !look.closed.contains(queue));
        let (open, full): (Vec<_>, Vec<_>) = open.into_iter().partition(|queue| self.slots.room(queue).ordinary > 0);
        self.bell.listen_to(&open, &full);
        let rang = tokio::select! {
            rang = self.bell.wait(limit) => rang,
            () = self.office.bells.ready.notified() => return,
            () = self.slots.freed(), if !full.is_empty() => return self.gather().await,
        };
        if self.office.outage.watch(rang).is_err() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// What Redis has to hear first takes a moment only.
    async fn wait_for_redis(&self, problem: &Error) {
        const PAUSE: Duration = Duration::from_millis(300);
        match problem {
            Error::NotSynced => drop(tokio::time::timeout(PAUSE, self.office.jobs.until_synced()).await),
            _ => tokio::time::sleep(PAUSE).await,
        }
    }

    /// Claims from the queues in their order until the slots are full.
    async fn look(&mut self) -> Result<Look, Error> {
        let mut found = Look::default();
        for queue in self.order() {
            let room = self.slots.room(&queue);
            if room.any == 0 {
                (found.left, found.more) = (true, true);
                break;
            }
            let look = match self.claim(&queue, room).await {
                Ok(look) => look,
                Err(problem) if problem.is_transient() => return Err(problem),
                // A defect of this queue's: the others go on.
                Err(problem) => self.refused(&queue, &problem),
            };
            found.left |= look.left;
            found.more |= look.more;
            found.next_due = [found.next_due, look.next_due].into_iter().flatten().min();
            found.closed.extend(look.closed);
        }
        if found.left {
            self.office.pulse.full();
        }
        Ok(found)
    }

    /// Redis refused the script: it would refuse it again, so the queue is left alone for a while.
    fn refused(&mut self, queue: &QueueName, problem: &Error) -> Look {
        let text = format!("{queue} is not served: {problem}; tried again every {} s", REFUSED.as_secs());
        self.office.alerts.raise(About::Refused(queue.clone()), text);
        self.shut.insert(queue.clone(), lease_clock::now() + REFUSED);
        Look::closed(queue, Some(REFUSED))
    }

    /// As listed, and now and then another first, so that none is never served; with weights, the first by chance, each as often
    /// as its weight says.
    fn order(&self) -> Vec<QueueName> {
        let mut serve = self.office.settings.serve.clone();
        let mut ordered = Vec::with_capacity(serve.len());
        if serve.iter().all(|(_, weight)| *weight == 0) && fastrand::f64() < OUT_OF_TURN {
            ordered.push(serve.remove(fastrand::usize(..serve.len())).0);
        }
        while !serve.is_empty() {
            let first = chosen(&serve, fastrand::f64());
            ordered.push(serve.remove(first).0);
        }
        ordered
    }

    /// Claims what can leave, and nothing while no transport of the queue takes mail.
    async fn claim(&mut self, queue: &QueueName, room: SlotRoom) -> Result<Look, Error> {
        let asked_at = lease_clock::now();
        if let Some(again_at) = self.shut.get(queue).filter(|again_at| **again_at > asked_at) {
            return Ok(Look::closed(queue, Some(*again_at - asked_at)));
        }
        if self.unheard.contains_key(queue) {
            // Its leave was taken then, and the leases of its jobs run: it is said again at once, and takes nothing new.
            let again = Leave::none(&self.office.outlets()[0]);
            return self.claim_with(queue, 0, again, None).await;
        }
        let (outlet, room, reserved) = match self.office.counter(queue).room() {
            Room::Enough(outlet) => (outlet, room, None),
            Room::ForOne(admission) => {
                let room = SlotRoom { any: 1, ordinary: room.ordinary.min(1) };
                (Arc::clone(admission.outlet()), room, Some(admission))
            }
            Room::None(again_in) => return Ok(Look::closed(queue, again_in)),
        };
        // Without limits nothing is asked of Redis, so that only its refusal tells anything.
        let answer = Leave::ask(&self.office, queue, &outlet, room).await;
        match answer.or_else(|problem| self.office.outage.watch(Err(problem)))? {
            Answer::Given(leave) => self.claim_with(queue, room.ordinary, leave, reserved).await,
            Answer::Nothing(next_due) => Ok(Look { next_due, ..Look::default() }),
            Answer::Wait(wait) => Ok(Look::closed(queue, Some(wait))),
        }
    }

    async fn claim_with(
        &mut self,
        queue: &QueueName,
        ordinary: usize,
        mut leave: Leave,
        mut reserved: Option<Admission>,
    ) -> Result<Look, Error> {
        let asked_at = lease_clock::now();
        // Where no answer is heard the leave is not given back: the same claim is said again, and its jobs go by it.
        let reply = self.asked(queue, ordinary, &leave).await?;
        let mut left = false;
        let look = match reply {
            ClaimReply::Jobs { jobs, left: waits, next_due_ms, now_ms } => {
                for job in jobs {
                    let (seat, turn) = leave.take_up(&job);
                    let reserved = reserved.take().map(Admission::taken_up);
                    self.start(job, now_ms, asked_at, Provided { reserved, seat, turn });
                }
                left = waits.is_some();
                let due = |ms: i64| Duration::from_millis(u64::try_from(ms - now_ms).unwrap_or(0).max(1));
                let more = waits.is_some_and(|priority| self.has_room_for(queue, priority));
                Look { left, more, next_due: next_due_ms.map(due), ..Look::default() }
            }
            ClaimReply::Paused => Look::default(),
            ClaimReply::Wait(wait) => Look { next_due: Some(wait.min(OTHERS_MAY_HAVE_SPOKEN)), ..Look::default() },
            ClaimReply::Newer { version, job } => {
                let problem = Error::NewerProtocol { theirs: version, ours: postroom_core::store::PROTOCOL_VERSION };
                let text = format!("{queue} is not served: {problem} (its next jobs are {job} and others)");
                self.office.alerts.raise(About::Protocol(queue.clone()), text);
                self.shut.insert(queue.clone(), asked_at + LOOK_EVERY);
                Look::closed(queue, Some(LOOK_EVERY))
            }
        };
        // What does not go back is lost to nobody but the limit's pace.
        let settled = leave.settle(&self.office, left).await;
        let _ = settled.or_else(|problem| self.office.outage.watch(Err(problem)));
        Ok(look)
    }

    /// Where every slot is taken, the next turn waits for one.
    fn has_room_for(&self, queue: &QueueName, priority: u8) -> bool {
        let room = self.slots.room(queue);
        room.any == 0 || room.ordinary > 0 || priority <= Priority::LAST_URGENT.get()
    }

    /// A claim whose answer was lost is said again under the same id until it is heard, and gets the same jobs.
    async fn asked(&mut self, queue: &QueueName, ordinary: usize, leave: &Leave) -> Result<ClaimReply, Error> {
        let id = self.unheard.remove(queue).unwrap_or_else(ClaimId::generate);
        let (limited, turns) = (self.office.limits.on_mail(), leave.turns());
        let claim = Claim {
            ordinary,
            limited: &limited,
            grants: &turns,
            ..Claim::new(queue, &self.office.id, &id, leave.want)
        };
        let answer = self.office.outage.watch(self.office.jobs.claim(&claim).await);
        if answer.is_err() {
            self.unheard.insert(queue.clone(), id);
        }
        answer
    }

    fn start(&self, job: Claimed, now_ms: i64, claimed_at: Duration, provided: Provided) {
        // A claim that was said again brings what was asked for then: by now there may be fewer slots.
        let urgent = job.content.as_ref().is_ok_and(|(header, _)| header.priority <= Priority::LAST_URGENT);
        let Some(slot) = self.slots.take(job.id.queue(), urgent) else {
            let settler = self.office.counter(job.id.queue()).settler.clone();
            let left = Settled { attempt: job.attempt, ..Settled::default() };
            self.deliveries.spawn(async move {
                drop(settler.defer(Defer { id: job.id, fence: job.fence, delay: Duration::ZERO, left }).await);
            });
            return;
        };
        let (office, give_up, begun) = (Arc::clone(&self.office), self.give_up.clone(), Arc::default());
        let delivery = Box::new(Delivery { office, job, now_ms, claimed_at, give_up, begun, provided });
        self.deliveries.spawn(watched(slot, delivery.in_case(), Box::pin(delivery.run())));
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

/// The place of the queue that comes first: that of this list where none has a weight.
fn chosen(serve: &[(QueueName, u32)], chance: f64) -> usize {
    let all: u32 = serve.iter().map(|(_, weight)| weight).sum();
    let mut at = f64::from(all) * chance;
    let here = |(_, weight): &(QueueName, u32)| {
        at -= f64::from(*weight);
        at < 0.0
    };
    serve.iter().position(here).unwrap_or(0)
}
