//! From one way out to the next: the tries of one delivery.

use std::{sync::atomic::Ordering, time::Duration};

use postroom_core::store::{BeginReply, LimitName, Settled};
use postroom_mail::{Attempt, Commit};
use tracing::{info, warn};

use super::{Delivery, Prepared};
use crate::{
    judge::{Before, judge},
    lease_clock,
    limits::Permit,
    outlet::Admission,
};

/// Mail that came from another transport asks for leave like any other.
const SPARE: u8 = 5;

impl Delivery {
    /// Sends by the first way out that is open. Where nothing was sent and that way is shut now, the next one takes over.
    pub(super) async fn send(&self, mut before: Before<'_>, prepared: &Prepared, reserved: Option<Admission>) {
        let mut tried = Vec::new();
        let mut way = reserved.or_else(|| self.counter().admit(&tried));
        while let Some(admission) = way.take() {
            if !self.its_turn(&admission, tried.is_empty()).await {
                break;
            }
            tried.push(admission.name().to_owned());
            let at_ms = self.at_ms();
            let Some(attempt) = self.try_by(&admission, &before, prepared).await else {
                return self.break_off(before, admission.name()).await;
            };
            let shut = !admission.learn(&attempt) && attempt.nothing_was_sent();
            if shut {
                way = self.counter().admit(&tried);
            }
            let Some(next) = &way else {
                let judgement = judge(before, &attempt, at_ms, fastrand::f64());
                let judgement = if shut { judgement.before_a_shut_way() } else { judgement };
                return self.settle(judgement, &attempt).await;
            };
            info!("{}; it goes by {}", self.story(&attempt), next.name());
            before = before.after(&attempt, at_ms);
        }
        // Every way was shut after the job had been claimed, or the worker stops.
        self.break_off(before, "").await;
    }

    /// Waits for the mail's turn under the limits; `false` when it does not come soon, or the worker stops meanwhile.
    async fn its_turn(&self, way: &Admission, is_first: bool) -> bool {
        let turn = async {
            let at = if is_first { self.not_before } else { self.turn_on(way.name()).await? };
            if let Some(at) = at {
                way.transport().warm().await;
                tokio::time::sleep(at.saturating_sub(lease_clock::now())).await;
            }
            Some(())
        };
        tokio::select! {
            turn = turn => turn.is_some(),
            () = self.give_up.cancelled() => false,
        }
    }

    /// Another transport took over, which may have a limit of its own. `None` when that has no leave to give: nobody waits long
    /// under a lease.
    async fn turn_on(&self, transport: &str) -> Option<Option<Duration>> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let limit = LimitName::Transport(transport.to_owned());
        let Some(spacing) = self.office.limits.spacing(&limit) else { return Some(None) };
        let limits = [(limit, spacing)];
        let started = lease_clock::now();
        while lease_clock::now() - started < PATIENCE {
            match Permit::take(&self.office.store, &limits, SPARE, 1).await {
                Ok(Ok(permit)) => return Some(Some(permit.at(0))),
                Ok(Err(wait)) => tokio::time::sleep(wait).await,
                Err(_) => break,
            }
        }
        None
    }

    /// One try; `None` when the worker stops in its middle.
    async fn try_by(&self, way: &Admission, before: &Before<'_>, prepared: &Prepared) -> Option<Attempt> {
        // The mark of a try from which this one takes over is void: its server has said that nothing was sent.
        self.begun.store(false, Ordering::Relaxed);
        let commit = async {
            let committed = self.commit(before, prepared).await;
            self.begun.store(committed == Commit::Proceed, Ordering::Relaxed);
            committed
        };
        let to = before.open();
        tokio::select! {
            biased; // an answer that is there is not thrown away
            attempt = way.transport().send(&prepared.message, &to, commit) => Some(attempt),
            () = self.give_up.cancelled() => None,
        }
    }

    /// The mark before the committing bytes, and a last look at the lease.
    async fn commit(&self, before: &Before<'_>, prepared: &Prepared) -> Commit {
        let (asked, lease) = (lease_clock::now(), before.header.policy.lease);
        let mark = (self.job.id.clone(), self.job.fence, prepared.message.message_id.clone(), prepared.date_ms);
        match self.counter().settler.begin(mark).await {
            Ok(BeginReply::Begun) if lease_clock::now() < lease_clock::usable_until(asked, lease) => Commit::Proceed,
            Ok(BeginReply::Begun) => {
                warn!(job = %self.job.id, "{} is not sent: this worker was held up for most of its lease", self.job.id);
                Commit::Abort
            }
            Ok(BeginReply::Lost | BeginReply::Ended) | Err(_) => Commit::Abort,
        }
    }

    /// The worker stops: before the mark the job goes back, after it it is in doubt.
    async fn break_off(&self, before: Before<'_>, transport: &str) {
        if self.begun.load(Ordering::Relaxed) {
            let attempt = Attempt {
                transport: transport.to_owned(),
                ..Attempt::in_doubt(&before.open(), "the worker was stopped before the server had answered")
            };
            return self.settle(judge(before, &attempt, self.at_ms(), 0.0), &attempt).await;
        }
        let Some(last) = before.records.last() else { return self.hand_back().await };
        let error = Some((last.verdict.clone(), last.reply.clone()));
        let (attempt, recipients, records) = (self.job.attempt, before.recipients, before.records);
        self.defer(Duration::ZERO, Settled { attempt, error, receipt: None, recipients, records }).await;
    }
}
