//! A transport and whether mail may leave by it now; shared by all queues that use it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use postroom_core::{
    Over,
    store::{LimitName, TransportReport, TransportState},
};
use postroom_mail::{Attempt, Transport, Verdict};
use tokio::sync::Notify;
use tracing::info;

use crate::{
    alerts::{About, Alerts, unix_ms},
    breaker::{Breaker, Cause, Lesson, Pass, Way},
    lease_clock,
    masked::masked,
    recent::Recent,
    seats::Seats,
};

/// After a mail was refused because it came too fast, the transport is shown as paused for so long.
const SLOWED: Duration = Duration::from_secs(3);
/// It is said again only after a time without.
const SAID_AGAIN: Duration = Duration::from_secs(60);
/// A quota that is used up is looked at so often: somebody may have given some of it back.
const LOOKED_AT: Duration = Duration::from_secs(30);

/// A transport with its breaker.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) transport: Transport,
    /// What limits on it are called.
    pub(crate) limit: LimitName,
    /// The most connections over all workers, where that is set.
    pub(crate) cap: Option<u32>,
    pub(crate) seats: Seats,
    pub(crate) bells: Bells,
    standing: Mutex<Standing>,
    recent: Mutex<Recent>,
    alerts: Arc<Alerts>,
}

/// Whom an outlet wakes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bells {
    /// The claimer, when mail may leave again, or may try to, or may not.
    pub(crate) ready: Arc<Notify>,
    /// Whoever tells of this worker, when there is something new to tell.
    pub(crate) news: Arc<Notify>,
}

#[derive(Debug)]
struct Standing {
    breaker: Breaker,
    state: TransportState,
    since_ms: i64,
    why: Option<String>,
    hold: Option<Hold>,
    /// When a mail was last refused because it came too fast, and in what words.
    slowed: Option<(Duration, String)>,
    /// What its server told last, and when.
    told_limit: Option<(u32, Duration)>,
}

/// A time in which nothing goes by it, since a quota is used up or its server asked for that.
#[derive(Debug)]
struct Hold {
    until: Duration,
    look_at: Duration,
    why: String,
    over: Over,
}

/// A mail's leave to go by an outlet. Dropped, it tells that nothing was learned.
#[derive(Debug)]
pub(crate) struct Admission {
    outlet: Arc<Outlet>,
    pass: Option<Pass>,
    /// Whether the claimer is told when it comes back unused.
    rings: bool,
}

impl Outlet {
    /// Nothing is known against it.
    pub(crate) fn new(transport: Transport, cap: Option<u32>, alerts: Arc<Alerts>, bells: Bells) -> Self {
        let standing = Standing {
            breaker: Breaker::default(),
            state: TransportState::Up,
            since_ms: unix_ms(),
            why: None,
            hold: None,
            slowed: None,
            told_limit: None,
        };
        transport.allow_connections(0);
        Self {
            limit: LimitName::Transport(transport.name().to_owned()),
            transport,
            cap,
            seats: Seats::default(),
            bells,
            standing: Mutex::new(standing),
            recent: Mutex::default(),
            alerts,
        }
    }

    /// Lets a mail go by it, if one may.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Admission> {
        let now = lease_clock::now();
        let mut standing = self.lock();
        if standing.held(now).is_some() {
            return None;
        }
        let pass = standing.breaker.admit(now)?;
        drop(standing);
        Some(Admission { outlet: Arc::clone(self), pass: Some(pass), rings: true })
    }

    /// The same for the claimer, who does not know yet whether there is a mail.
    pub(crate) fn reserve(self: &Arc<Self>) -> Option<Admission> {
        let mut admission = self.admit()?;
        admission.rings = false;
        Some(admission)
    }

    /// Whether mail may go by it, and when.
    pub(crate) fn way(&self) -> Way {
        let (standing, now) = (self.lock(), lease_clock::now());
        match standing.held(now) {
            Some(hold) => Way::Shut(Some(hold.look_at)),
            None => standing.breaker.way(now),
        }
    }

    /// Whether mail waits for it and goes by no other.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.lock().held(lease_clock::now()).is_some_and(|hold| hold.over == Over::Wait)
    }

    /// Nothing goes by it for so long.
    pub(crate) fn shut_for(&self, wait: Duration, why: &str, over: Over) {
        let (mut standing, now) = (self.lock(), lease_clock::now());
        let is_new = standing.hold.as_ref().is_none_or(|hold| hold.why != why);
        let (until, look_at) = (now + wait, now + wait.min(LOOKED_AT));
        standing.hold = Some(Hold { until, look_at, why: why.to_owned(), over });
        if is_new {
            standing.since_ms = unix_ms();
            info!("transport {} pauses for {} s: {why}", self.transport.name(), wait.as_secs());
            self.bells.news.notify_one();
        }
    }

    /// There was leave to go by it.
    pub(crate) fn let_go(&self) {
        if self.lock().hold.take().is_some() {
            info!("mail leaves by transport {} again", self.transport.name());
            self.bells.news.notify_one();
        }
    }

    /// A mail was refused because it came too fast; answers how many were accepted lately, a second.
    pub(crate) fn slowed(&self, words: &str) -> f64 {
        let (mut standing, now) = (self.lock(), lease_clock::now());
        let last = standing.slowed.replace((now, masked(words))).map(|(last, _)| now.saturating_sub(last));
        if last.is_none_or(|last| last > SAID_AGAIN) {
            info!("transport {} goes slower, its server wants less: {}", self.transport.name(), masked(words));
        }
        if last.is_none_or(|last| last > SLOWED) {
            self.bells.news.notify_one();
        }
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).a_second(now)
    }

    /// The server tells how many a second it takes; answers it when it says so for the first time in a while.
    pub(crate) fn is_news(&self, limit: u32) -> Option<u32> {
        const HOLDS: Duration = Duration::from_secs(600);
        let (mut standing, now) = (self.lock(), lease_clock::now());
        let is_known = standing.told_limit.is_some_and(|(known, at)| known == limit && now < at + HOLDS);
        (!is_known).then(|| {
            standing.told_limit = Some((limit, now));
            limit
        })
    }

    /// A mail was accepted.
    pub(crate) fn accepted(&self) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).note(lease_clock::now());
    }

    /// What there is to tell about it.
    pub(crate) fn report(&self) -> TransportReport {
        let (standing, now) = (self.lock(), lease_clock::now());
        let (state, why, next_try) = standing.told(now);
        let ms = |wait: Duration| unix_ms() + i64::try_from(wait.as_millis()).unwrap_or(0);
        TransportReport {
            name: self.transport.name().to_owned(),
            state,
            since_ms: standing.since_ms,
            why,
            next_try_ms: next_try.map(ms),
        }
    }

    /// Answers whether it has changed what may go by it.
    fn learn(&self, pass: Pass, lesson: Lesson, words: Option<&str>) -> bool {
        let now = lease_clock::now();
        let mut standing = self.lock();
        let before = standing.breaker.way(now);
        standing.breaker.learn(pass, lesson, now, fastrand::f64());
        let changed = standing.breaker.way(now) != before;
        if changed {
            self.tell(&mut standing, words);
        }
        changed
    }

    /// Each change of its state is said once. Without words nobody has tried it: what was said before still holds.
    fn tell(&self, standing: &mut Standing, words: Option<&str>) {
        let (name, cause, before) = (self.transport.name(), standing.breaker.cause(), standing.state);
        standing.state = state_of(cause);
        if standing.state != before {
            standing.since_ms = unix_ms();
            self.bells.news.notify_one();
        }
        if standing.state != TransportState::Down {
            self.alerts.clear(&self.about(), &format!("transport {name} is not down any more"));
        }
        match (cause, words) {
            (None, _) => {
                standing.why = None;
                info!("mail leaves by transport {name} again");
            }
            (Some(_), None) => {}
            (Some(cause), Some(words)) => {
                let why = masked(words);
                self.tell_trouble(cause, before, &why);
                standing.why = Some(why);
            }
        }
    }

    fn tell_trouble(&self, cause: Cause, before: TransportState, why: &str) {
        let name = self.transport.name();
        match cause {
            Cause::Throttled if before == TransportState::Paused => {}
            Cause::Throttled => info!("transport {name} pauses, its server wants less: {why}"),
            Cause::Unreachable => self.alerts.raise(self.about(), format!("transport {name} is down: {why}")),
            Cause::Account => {
                let check = "check its user name and password, and the account";
                self.alerts.raise(self.about(), format!("transport {name} is down, we are refused: {why}; {check}"));
            }
        }
    }

    fn about(&self) -> About {
        About::Transport(self.transport.name().to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn held(&self, now: Duration) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| now < hold.look_at)
    }

    /// Its state, why, and how long until mail may try it.
    fn told(&self, now: Duration) -> (TransportState, Option<String>, Option<Duration>) {
        if let Some(hold) = self.hold.as_ref().filter(|hold| now < hold.until) {
            return (TransportState::Paused, Some(hold.why.clone()), Some(hold.until - now));
        }
        let next_try = match self.breaker.way(now) {
            Way::Clear => None,
            Way::ForOne | Way::Shut(None) => Some(Duration::ZERO),
            Way::Shut(Some(until)) => Some(until.saturating_sub(now)),
        };
        match &self.slowed {
            Some((at, words)) if next_try.is_none() && now < *at + SLOWED => {
                (TransportState::Paused, Some(words.clone()), Some(Duration::ZERO))
            }
            _ => (self.state, self.why.clone(), next_try),
        }
    }
}

fn state_of(cause: Option<Cause>) -> TransportState {
    match cause {
        None => TransportState::Up,
        Some(Cause::Throttled) => TransportState::Paused,
        Some(Cause::Unreachable | Cause::Account) => TransportState::Down,
    }
}

impl Admission {
    /// The way to go.
    pub(crate) fn transport(&self) -> &Transport {
        &self.outlet.transport
    }

    /// The way itself.
    pub(crate) fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// The transport's name.
    pub(crate) fn name(&self) -> &str {
        self.outlet.transport.name()
    }

    /// There is a mail for it.
    pub(crate) fn taken_up(mut self) -> Self {
        self.rings = true;
        self
    }

    /// Tells what came of the mail; answers whether others may still go the same way. That there were too many connections at once
    /// tells nothing else.
    pub(crate) fn learn(mut self, attempt: &Attempt, is_crowded: bool) -> bool {
        let lesson = if is_crowded { Lesson::Nothing } else { lesson_of(attempt) };
        self.give_back(lesson, Some(&attempt.reply));
        self.outlet.way() == Way::Clear
    }

    fn give_back(&mut self, lesson: Lesson, words: Option<&str>) {
        let Some(pass) = self.pass.take() else { return };
        if self.outlet.learn(pass, lesson, words) && self.rings {
            self.outlet.bells.ready.notify_one();
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.give_back(Lesson::Nothing, None);
    }
}

fn lesson_of(attempt: &Attempt) -> Lesson {
    match attempt.verdict {
        Verdict::Accepted
        | Verdict::Later
        | Verdict::Greylisted
        | Verdict::TooManyRecipients
        | Verdict::RecipientRefused
        | Verdict::ContentRefused
        | Verdict::PolicyRefused
        | Verdict::TooBig => Lesson::Works,
        Verdict::Throttled => Lesson::Throttled,
        Verdict::Account => Lesson::Account,
        Verdict::NothingSent if is_before_mail(attempt.phase) => Lesson::Unreachable,
        Verdict::NothingSent | Verdict::Unknown => Lesson::Broke,
        Verdict::Invalid | Verdict::Aborted => Lesson::Nothing,
    }
}

/// Whether it ended before the session stood. What knows no phases has nothing that could break.
fn is_before_mail(phase: Option<&str>) -> bool {
    !matches!(phase, Some("mail" | "rcpt" | "data" | "body" | "dot" | "rset" | "quit" | "request" | "answer"))
}
