//! From one way out to the next: the tries of one delivery.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use postroom_core::store::{Begin, BeginReply, ServerFeedback, Settled};
use postroom_mail::{Attempt, Commit, Hint, RecipientOutcome, Scope, Verdict};
use tracing::{info, warn};

use super::{Delivery, Prepared, Provided};
use crate::{
    judge::{Before, judge},
    lease_clock,
    limits::{Taken, Turn},
    outlet::{Admission, Outlet},
    seats::Seat,
};

/// Mail that came from another transport asks for leave like any other.
const SPARE: u8 = 5;

/// What a mail holds while it is tried by one way.
struct Leave {
    /// For as long as the try takes.
    _seat: Option<Seat>,
    turn: Option<Turn>,
}

/// For so long a mail under its lease waits for leave to go by another transport.
const PATIENCE: Duration = Duration::from_secs(5);

impl Delivery {
    /// Sends by the first way out that is open. Where nothing was sent and that way is shut now or wants less, the next one takes
    /// over.
    pub(super) async fn send(&self, mut before: Before<'_>, prepared: &Prepared, provided: &mut Provided) {
        let mut tried = Vec::new();
        let mut way = provided.reserved.take().or_else(|| self.counter().admit(&tried));
        while let Some(admission) = way.take() {
            let Some(leave) = self.leave_by(&admission, provided).await else { break };
            tried.push(admission.name().to_owned());
            let at_ms = self.at_ms();
            let Some(attempt) = self.try_by(&admission, leave, &before, prepared).await else {
                return self.break_off(before, admission.name()).await;
            };
            self.office.pulse.note(&attempt);
            let is_crowded = self.heard(admission.outlet(), &attempt).await;
            let stays_open = admission.learn(&attempt, is_crowded);
            let wants_less = attempt.verdict == Verdict::Throttled || is_crowded;
            if (!stays_open || wants_less) && attempt.nothing_was_sent() {
                way = self.counter().admit(&tried);
            }
            let Some(next) = &way else {
                let judgement = judge(before, &attempt, at_ms, fastrand::f64());
                let judgement = if wants_less {
                    judgement.before_a_slow_way()
                } else if !stays_open && attempt.nothing_was_sent() {
                    judgement.before_a_shut_way()
                } else {
                    judgement
                };
                return self.settle(judgement, &attempt).await;
            };
            info!("{}; it goes by {}", self.story(&attempt), next.name());
            before = before.after(&attempt, at_ms);
        }
        // Every way was shut after the job had been claimed, or the worker stops.
        self.break_off(before, "").await;
    }

    /// A seat on this way and a turn under the limits: what was got for the mail if that was for this way, else it asks like any
    /// other. `None` when that does not come soon, since nobody waits long under a lease, or the worker stops meanwhile.
    async fn leave_by(&self, way: &Admission, provided: &mut Provided) -> Option<Leave> {
        if provided.seat.as_ref().is_some_and(|seat| seat.is_of(way.outlet())) {
            return Some(Leave { _seat: provided.seat.take(), turn: provided.turn.take() });
        }
        drop(provided.seat.take());
        if let Some(turn) = provided.turn.take() {
            turn.give_back(&self.office.store).await;
        }
        tokio::select! {
            leave = tokio::time::timeout(PATIENCE, self.leave_asked_for(way.outlet())) => leave.ok().flatten(),
            () = self.give_up.cancelled() => None,
        }
    }

    async fn leave_asked_for(&self, outlet: &Arc<Outlet>) -> Option<Leave> {
        let office = &self.office;
        let seat = loop {
            if let Some(seat) = outlet.seats(1).pop() {
                break seat;
            }
            outlet.ask_for_seats(office, 1).await.ok()?;
            if let Some(seat) = outlet.seats(1).pop() {
                break seat;
            }
            tokio::time::sleep(outlet.ask_again_in()).await;
        };
        let Some(measure) = office.limits.measure(&outlet.limit) else {
            return Some(Leave { _seat: Some(seat), turn: None });
        };
        let limits = [(outlet.limit.clone(), measure)];
        loop {
            match office.limits.take(&office.store, &limits, SPARE, 1).await.ok()? {
                Taken::Leave(permit) => return Some(Leave { _seat: Some(seat), turn: Some(permit.turn(0)) }),
                Taken::Wait(wait) => tokio::time::sleep(wait).await,
                Taken::Shut(limit, wait, why) => {
                    office.shut(&limit, wait, &why);
                    return None;
                }
            }
        }
    }

    /// Tells all workers what the server said of how much it takes; answers whether it has turned a connection away since there were
    /// others.
    async fn heard(&self, outlet: &Outlet, attempt: &Attempt) -> bool {
        let (office, hint) = (&self.office, attempt.hint);
        if attempt.verdict == Verdict::Accepted {
            outlet.accepted();
        }
        let blames_us = matches!(attempt.verdict, Verdict::Throttled | Verdict::NothingSent);
        if blames_us && hint.scope == Scope::Connections && outlet.turned_away(office).await.unwrap_or(false) {
            return true;
        }
        let refused = attempt.verdict == Verdict::Throttled;
        let told = hint.limit.and_then(|limit| outlet.is_news(limit)).map(spacing_of);
        if !refused && told.is_none() {
            return false;
        }
        let is_of_rate = refused && hint.scope == Scope::Rate;
        let accepted_per_second = if is_of_rate { outlet.slowed(&attempt.reply) } else { 0.0 };
        let spacing = office.limits.measure(&outlet.limit).and_then(|measure| measure.spacing);
        let heard = ServerFeedback {
            refused: is_of_rate,
            accepted_per_second,
            spacing,
            pause: pause_of(&hint),
            announced: told,
        };
        if office.store.report_feedback(&outlet.limit, &office.id, &heard).await.is_ok() {
            office.limits.asked_by(outlet.limit.clone());
        }
        false
    }

    /// One try, when its turn has come; `None` when the worker stops in its middle.
    async fn try_by(&self, way: &Admission, leave: Leave, before: &Before<'_>, prepared: &Prepared) -> Option<Attempt> {
        // The mark of a try from which this one takes over is void: its server has said that nothing was sent.
        self.begun.store(false, Ordering::Relaxed);
        let commit = async {
            let committed = self.commit(before, prepared).await;
            self.begun.store(committed == Commit::Proceed, Ordering::Relaxed);
            committed
        };
        let (to, turn) = (before.open(), leave.turn.as_ref());
        let sent = async {
            if let Some(turn) = turn {
                // A connection is ready before its turn comes: jitter of connecting must not bunch mails.
                if let Err(refused) = way.transport().warm(&to).await {
                    return *refused;
                }
                tokio::time::sleep(turn.at.saturating_sub(lease_clock::now())).await;
            }
            way.transport().send(&prepared.message, &to, commit).await
        };
        let attempt = tokio::select! {
            biased; // an answer that is there is not thrown away
            attempt = sent => Some(attempt),
            () = self.give_up.cancelled() => None,
        };
        let may_be_sent = |attempt: &Attempt| {
            let taken = |recipient: &RecipientOutcome| recipient.verdict == Verdict::Accepted;
            attempt.verdict == Verdict::Unknown || attempt.recipients.iter().any(taken)
        };
        if let Some(turn) = leave.turn.filter(|_| attempt.as_ref().is_some_and(|attempt| !may_be_sent(attempt))) {
            turn.give_back(&self.office.store).await;
        }
        attempt
    }

    /// The mark before the committing bytes, and a last look at the lease.
    async fn commit(&self, before: &Before<'_>, prepared: &Prepared) -> Commit {
        let (asked, lease) = (lease_clock::now(), before.header.policy.lease);
        let mark = Begin {
            id: self.job.id.clone(),
            fence: self.job.fence,
            message_id: prepared.message.message_id.clone(),
            date_ms: prepared.date_ms,
        };
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

/// A quota whose end the server did not tell is tried again after so long.
const QUOTA_PAUSE: Duration = Duration::from_secs(15 * 60);

fn pause_of(hint: &Hint) -> Option<(Duration, &'static str)> {
    match hint.scope {
        Scope::Quota(name) => Some((hint.retry_after.unwrap_or(QUOTA_PAUSE), name)),
        Scope::Rate | Scope::Connections => hint.retry_after.map(|pause| (pause, "pace")),
    }
}

/// A little wider than what is told: on its way, a mail catches up with the one before.
fn spacing_of(limit: u32) -> Duration {
    Duration::from_secs(1).mul_f64(1.05) / limit.max(1)
}
