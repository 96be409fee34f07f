//! The attempts of one delivery, from one outlet to the next.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use postroom_core::store::{Begin, BeginReply, ServerFeedback, Settled};
use postroom_mail::{Attempt, Commit, Hint, RecipientOutcome, Scope, Verdict};
use tracing::{info, warn};

use super::{
    ClaimPermits, Delivery, Prepared,
    judge::{JobProgress, judge},
};
use crate::{
    lease_clock,
    permits::{ConnectionPermit, SendReservation, TakeOutcome},
    transports::{Admission, Outlet},
};

/// Priority class of mail that falls back to another transport.
const FALLBACK_CLASS: u8 = 5;

/// Permits that a mail holds during one attempt.
struct TryPermits {
    /// Held for the duration of the attempt.
    _connection: Option<ConnectionPermit>,
    reservation: Option<SendReservation>,
}

/// Longest time that a mail under a lease waits for permits of another transport.
const PERMIT_WAIT: Duration = Duration::from_secs(5);

impl Delivery {
    /// Sends through the first open outlet. If nothing was sent and the outlet is closed now or
    /// throttles, the next one takes over.
    pub(super) async fn send(&self, mut before: JobProgress<'_>, prepared: &Prepared, claimed: &mut ClaimPermits) {
        let mut tried = Vec::new();
        let mut next = claimed.admission.take().or_else(|| self.route.admit(&tried));
        while let Some(mut admission) = next.take() {
            let Some(permits) = self.permits_for(&admission, claimed).await else { break };
            tried.push(admission.name().to_owned());
            let at_ms = self.at_ms();
            let Some(mut attempt) = self.attempt(&admission, permits, &before, prepared).await else {
                return self.stop(before, admission.name()).await;
            };
            admission.weigh(&mut attempt, &self.job.id);
            self.worker.stats.count_attempt(&attempt);
            let is_crowded = self.report_hints(admission.outlet(), &attempt).await;
            let is_spent = attempt.hint.scope == Scope::Session;
            let stays_open = admission.record(&attempt, is_crowded || is_spent);
            let is_throttled = attempt.verdict == Verdict::Throttled || is_crowded;
            if (!stays_open || is_throttled) && attempt.nothing_was_sent() {
                next = self.route.admit(&tried);
            }
            let Some(fallback) = &next else {
                let is_first_try = before.tries == 0;
                let judgement = judge(before, &attempt, at_ms, fastrand::f64());
                // Another connection has its own limit.
                let judgement = if is_throttled || (is_spent && is_first_try) {
                    judgement.before_throttled_outlet()
                } else if !stays_open && attempt.nothing_was_sent() {
                    judgement.before_closed_outlet()
                } else {
                    judgement
                };
                return self.settle(judgement, &attempt).await;
            };
            info!("{}; falling back to {}", self.describe(&attempt), fallback.name());
            before = before.after(&attempt, at_ms);
        }
        // All outlets closed after the claim, or the worker stops.
        self.stop(before, "").await;
    }

    /// Returns the connection permit and the reservation for this outlet. Those of the claim are
    /// used if they are for this outlet. Otherwise they are acquired now. Returns `None` if that
    /// takes too long, since the lease runs, or if the worker stops.
    async fn permits_for(&self, admission: &Admission, claimed: &mut ClaimPermits) -> Option<TryPermits> {
        if claimed.connection.as_ref().is_some_and(|connection| connection.is_of(&admission.outlet().connections)) {
            return Some(TryPermits {
                _connection: claimed.connection.take(),
                reservation: claimed.reservation.take(),
            });
        }
        drop(claimed.connection.take());
        if let Some(reservation) = claimed.reservation.take() {
            reservation.release(&self.worker.redis.store).await;
        }
        let acquired = tokio::time::timeout(PERMIT_WAIT, self.acquire_permits(admission.outlet()));
        tokio::select! {
            permits = acquired => permits.ok().flatten(),
            () = self.give_up.cancelled() => None,
        }
    }

    async fn acquire_permits(&self, outlet: &Arc<Outlet>) -> Option<TryPermits> {
        let (store, transports) = (&self.worker.redis.store, &self.worker.transports);
        let connections = &outlet.connections;
        let connection = loop {
            if let Some(connection) = connections.acquire(1).pop() {
                break connection;
            }
            connections.request_more(1).await.ok()?;
            if let Some(connection) = connections.acquire(1).pop() {
                break connection;
            }
            tokio::time::sleep(connections.retry_in()).await;
        };
        let Some(measure) = transports.limits.measure(&outlet.limit) else {
            return Some(TryPermits { _connection: Some(connection), reservation: None });
        };
        let limits = [(outlet.limit.clone(), measure)];
        loop {
            match transports.limits.take(store, &limits, FALLBACK_CLASS, 1).await.ok()? {
                TakeOutcome::Granted(grant) => {
                    return Some(TryPermits { _connection: Some(connection), reservation: Some(grant.reservation(0)) });
                }
                TakeOutcome::Wait(wait) => tokio::time::sleep(wait).await,
                TakeOutcome::Shut(limit, wait, why) => {
                    transports.hold(&limit, wait, &why);
                    return None;
                }
            }
        }
    }

    /// Reports the server's hints on its limits to Redis, for all workers. Returns whether the
    /// server refused a connection although others are open.
    async fn report_hints(&self, outlet: &Outlet, attempt: &Attempt) -> bool {
        let (redis, limits, hint) = (&self.worker.redis, &self.worker.transports.limits, attempt.hint);
        if attempt.verdict == Verdict::Accepted {
            outlet.accepted();
        }
        let blames_us = matches!(attempt.verdict, Verdict::Throttled | Verdict::NothingSent);
        let is_of_connections = blames_us && hint.scope == Scope::Connections;
        if is_of_connections && outlet.connections.report_refusal().await.unwrap_or(false) {
            return true;
        }
        let refused = attempt.verdict == Verdict::Throttled;
        let stated = hint.limit.and_then(|limit| outlet.new_rate(limit)).map(spacing_of);
        if !refused && stated.is_none() {
            return false;
        }
        let is_of_rate = refused && hint.scope == Scope::Rate;
        let accepted_per_second = if is_of_rate { outlet.throttled(&attempt.reply) } else { 0.0 };
        let spacing = limits.measure(&outlet.limit).and_then(|measure| measure.spacing);
        let feedback = ServerFeedback {
            refused: is_of_rate,
            accepted_per_second,
            spacing,
            pause: pause_of(&hint),
            announced: stated,
        };
        if redis.store.report_feedback(&outlet.limit, &redis.worker_id, &feedback).await.is_ok() {
            limits.server_limits(outlet.limit.clone());
        }
        false
    }

    /// Makes one attempt at its reserved time. Returns `None` if the worker stops during it.
    async fn attempt(
        &self,
        admission: &Admission,
        permits: TryPermits,
        before: &JobProgress<'_>,
        prepared: &Prepared,
    ) -> Option<Attempt> {
        // The mark of the previous attempt is void: its server has stated that nothing was sent.
        self.begun.store(false, Ordering::Relaxed);
        let commit = async {
            let committed = self.commit(prepared).await;
            self.begun.store(committed == Commit::Proceed, Ordering::Relaxed);
            committed
        };
        if admission.transport().has_no_envelope() && prepared.message.envelope.sender.is_some() {
            admission.outlet().warn_about_envelope();
        }
        let (to, reservation) = (before.open(), permits.reservation.as_ref());
        let sent = async {
            if let Some(reservation) = reservation {
                // Opens the connection before the reserved time, so that the jitter of connecting
                // does not bunch mails.
                if let Err(refused) = admission.transport().warm(&to).await {
                    return *refused;
                }
                tokio::time::sleep(reservation.at.saturating_sub(lease_clock::now())).await;
            }
            admission.transport().send(&prepared.message, &to, commit).await
        };
        let attempt = tokio::select! {
            biased; // do not discard a reply that has arrived
            attempt = sent => Some(attempt),
            () = self.give_up.cancelled() => None,
        };
        let may_be_sent = |attempt: &Attempt| {
            let accepted = |recipient: &RecipientOutcome| recipient.verdict == Verdict::Accepted;
            attempt.verdict == Verdict::Unknown || attempt.recipients.iter().any(accepted)
        };
        if let Some(reservation) =
            permits.reservation.filter(|_| attempt.as_ref().is_some_and(|attempt| !may_be_sent(attempt)))
        {
            reservation.release(&self.worker.redis.store).await;
        }
        attempt
    }

    /// Writes the mark before the committing bytes and checks the lease once more.
    async fn commit(&self, prepared: &Prepared) -> Commit {
        let (sent_at, lease) = (lease_clock::now(), self.header.policy.lease);
        let mark = Begin {
            id: self.job.id.clone(),
            fence: self.job.fence,
            message_id: prepared.message.message_id.clone(),
            date_ms: prepared.date_ms,
        };
        match self.route.settler.begin(mark).await {
            Ok(BeginReply::Begun) if lease_clock::now() < lease_clock::usable_until(sent_at, lease) => Commit::Proceed,
            Ok(BeginReply::Begun) => {
                warn!(job = %self.job.id, "{} is not sent: this worker stalled for most of its lease", self.job.id);
                Commit::Abort
            }
            Ok(BeginReply::Lost | BeginReply::Ended) | Err(_) => Commit::Abort,
        }
    }

    /// Ends the delivery of a stopping worker: before the mark the job is handed back, after it the
    /// job is in doubt.
    async fn stop(&self, before: JobProgress<'_>, transport: &str) {
        if self.begun.load(Ordering::Relaxed) {
            let attempt = Attempt {
                transport: transport.to_owned(),
                ..Attempt::unknown(&before.open(), "the worker was stopped before the server had answered")
            };
            return self.settle(judge(before, &attempt, self.at_ms(), 0.0), &attempt).await;
        }
        let Some(last) = before.records.last() else { return self.hand_back().await };
        let error = Some((last.verdict.clone(), last.reply.clone()));
        let (attempt, recipients, records) = (self.job.attempt, before.recipients, before.records);
        self.defer(Duration::ZERO, Settled { attempt, error, receipt: None, recipients, records }).await;
    }
}

/// Pause for an exhausted quota when the server does not state its end.
const QUOTA_PAUSE: Duration = Duration::from_secs(15 * 60);

fn pause_of(hint: &Hint) -> Option<(Duration, &'static str)> {
    match hint.scope {
        Scope::Quota(name) => Some((hint.retry_after.unwrap_or(QUOTA_PAUSE), name)),
        Scope::Rate | Scope::Connections | Scope::NewConnections | Scope::Session => {
            hint.retry_after.map(|pause| (pause, "pace"))
        }
    }
}

/// Returns the spacing for a stated rate, slightly wider: in transit a mail can catch up with the
/// one before.
fn spacing_of(limit: u32) -> Duration {
    Duration::from_secs(1).mul_f64(1.05) / limit.max(1)
}
