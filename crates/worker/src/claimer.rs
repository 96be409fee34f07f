//! The claim loop: claims as many jobs as there are free slots, from the queues in their order.

mod claim_order;

use std::{collections::HashMap, sync::Arc, time::Duration};

use postroom_core::{
    Error, Priority, QueueName, Shutdown,
    store::{Claim, ClaimId, ClaimReply, Claimed, Defer, LimitName, Settled, WakeListener},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use self::claim_order::claim_order;
use crate::{
    adaptive_concurrency::adapt_slots,
    alerts::AlertSubject,
    delivery::{ClaimPermits, Delivery, fail_unreadable, watched},
    lease_clock,
    permits::{Allowance, AllowanceReply, AllowanceRequest, FreeSlots, Slots},
    transports::{Admission, Availability},
    worker::Worker,
};

/// An idle worker claims at least this often. It seldom matters: a sweep makes up for a lost wake
/// token.
const IDLE_CLAIM_EVERY: Duration = Duration::from_secs(20);
/// Time for which a claim under way is awaited after a stop request. Behind a dead connection it
/// never ends.
const LAST_CLAIM_LIMIT: Duration = Duration::from_secs(3);
/// Longest time that free slots wait for more to come free before a claim is made for them.
const GATHER_SLOTS: Duration = Duration::from_millis(1);
/// Smallest number of slots worth waiting for.
const GATHER_FROM: usize = 3;
/// How often the claimer yields to tasks that may free such a number.
const GATHER_YIELDS: usize = 16;
/// Longest pause between claims while the workers resynchronise a restarted Redis.
const RESYNC_CHECK: Duration = Duration::from_millis(100);
/// Time for which a queue is not claimed from after Redis refused a script for it.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// Longest time until an exhausted quota of a queue is checked again.
const RECHECK_QUEUE_QUOTA: Duration = Duration::from_secs(30);

/// Claims jobs and starts their deliveries.
pub(crate) struct Claimer {
    worker: Arc<Worker>,
    slots: Arc<Slots>,
    wake: WakeListener,
    /// Claims without a reply.
    unanswered: HashMap<QueueName, ClaimId>,
    /// Queues that cannot be served for now, because of jobs of a newer protocol or a refused
    /// script, and when to claim again.
    shut: HashMap<QueueName, Duration>,
    deliveries: TaskTracker,
    give_up: CancellationToken,
    /// Whether the last round left jobs that wait for a slot.
    busy: bool,
}

/// Result of one round over the queues.
#[derive(Default)]
struct ClaimRound {
    /// Whether jobs are left that wait for a slot.
    left: bool,
    /// Whether some of these could be claimed at once.
    more: bool,
    /// Time until the next known reason to claim: a job is due, a transport may be probed.
    next_due: Option<Duration>,
    /// Queues that nothing is claimed from for now.
    closed: Vec<QueueName>,
}

impl ClaimRound {
    /// Returns a result for a queue that is closed for `again_in`; `None` if a signal will end it.
    fn closed(queue: &QueueName, again_in: Option<Duration>) -> Self {
        Self { next_due: again_in, closed: vec![queue.clone()], ..Self::default() }
    }
}

impl Claimer {
    pub(crate) fn new(worker: &Arc<Worker>) -> Self {
        let slots = usize::try_from(worker.settings.concurrency.max).unwrap_or(usize::MAX);
        let slots = Slots::new(slots, worker.queues().len());
        Self {
            worker: Arc::clone(worker),
            slots,
            wake: WakeListener::new(&worker.redis.store, &worker.queues()),
            unanswered: HashMap::new(),
            shut: HashMap::new(),
            deliveries: TaskTracker::new(),
            give_up: CancellationToken::new(),
            busy: false,
        }
    }

    /// Runs until shutdown. Deliveries under way then end within the shutdown timeout.
    pub(crate) async fn run(mut self, shutdown: &Shutdown) {
        let concurrency = self.worker.settings.concurrency;
        if concurrency.min < concurrency.max {
            let (stats, slots) = (Arc::clone(&self.worker.stats), Arc::clone(&self.slots));
            tokio::spawn(adapt_slots(concurrency, stats, slots, shutdown.child()));
        }
        while !shutdown.is_requested() {
            self.run_round(shutdown).await;
        }
        self.drain().await;
    }

    /// Waits for a free slot, runs one round, and waits for the next reason to claim. A stop
    /// request ends the waiting at once. A claim under way is awaited a while longer, so that its
    /// jobs are not left to the end of their leases.
    async fn run_round(&mut self, shutdown: &Shutdown) {
        tokio::select! {
            () = shutdown.requested() => return,
            () = self.free_slots() => {}
        }
        let too_late = async {
            shutdown.requested().await;
            tokio::time::sleep(LAST_CLAIM_LIMIT).await;
        };
        let round = tokio::select! {
            round = self.claim_round() => round,
            () = too_late => return,
        };
        self.busy = round.as_ref().is_ok_and(|round| round.left);
        let idle = async {
            match round {
                // The next round waits for a slot. A token wakes one worker only, so no token is
                // taken without a free slot.
                Ok(round) if round.more => {}
                Ok(round) => self.wait_for_work(&round).await,
                Err(error) => self.wait_for_redis(&error).await,
            }
        };
        tokio::select! {
            () = shutdown.requested() => {}
            () = idle => {}
        }
    }

    /// Waits for a free slot. While more jobs wait than there are slots, waits for several, so that
    /// claims are few and large.
    async fn free_slots(&mut self) {
        if !self.slots.has_free() {
            self.wake.stop();
            self.slots.any_free().await;
        }
        self.gather().await;
    }

    async fn gather(&self) {
        if self.busy {
            let several = self.slots.all() / 4;
            if several < GATHER_FROM {
                return self.yield_for_slots().await;
            }
            drop(tokio::time::timeout(GATHER_SLOTS, self.slots.several_free(several)).await);
        }
    }

    /// Lets other tasks run, which free more slots if there is much to send. Costs no time if there
    /// is not.
    async fn yield_for_slots(&self) {
        for _ in 0..GATHER_YIELDS {
            if self.slots.free_ordinary() >= GATHER_FROM {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn wait_for_work(&mut self, round: &ClaimRound) {
        let limit = round.next_due.map_or(IDLE_CLAIM_EVERY, |due| due.min(IDLE_CLAIM_EVERY));
        let mut open = self.worker.queues();
        open.retain(|queue| !round.closed.contains(queue));
        let (open, full): (Vec<_>, Vec<_>) = open.into_iter().partition(|queue| self.slots.free(queue).ordinary > 0);
        self.wake.listen_to(&open, &full);
        let woken = tokio::select! {
            woken = self.wake.wait(limit) => woken,
            () = self.worker.signals.claim.notified() => return,
            () = self.slots.freed(), if !full.is_empty() => return self.gather().await,
        };
        if self.worker.redis.watch(woken).is_err() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Waits for Redis, or for its resynchronisation, which takes a moment only.
    async fn wait_for_redis(&self, error: &Error) {
        const PAUSE: Duration = Duration::from_millis(300);
        match error {
            Error::NotSynced => drop(tokio::time::timeout(PAUSE, self.worker.redis.jobs.until_synced()).await),
            _ => tokio::time::sleep(PAUSE).await,
        }
    }

    /// Runs one round: claims from the queues in their order until the slots are full.
    async fn claim_round(&mut self) -> Result<ClaimRound, Error> {
        let mut found = ClaimRound::default();
        for queue in claim_order(&self.worker.settings.serve) {
            let free = self.slots.free(&queue);
            if free.any == 0 {
                (found.left, found.more) = (true, true);
                break;
            }
            let round = match self.claim(&queue, free).await {
                Ok(round) => round,
                Err(error) if error.is_transient() => return Err(error),
                // Concerns this queue only: the others are served.
                Err(error) => self.refused(&queue, &error),
            };
            found.left |= round.left;
            found.more |= round.more;
            found.next_due = [found.next_due, round.next_due].into_iter().flatten().min();
            found.closed.extend(round.closed);
        }
        if found.left {
            self.worker.stats.mark_full();
        }
        Ok(found)
    }

    /// Closes a queue for a while: Redis refused a script and would refuse it again.
    fn refused(&mut self, queue: &QueueName, error: &Error) -> ClaimRound {
        let text = format!("{queue} is not served: {error}; retried every {} s", REFUSED_PAUSE.as_secs());
        self.worker.alerts.raise(AlertSubject::Refused(queue.clone()), text);
        self.shut.insert(queue.clone(), lease_clock::now() + REFUSED_PAUSE);
        ClaimRound::closed(queue, Some(REFUSED_PAUSE))
    }

    /// Claims the jobs that can leave; none while all outlets of the queue are closed.
    async fn claim(&mut self, queue: &QueueName, free: FreeSlots) -> Result<ClaimRound, Error> {
        let sent_at = lease_clock::now();
        if let Some(again_at) = self.shut.get(queue).filter(|again_at| **again_at > sent_at) {
            return Ok(ClaimRound::closed(queue, Some(*again_at - sent_at)));
        }
        if self.unanswered.contains_key(queue) {
            // The first attempt of this claim acquired permits and started the leases of its jobs.
            // It is repeated at once and claims nothing new.
            let again = Allowance::none(&self.worker.transports.outlets()[0].connections);
            return self.claim_with(queue, 0, again, None).await;
        }
        let (outlet, free, admission) = match self.worker.transports.route(queue).availability() {
            Availability::Open(outlet) => (outlet, free, None),
            Availability::Probe(admission) => {
                let free = FreeSlots { any: 1, ordinary: free.ordinary.min(1) };
                (Arc::clone(admission.outlet()), free, Some(admission))
            }
            Availability::Closed(again_in) => return Ok(ClaimRound::closed(queue, again_in)),
        };
        let (redis, transports) = (&self.worker.redis, &self.worker.transports);
        let request = AllowanceRequest {
            redis,
            queue,
            connections: &outlet.connections,
            limits: &transports.limits,
            shared_limits: &transports.limits_on(queue, &outlet),
            slots: free,
        };
        match redis.watch_error(Allowance::request(request).await)? {
            AllowanceReply::Granted(allowance) => {
                if allowance.is_within_limits() {
                    outlet.end_hold();
                }
                self.claim_with(queue, free.ordinary, allowance, admission).await
            }
            AllowanceReply::Nothing(next_due) => Ok(ClaimRound { next_due, ..ClaimRound::default() }),
            AllowanceReply::Wait(wait) => Ok(ClaimRound::closed(queue, Some(wait))),
            AllowanceReply::Shut(limit, wait, why) => {
                transports.hold(&limit, wait, &why);
                // If another outlet is open, it is tried at once.
                let is_of_queue = limit == LimitName::Queue(queue.clone());
                let again_in = if is_of_queue { wait.min(RECHECK_QUEUE_QUOTA) } else { Duration::ZERO };
                Ok(ClaimRound::closed(queue, Some(again_in)))
            }
        }
    }

    async fn claim_with(
        &mut self,
        queue: &QueueName,
        ordinary: usize,
        mut allowance: Allowance,
        mut admission: Option<Admission>,
    ) -> Result<ClaimRound, Error> {
        let sent_at = lease_clock::now();
        // Without a reply the permits are not returned: the claim is repeated, and its jobs use
        // them.
        let reply = self.send_claim(queue, ordinary, &allowance).await?;
        let mut left = false;
        let round = match reply {
            ClaimReply::Jobs { jobs, left: waiting, next_due_ms, now_ms } => {
                for job in jobs {
                    let (connection, reservation) = allowance.use_one(&job);
                    let admission = admission.take().map(Admission::used);
                    self.start(job, now_ms, sent_at, ClaimPermits { admission, connection, reservation });
                }
                left = waiting.is_some();
                let due = |ms: i64| Duration::from_millis(u64::try_from(ms - now_ms).unwrap_or(0).max(1));
                let more = waiting.is_some_and(|priority| self.has_room_for(queue, priority));
                ClaimRound { left, more, next_due: next_due_ms.map(due), ..ClaimRound::default() }
            }
            ClaimReply::Paused => ClaimRound::default(),
            ClaimReply::Wait(wait) => ClaimRound { next_due: Some(wait.min(RESYNC_CHECK)), ..ClaimRound::default() },
            ClaimReply::Newer { version, job } => {
                let error = Error::NewerProtocol { theirs: version, ours: postroom_core::store::PROTOCOL_VERSION };
                let text = format!("{queue} is not served: {error} (next jobs: {job} and others)");
                self.worker.alerts.raise(AlertSubject::Protocol(queue.clone()), text);
                self.shut.insert(queue.clone(), sent_at + IDLE_CLAIM_EVERY);
                ClaimRound::closed(queue, Some(IDLE_CLAIM_EVERY))
            }
        };
        // A permit that cannot be returned only slows down the limit's rate.
        let redis = &self.worker.redis;
        let _ = redis.watch_error(allowance.settle(&redis.store, left).await);
        Ok(round)
    }

    /// Whether a job of this priority could start at once. If all slots are taken, the next round
    /// waits for one.
    fn has_room_for(&self, queue: &QueueName, priority: u8) -> bool {
        let free = self.slots.free(queue);
        free.any == 0 || free.ordinary > 0 || priority <= Priority::LAST_URGENT.get()
    }

    /// Sends the claim. Without a reply it is repeated under the same id, and returns the same
    /// jobs.
    async fn send_claim(
        &mut self,
        queue: &QueueName,
        ordinary: usize,
        allowance: &Allowance,
    ) -> Result<ClaimReply, Error> {
        let id = self.unanswered.remove(queue).unwrap_or_else(ClaimId::generate);
        let (limited, grants) = (self.worker.transports.limits.on_mail(), allowance.line_grants());
        let claim = Claim {
            ordinary,
            limited: &limited,
            grants: &grants,
            ..Claim::new(queue, &self.worker.redis.worker_id, &id, allowance.want)
        };
        let reply = self.worker.redis.watch(self.worker.redis.jobs.claim(&claim).await);
        if reply.is_err() {
            self.unanswered.insert(queue.clone(), id);
        }
        reply
    }

    /// Starts the delivery of a claimed job. A job whose content cannot be read fails.
    fn start(&self, mut job: Claimed, now_ms: i64, claimed_at: Duration, permits: ClaimPermits) {
        let route = Arc::clone(self.worker.transports.route(job.id.queue()));
        let content = std::mem::replace(&mut job.content, Err(String::new()));
        // A repeated claim returns as many jobs as its first attempt wanted. There may be fewer
        // slots by now.
        let urgent = content.as_ref().is_ok_and(|(header, _)| header.priority <= Priority::LAST_URGENT);
        let Some(slot) = self.slots.take(job.id.queue(), urgent) else {
            let left = Settled { attempt: job.attempt, ..Settled::default() };
            self.deliveries.spawn(async move {
                let defer = Defer { id: job.id, fence: job.fence, delay: Duration::ZERO, left };
                drop(route.settler.defer(defer).await);
            });
            return;
        };
        let worker = Arc::clone(&self.worker);
        let (header, mail) = match content {
            Ok((header, mail)) => (header, Box::new(mail)),
            Err(error) => {
                self.deliveries.spawn(async move {
                    fail_unreadable(&worker, &route, &job, error, permits).await;
                    drop(slot);
                });
                return;
            }
        };
        let (give_up, begun, slot) = (self.give_up.clone(), Arc::default(), Arc::new(slot));
        let own_slot = Arc::clone(&slot);
        let delivery =
            Box::new(Delivery { worker, route, job, header, mail, now_ms, claimed_at, give_up, begun, slot, permits });
        self.deliveries.spawn(watched(own_slot, delivery.recovery(), Box::pin(delivery.run())));
    }

    async fn drain(self) {
        self.deliveries.close();
        let limit = self.worker.settings.shutdown_timeout;
        if tokio::time::timeout(limit, self.deliveries.wait()).await.is_err() {
            warn!("{} mails are still under way after {limit:?}; handing them back", self.worker.in_flight.len());
            self.give_up.cancel();
            // Settlements must reach Redis now. Otherwise the leases run out.
            let last_settlements = tokio::time::timeout(Duration::from_secs(3), self.deliveries.wait());
            if last_settlements.await.is_err() {
                warn!("could not settle {} mails in Redis; their leases run out", self.worker.in_flight.len());
            }
        }
    }
}
