//! From one way out to the next: the tries of one delivery.

use std::{sync::atomic::Ordering, time::Duration};

use postroom_core::store::{BeginReply, Settled};
use postroom_mail::{Attempt, Commit, Verdict};
use tracing::{info, warn};

use super::{Delivery, Prepared};
use crate::{
    judge::{Before, judge},
    lease_clock,
    outlet::Admission,
};

impl Delivery {
    /// Sends by the first way out that is open. Where nothing was sent and that way is shut now, the next one takes over.
    pub(super) async fn send(&self, mut before: Before<'_>, prepared: &Prepared, reserved: Option<Admission>) {
        let mut tried = Vec::new();
        let mut way = reserved.or_else(|| self.counter().admit(&tried));
        while let Some(admission) = way.take() {
            tried.push(admission.name().to_owned());
            let at_ms = self.at_ms();
            let Some(attempt) = self.try_by(&admission, &before, prepared).await else {
                return self.break_off(before, admission.name()).await;
            };
            if !admission.learn(&attempt) && attempt.nothing_was_sent() {
                way = self.counter().admit(&tried);
            }
            let Some(next) = &way else {
                return self.settle(judge(before, &attempt, at_ms, fastrand::f64()), &attempt).await;
            };
            info!("{}; it goes by {}", self.story(&attempt), next.name());
            before = before.after(&attempt, at_ms);
        }
        // Every way was shut after the job had been claimed.
        self.hand_back().await;
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
                verdict: Verdict::Unknown,
                transport: transport.to_owned(),
                ..Attempt::invalid(&before.open(), "the worker was stopped before the server had answered")
            };
            return self.settle(judge(before, &attempt, self.at_ms(), 0.0), &attempt).await;
        }
        let Some(last) = before.records.last() else { return self.hand_back().await };
        let error = Some((last.verdict.clone(), last.reply.clone()));
        let (attempt, recipients, records) = (self.job.attempt, before.recipients, before.records);
        self.defer(Duration::ZERO, Settled { attempt, error, receipt: None, recipients, records }).await;
    }
}
