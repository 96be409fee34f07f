//! A transport with its circuit breaker, shared by all queues that use it.

use std::{
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
    time::Duration,
};

use postroom_core::{
    JobId, Over,
    store::{LimitName, TransportReport, TransportState},
};
use postroom_mail::{Attempt, Transport};
use tracing::{info, warn};

use super::{
    breaker::{Breaker, BreakerOutcome, BreakerPermit, BreakerState, Cause},
    masked::{masked, why},
    rate_window::RateWindow,
    refusals::RefusalHistory,
    starvation::Starvation,
    weighing::{outcome_of, weigh},
};
use crate::{
    alerts::{AlertSubject, Alerts, unix_ms},
    lease_clock,
    permits::ConnectionPermits,
    redis_access::RedisAccess,
    signals::Signals,
};

/// Time for which a transport is shown as paused after its server throttled a mail.
const SHOWN_AS_PAUSED: Duration = Duration::from_secs(3);
/// Throttling is logged again only after this long without any.
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Longest time until an exhausted quota is checked again: a person may have raised it or mails may
/// have been returned to it.
const RECHECK_QUOTA: Duration = Duration::from_secs(30);

/// A transport with its circuit breaker.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) transport: Arc<Transport>,
    /// Name of the limits on this transport.
    pub(crate) limit: LimitName,
    pub(crate) connections: Arc<ConnectionPermits>,
    signals: Signals,
    state: Mutex<OutletState>,
    accepted_rate: Mutex<RateWindow>,
    refusals: Mutex<RefusalHistory>,
    alerts: Arc<Alerts>,
    envelope_warning: Once,
}

#[derive(Debug)]
struct OutletState {
    breaker: Breaker,
    starvation: Starvation,
    state: TransportState,
    since_ms: i64,
    why: Option<String>,
    hold: Option<Hold>,
    /// Time and reply of the last throttled mail.
    throttled: Option<(Duration, String)>,
    /// Last rate that the server stated, and when.
    stated_rate: Option<(u32, Duration)>,
}

/// A period without mail: a quota is exhausted, or the server asked for a pause.
#[derive(Debug)]
struct Hold {
    until: Duration,
    recheck_at: Duration,
    why: String,
    over: Over,
}

/// A mail's permission to leave by an outlet. Dropping it reports that nothing was learned.
#[derive(Debug)]
pub(crate) struct Admission {
    outlet: Arc<Outlet>,
    permit: Option<BreakerPermit>,
    at: Duration,
    /// Outcome of a weighed attempt.
    weighed: Option<BreakerOutcome>,
    /// Whether the claimer is woken when this is returned unused.
    wakes_claimer: bool,
}

impl Outlet {
    /// Creates an outlet with a closed circuit. `cap` is the maximum number of connections over all
    /// workers, where one is set.
    pub(crate) fn new(
        transport: Transport,
        cap: Option<u32>,
        redis: &RedisAccess,
        alerts: &Arc<Alerts>,
        signals: &Signals,
    ) -> Self {
        let state = OutletState {
            breaker: Breaker::default(),
            starvation: Starvation::default(),
            state: TransportState::Up,
            since_ms: unix_ms(),
            why: None,
            hold: None,
            throttled: None,
            stated_rate: None,
        };
        let limit = LimitName::Transport(transport.name().to_owned());
        let (transport, wake) = (Arc::new(transport), Arc::clone(&signals.claim));
        let connections = ConnectionPermits::new(redis, limit.clone(), cap, Arc::clone(&transport), wake);
        Self {
            transport,
            limit,
            connections: Arc::new(connections),
            signals: signals.clone(),
            state: Mutex::new(state),
            accepted_rate: Mutex::default(),
            refusals: Mutex::default(),
            alerts: Arc::clone(alerts),
            envelope_warning: Once::new(),
        }
    }

    /// Logs once that an envelope sender has no effect here.
    pub(crate) fn warn_about_envelope(&self) {
        let name = self.transport.name();
        self.envelope_warning
            .call_once(|| warn!("transport {name} has no envelope: envelope_from of mails has no effect there"));
    }

    /// Admits a mail if the circuit allows one.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Admission> {
        let now = lease_clock::now();
        let mut state = self.lock();
        if state.held(now).is_some() {
            return None;
        }
        let permit = state.breaker.admit(now)?;
        drop(state);
        Some(Admission { outlet: Arc::clone(self), permit: Some(permit), at: now, weighed: None, wakes_claimer: true })
    }

    /// Like [`Self::admit`], for the claimer, which does not know yet whether a mail waits.
    pub(crate) fn reserve(self: &Arc<Self>) -> Option<Admission> {
        let mut admission = self.admit()?;
        admission.wakes_claimer = false;
        Some(admission)
    }

    /// Returns whether mail is admitted, and when.
    pub(crate) fn state(&self) -> BreakerState {
        let (state, now) = (self.lock(), lease_clock::now());
        match state.held(now) {
            Some(hold) => BreakerState::Open(Some(hold.recheck_at)),
            None => state.breaker.state(now),
        }
    }

    /// Whether mail waits for this outlet and uses no other.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.lock().held(lease_clock::now()).is_some_and(|hold| hold.over == Over::Wait)
    }

    /// Holds all mail for `wait`.
    pub(crate) fn hold_for(&self, wait: Duration, why: &str, over: Over) {
        let (mut state, now) = (self.lock(), lease_clock::now());
        let is_new = state.hold.as_ref().is_none_or(|hold| hold.why != why);
        let (until, recheck_at) = (now + wait, now + wait.min(RECHECK_QUOTA));
        state.hold = Some(Hold { until, recheck_at, why: why.to_owned(), over });
        if is_new {
            state.since_ms = unix_ms();
            info!("transport {} is on hold for {} s: {why}", self.transport.name(), wait.as_secs());
            self.signals.report.notify_one();
        }
    }

    /// Ends a hold: a limit has granted mail again.
    pub(crate) fn end_hold(&self) {
        if self.lock().hold.take().is_some() {
            info!("transport {} is in use again", self.transport.name());
            self.signals.report.notify_one();
        }
    }

    /// Records a throttled mail. Returns how many mails a second were accepted recently.
    pub(crate) fn throttled(&self, reply: &str) -> f64 {
        let (mut state, now) = (self.lock(), lease_clock::now());
        let last = state.throttled.replace((now, masked(reply))).map(|(last, _)| now.saturating_sub(last));
        if last.is_none_or(|last| last > LOG_AGAIN_AFTER) {
            info!(
                "the server of transport {} throttles mail; sending slows down: {}",
                self.transport.name(),
                masked(reply)
            );
        }
        if last.is_none_or(|last| last > SHOWN_AS_PAUSED) {
            self.signals.report.notify_one();
        }
        self.accepted_rate.lock().unwrap_or_else(PoisonError::into_inner).per_second(now)
    }

    /// Returns the rate that the server states, unless the same rate was reported in the last ten
    /// minutes.
    pub(crate) fn new_rate(&self, limit: u32) -> Option<u32> {
        const VALID_FOR: Duration = Duration::from_secs(600);
        let (mut state, now) = (self.lock(), lease_clock::now());
        let is_known = state.stated_rate.is_some_and(|(known, at)| known == limit && now < at + VALID_FOR);
        (!is_known).then(|| {
            state.stated_rate = Some((limit, now));
            limit
        })
    }

    /// Counts an accepted mail.
    pub(crate) fn accepted(&self) {
        self.accepted_rate.lock().unwrap_or_else(PoisonError::into_inner).count(lease_clock::now());
    }

    /// Returns the state of the transport as it is shown.
    pub(crate) fn report(&self) -> TransportReport {
        let (mut state, now) = (self.lock(), lease_clock::now());
        if let Some((span, why)) = state.starvation.begins(now) {
            let text = format!("transport {} has accepted no mail for {span} s: {why}", self.transport.name());
            self.alerts.raise(self.about(), text);
            (state.state, state.why, state.since_ms) = (TransportState::Down, Some(why), unix_ms());
        }
        let (shown, why, next_try) = state.shown(now);
        let ms = |wait: Duration| unix_ms() + i64::try_from(wait.as_millis()).unwrap_or(0);
        TransportReport {
            name: self.transport.name().to_owned(),
            state: shown,
            since_ms: state.since_ms,
            why,
            next_try_ms: next_try.map(ms),
        }
    }

    /// Reports an outcome to the breaker. Returns whether this has changed what it admits.
    fn record(&self, permit: BreakerPermit, outcome: BreakerOutcome, attempt: Option<&Attempt>) -> bool {
        let now = lease_clock::now();
        let mut state = self.lock();
        let is_about_mail = matches!(outcome, BreakerOutcome::Works | BreakerOutcome::MailRefused);
        let reply = attempt.filter(|_| !is_about_mail).map(why);
        let was_starved = state.starvation.is_alerted();
        state.starvation.record(outcome, reply.as_deref(), now);
        let before = state.breaker.state(now);
        state.breaker.record(permit, outcome, now, fastrand::f64());
        let changed = state.breaker.state(now) != before;
        if changed || was_starved != state.starvation.is_alerted() {
            self.log_change(&mut state, attempt, reply);
        }
        changed
    }

    /// Replaces refusals that may be about us by verdicts that fail no mail. Returns what the
    /// attempt says about the transport.
    fn weigh(&self, attempt: &mut Attempt, job: &JobId, admitted_at: Duration) -> BreakerOutcome {
        let now = lease_clock::now();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        weigh(&mut refusals, attempt, job, admitted_at, now)
    }

    /// Logs each change of state once. Without a reply no mail has tried the transport, so the last
    /// reason stays valid.
    fn log_change(&self, state: &mut OutletState, attempt: Option<&Attempt>, reply: Option<String>) {
        let (name, cause, before) = (self.transport.name(), state.breaker.cause(), state.state);
        state.state = if state.starvation.is_alerted() { TransportState::Down } else { state_of(cause) };
        if state.state != before {
            state.since_ms = unix_ms();
            self.signals.report.notify_one();
        }
        if state.state != TransportState::Down {
            self.alerts.clear(&self.about(), &format!("transport {name} is no longer down"));
        }
        match (cause, reply) {
            (None, _) => {
                state.why = None;
                info!("transport {name} is in use again");
            }
            (Some(_), None) => {}
            (Some(cause), Some(why)) => {
                let is_login = attempt.is_some_and(|attempt| attempt.phase == Some("auth"));
                self.log_cause(cause, before, is_login, &why);
                state.why = Some(why);
            }
        }
    }

    fn log_cause(&self, cause: Cause, before: TransportState, is_login: bool, why: &str) {
        let name = self.transport.name();
        let refuses = match cause {
            Cause::Throttled if before != TransportState::Up => return,
            Cause::Throttled => return info!("transport {name} pauses: its server throttles mail: {why}"),
            Cause::Unreachable => "",
            Cause::Account if is_login => "the server refuses the login: ",
            Cause::Account => "the server refuses our mail: ",
            Cause::Refused => "the server refuses all mail alike: ",
        };
        self.alerts.raise(self.about(), format!("transport {name} is down: {refuses}{why}"));
    }

    fn about(&self) -> AlertSubject {
        AlertSubject::Transport(self.transport.name().to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, OutletState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutletState {
    fn held(&self, now: Duration) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| now < hold.recheck_at)
    }

    /// Returns the state, its reason, and the time until mail may try the transport.
    fn shown(&self, now: Duration) -> (TransportState, Option<String>, Option<Duration>) {
        if let Some(hold) = self.hold.as_ref().filter(|hold| now < hold.until) {
            return (TransportState::Paused, Some(hold.why.clone()), Some(hold.until - now));
        }
        let next_try = match self.breaker.state(now) {
            BreakerState::Closed => None,
            BreakerState::HalfOpen | BreakerState::Open(None) => Some(Duration::ZERO),
            BreakerState::Open(Some(until)) => Some(until.saturating_sub(now)),
        };
        match &self.throttled {
            Some((at, reply)) if next_try.is_none() && now < *at + SHOWN_AS_PAUSED => {
                (TransportState::Paused, Some(reply.clone()), Some(Duration::ZERO))
            }
            _ => (self.state, self.why.clone(), next_try),
        }
    }
}

fn state_of(cause: Option<Cause>) -> TransportState {
    match cause {
        None => TransportState::Up,
        Some(Cause::Throttled) => TransportState::Paused,
        Some(Cause::Unreachable | Cause::Account | Cause::Refused) => TransportState::Down,
    }
}

impl Admission {
    /// Returns the transport.
    pub(crate) fn transport(&self) -> &Transport {
        &self.outlet.transport
    }

    /// Returns the outlet.
    pub(crate) fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// Returns the transport's name.
    pub(crate) fn name(&self) -> &str {
        self.outlet.transport.name()
    }

    /// Marks that a mail uses this admission.
    pub(crate) fn used(mut self) -> Self {
        self.wakes_claimer = true;
        self
    }

    /// Weighs an attempt of this job: a refusal that may be about us fails no mail.
    pub(crate) fn weigh(&mut self, attempt: &mut Attempt, job: &JobId) {
        self.weighed = Some(self.outlet.weigh(attempt, job, self.at));
    }

    /// Reports the result of an attempt. Returns whether the circuit is closed afterwards. A limit
    /// of connections (`is_of_connection`), in number or use, says nothing about the transport.
    pub(crate) fn record(mut self, attempt: &Attempt, is_of_connection: bool) -> bool {
        let weighed = self.weighed.take().unwrap_or_else(|| outcome_of(attempt));
        let outcome = if is_of_connection { BreakerOutcome::Nothing } else { weighed };
        self.report_outcome(outcome, Some(attempt));
        self.outlet.state() == BreakerState::Closed
    }

    fn report_outcome(&mut self, outcome: BreakerOutcome, attempt: Option<&Attempt>) {
        let Some(permit) = self.permit.take() else { return };
        if self.outlet.record(permit, outcome, attempt) && self.wakes_claimer {
            self.outlet.signals.claim.notify_one();
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.report_outcome(BreakerOutcome::Nothing, None);
    }
}
