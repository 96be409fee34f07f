//! What a claim may use: connection permits of the outlet, and grants of the limits on that outlet,
//! on the queue, and on the domains and templates of its mail.

use std::{sync::Arc, time::Duration};

use postroom_core::{
    Priority, QueueName, Result, Store,
    store::{Claimed, LimitName, LimitedLine, Measure, Peek, Turn as LineTurn},
};

use crate::{
    connections::ConnectionPermit,
    outlet::Outlet,
    permits::limits::{CombinedGrant, SendReservation, TakeOutcome},
    slots::FreeSlots,
    worker::Worker,
};

/// Permits and grants of one claim.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// Maximum number of jobs to claim.
    pub(crate) want: usize,
    outlet: Arc<Outlet>,
    permits: Vec<ConnectionPermit>,
    /// Whether connection permits are requested for this claim. Spare ones are released at once,
    /// since other workers may wait for them.
    requests_connections: bool,
    outlet_grant: Option<GrantInUse>,
    lines: Vec<(String, LineShare)>,
}

/// Result of a request for an allowance.
#[derive(Debug)]
pub(crate) enum AllowanceReply {
    Granted(Allowance),
    /// Nothing waits; a job is due after this time, if one is known.
    Nothing(Option<Duration>),
    /// A limit or the connections allow nothing before this time.
    Wait(Duration),
}

#[derive(Debug)]
struct GrantInUse {
    grant: CombinedGrant,
    mails: usize,
}

/// Grant for the mail of one line.
#[derive(Debug)]
enum LineShare {
    Granted(GrantInUse),
    Wait(Duration),
}

/// Longest time until a quota of a queue is checked again.
const RECHECK_QUEUE_QUOTA: Duration = Duration::from_secs(30);

/// Returns the priority class of a queue's mail among all that share a limit: its most urgent
/// priority, but bulk mail comes last.
fn class_of(queue: &QueueName, priority: u8) -> u8 {
    const BULK: u8 = 7;
    if *queue == QueueName::bulk() { priority.max(BULK) } else { priority }
}

impl Allowance {
    /// Requests an allowance for mail of a queue by this outlet, for as many mails as there are
    /// free slots. Requests grants only if mail waits: an unused grant is lost to others.
    pub(crate) async fn request(
        worker: &Worker,
        queue: &QueueName,
        outlet: &Arc<Outlet>,
        slots: FreeSlots,
    ) -> Result<AllowanceReply> {
        let mut allowance = Self::with_permits(outlet, slots.any);
        // While a permit is free, first finds out whether there is more to send.
        allowance.requests_connections = allowance.want == 0 && outlet.can_request();
        if allowance.want == 0 && !allowance.requests_connections {
            outlet.wake_when_free();
            return Ok(AllowanceReply::Wait(outlet.retry_in()));
        }
        let limits = worker.limits_on(queue, outlet);
        if limits.is_empty() && worker.limits.on_mail().is_empty() && !allowance.requests_connections {
            return Ok(AllowanceReply::Granted(allowance));
        }
        let (free, lines) = match worker.jobs.peek(queue).await? {
            Peek::Nothing(next_due) => return Ok(AllowanceReply::Nothing(next_due)),
            Peek::Waiting { free, lines } => (free, lines),
        };
        let most_urgent = lines.iter().map(|line| line.priority).chain(free).min().unwrap_or(u8::MAX);
        let want = if most_urgent <= Priority::LAST_URGENT.get() { slots.any } else { slots.ordinary };
        if want == 0 {
            return Ok(AllowanceReply::Nothing(None));
        }
        let limit = if allowance.requests_connections { want } else { want.min(allowance.want) };
        for line in lines {
            allowance.add_line(worker, queue, line, limit).await?;
        }
        allowance.want = if free.is_some() { limit } else { allowance.line_mails().min(limit) };
        if allowance.want == 0 {
            // The claim tells Redis to leave these lines alone.
            return Ok(AllowanceReply::Granted(allowance));
        }
        allowance.within(worker, queue, &limits, class_of(queue, most_urgent)).await
    }

    /// Returns an allowance for a claim that takes nothing new.
    pub(crate) fn none(outlet: &Arc<Outlet>) -> Self {
        Self::with_permits(outlet, 0)
    }

    fn with_permits(outlet: &Arc<Outlet>, want: usize) -> Self {
        let permits = outlet.acquire(want);
        Self {
            want: permits.len(),
            outlet: Arc::clone(outlet),
            permits,
            requests_connections: false,
            outlet_grant: None,
            lines: Vec::new(),
        }
    }

    async fn add_line(&mut self, worker: &Worker, queue: &QueueName, line: LimitedLine, want: usize) -> Result<()> {
        let limits = worker.limits.among(&line.limits);
        let share = match worker.limits.take(&worker.store, &limits, class_of(queue, line.priority), want).await? {
            TakeOutcome::Granted(grant) => LineShare::Granted(GrantInUse { grant, mails: 0 }),
            TakeOutcome::Wait(wait) | TakeOutcome::Shut(_, wait, _) => LineShare::Wait(wait),
        };
        self.lines.push((line.name, share));
        Ok(())
    }

    /// Requests grants of the limits on queue and outlet, and then connection permits.
    async fn within(
        mut self,
        worker: &Worker,
        queue: &QueueName,
        limits: &[(LimitName, Measure)],
        class: u8,
    ) -> Result<AllowanceReply> {
        match worker.limits.take(&worker.store, limits, class, self.want).await? {
            TakeOutcome::Granted(grant) => {
                self.want = grant.number;
                self.outlet_grant = Some(GrantInUse { grant, mails: 0 });
            }
            TakeOutcome::Wait(wait) => return self.refused(worker, wait).await,
            TakeOutcome::Shut(limit, wait, why) => {
                worker.hold(&limit, wait, &why);
                // If another outlet is open, it is tried at once.
                let again = if limit == LimitName::Queue(queue.clone()) {
                    wait.min(RECHECK_QUEUE_QUOTA)
                } else {
                    Duration::ZERO
                };
                return self.refused(worker, again).await;
            }
        }
        if self.requests_connections {
            let reply = self.outlet.request_more(worker, self.want).await;
            self.permits = self.outlet.acquire(self.want);
            if self.permits.is_empty() {
                self.outlet.wake_when_free();
                let again = self.outlet.retry_in();
                reply?;
                return self.refused(worker, again).await;
            }
        }
        self.outlet.end_hold();
        self.want = self.want.min(self.permits.len());
        Ok(AllowanceReply::Granted(self))
    }

    async fn refused(self, worker: &Worker, wait: Duration) -> Result<AllowanceReply> {
        self.return_unused(&worker.store).await?;
        Ok(AllowanceReply::Wait(wait))
    }

    fn line_mails(&self) -> usize {
        self.lines.iter().map(|(_, share)| share.mails()).sum()
    }

    /// Returns the grants of the lines, as the claim passes them to Redis.
    pub(crate) fn line_grants(&self) -> Vec<LineTurn> {
        let grant = |(line, share): &(String, LineShare)| {
            let again_in = if let LineShare::Wait(wait) = share { *wait } else { Duration::ZERO };
            LineTurn { line: line.clone(), mails: share.mails(), again_in }
        };
        self.lines.iter().map(grant).collect()
    }

    /// Returns the connection permit and the reservation of one claimed job.
    pub(crate) fn use_one(&mut self, job: &Claimed) -> (Option<ConnectionPermit>, Option<SendReservation>) {
        let line = self.lines.iter_mut().find(|(name, _)| Some(name) == job.line.as_ref());
        let of_line =
            line.and_then(|(_, share)| if let LineShare::Granted(used) = share { Some(used.use_one()) } else { None });
        let of_outlet = self.outlet_grant.as_mut().map(GrantInUse::use_one);
        let reservation = match (of_line, of_outlet) {
            (Some(of_line), Some(of_outlet)) => Some(of_line.and(of_outlet)),
            (of_line, of_outlet) => of_line.or(of_outlet),
        };
        (self.permits.pop(), reservation)
    }

    /// Returns what was not used; `left` states whether more mail waits.
    pub(crate) async fn settle(mut self, worker: &Worker, left: bool) -> Result<()> {
        if left && self.permits.is_empty() {
            self.outlet.wake_when_free();
        }
        let has_spare = self.requests_connections && !self.permits.is_empty();
        self.permits.clear();
        if has_spare {
            self.outlet.renew(worker).await?;
        }
        self.return_unused(&worker.store).await
    }

    async fn return_unused(self, store: &Store) -> Result<()> {
        let of_lines = self.lines.into_iter().filter_map(|(_, share)| match share {
            LineShare::Granted(used) => Some(used),
            LineShare::Wait(_) => None,
        });
        for used in self.outlet_grant.into_iter().chain(of_lines) {
            used.grant.return_unused(store, used.mails).await?;
        }
        Ok(())
    }
}

impl LineShare {
    fn mails(&self) -> usize {
        match self {
            Self::Granted(used) => used.grant.number,
            Self::Wait(_) => 0,
        }
    }
}

impl GrantInUse {
    fn use_one(&mut self) -> SendReservation {
        self.mails += 1;
        self.grant.reservation(self.mails - 1)
    }
}
