//! What a claim may use: connection permits of the outlet, and grants of the limits on that outlet,
//! on the queue, and on the domains and templates of its mail.

use std::{sync::Arc, time::Duration};

use postroom_core::{
    Priority, QueueName, Result, Store,
    store::{Claimed, LimitName, LimitedLine, LineGrant, Measure, Peek},
};

use super::{
    connections::{ConnectionPermit, ConnectionPermits},
    limits::{CombinedGrant, Limits, SendReservation, TakeOutcome},
    slots::FreeSlots,
};
use crate::redis_access::RedisAccess;

/// Permits and grants of one claim.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// Maximum number of jobs to claim.
    pub(crate) want: usize,
    connections: Arc<ConnectionPermits>,
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
    /// This limit grants nothing for longer, and why.
    Shut(LimitName, Duration, String),
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

/// Returns the priority class of a queue's mail among all that share a limit: its most urgent
/// priority, but bulk mail comes last.
fn class_of(queue: &QueueName, priority: u8) -> u8 {
    const BULK: u8 = 7;
    if *queue == QueueName::bulk() { priority.max(BULK) } else { priority }
}

/// Source of the permits and grants of a claim.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AllowanceRequest<'a> {
    pub(crate) redis: &'a RedisAccess,
    pub(crate) queue: &'a QueueName,
    /// Connection permits of the outlet.
    pub(crate) connections: &'a Arc<ConnectionPermits>,
    /// All limits of this worker.
    pub(crate) limits: &'a Limits,
    /// Limits in force on the queue and the outlet.
    pub(crate) shared_limits: &'a [(LimitName, Measure)],
    pub(crate) slots: FreeSlots,
}

impl Allowance {
    /// Requests an allowance for mail of a queue by one outlet, for as many mails as there are free
    /// slots. Requests grants only if mail waits: an unused grant is lost to others.
    pub(crate) async fn request(request: AllowanceRequest<'_>) -> Result<AllowanceReply> {
        let AllowanceRequest { redis, queue, connections, limits, shared_limits, slots } = request;
        let mut allowance = Self::with_permits(connections, slots.any);
        // While a permit is free, first finds out whether there is more to send.
        allowance.requests_connections = allowance.want == 0 && connections.can_request();
        if allowance.want == 0 && !allowance.requests_connections {
            connections.wake_when_free();
            return Ok(AllowanceReply::Wait(connections.retry_in()));
        }
        if shared_limits.is_empty() && limits.on_mail().is_empty() && !allowance.requests_connections {
            return Ok(AllowanceReply::Granted(allowance));
        }
        let (free, lines) = match redis.jobs.peek(queue).await? {
            Peek::Nothing(next_due) => return Ok(AllowanceReply::Nothing(next_due)),
            Peek::Waiting { free, lines } => (free, lines),
        };
        let most_urgent = lines.iter().map(|line| line.priority).chain(free).min().unwrap_or(u8::MAX);
        let want = if most_urgent <= Priority::LAST_URGENT.get() { slots.any } else { slots.ordinary };
        if want == 0 {
            return Ok(AllowanceReply::Nothing(None));
        }
        let most = if allowance.requests_connections { want } else { want.min(allowance.want) };
        for line in lines {
            allowance.add_line(&request, line, most).await?;
        }
        allowance.want = if free.is_some() { most } else { allowance.line_mails().min(most) };
        if allowance.want == 0 {
            // The claim makes Redis skip these lines.
            return Ok(AllowanceReply::Granted(allowance));
        }
        allowance.within(&request, class_of(queue, most_urgent)).await
    }

    /// Returns an allowance for a claim that takes nothing new.
    pub(crate) fn none(connections: &Arc<ConnectionPermits>) -> Self {
        Self::with_permits(connections, 0)
    }

    fn with_permits(connections: &Arc<ConnectionPermits>, want: usize) -> Self {
        let permits = connections.acquire(want);
        Self {
            want: permits.len(),
            connections: Arc::clone(connections),
            permits,
            requests_connections: false,
            outlet_grant: None,
            lines: Vec::new(),
        }
    }

    async fn add_line(&mut self, request: &AllowanceRequest<'_>, line: LimitedLine, want: usize) -> Result<()> {
        let limits = request.limits.among(&line.limits);
        let class = class_of(request.queue, line.priority);
        let share = match request.limits.take(&request.redis.store, &limits, class, want).await? {
            TakeOutcome::Granted(grant) => LineShare::Granted(GrantInUse { grant, mails: 0 }),
            TakeOutcome::Wait(wait) | TakeOutcome::Shut(_, wait, _) => LineShare::Wait(wait),
        };
        self.lines.push((line.name, share));
        Ok(())
    }

    /// Requests grants of the limits on queue and outlet, and then connection permits.
    async fn within(mut self, request: &AllowanceRequest<'_>, class: u8) -> Result<AllowanceReply> {
        let store = &request.redis.store;
        match request.limits.take(store, request.shared_limits, class, self.want).await? {
            TakeOutcome::Granted(grant) => {
                self.want = grant.number;
                self.outlet_grant = Some(GrantInUse { grant, mails: 0 });
            }
            TakeOutcome::Wait(wait) => {
                self.return_unused(store).await?;
                return Ok(AllowanceReply::Wait(wait));
            }
            TakeOutcome::Shut(limit, wait, why) => {
                self.return_unused(store).await?;
                return Ok(AllowanceReply::Shut(limit, wait, why));
            }
        }
        if self.requests_connections {
            let reply = self.connections.request_more(self.want).await;
            self.permits = self.connections.acquire(self.want);
            if self.permits.is_empty() {
                self.connections.wake_when_free();
                let again_in = self.connections.retry_in();
                reply?;
                self.return_unused(store).await?;
                return Ok(AllowanceReply::Wait(again_in));
            }
        }
        self.want = self.want.min(self.permits.len());
        Ok(AllowanceReply::Granted(self))
    }

    /// Whether the limits on queue and outlet have granted mail.
    pub(crate) fn is_within_limits(&self) -> bool {
        self.outlet_grant.is_some()
    }

    fn line_mails(&self) -> usize {
        self.lines.iter().map(|(_, share)| share.mails()).sum()
    }

    /// Returns the grants of the lines, as the claim passes them to Redis.
    pub(crate) fn line_grants(&self) -> Vec<LineGrant> {
        let grant = |(line, share): &(String, LineShare)| {
            let retry_in = if let LineShare::Wait(wait) = share { *wait } else { Duration::ZERO };
            LineGrant { line: line.clone(), mails: share.mails(), retry_in }
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
    pub(crate) async fn settle(mut self, store: &Store, left: bool) -> Result<()> {
        if left && self.permits.is_empty() {
            self.connections.wake_when_free();
        }
        let has_spare = self.requests_connections && !self.permits.is_empty();
        self.permits.clear();
        if has_spare {
            self.connections.renew().await?;
        }
        self.return_unused(store).await
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
