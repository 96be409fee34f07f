//! A transport and whether mail may leave by it now; shared by all queues that use it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use postroom_core::store::{TransportReport, TransportState};
use postroom_mail::{Attempt, Transport, Verdict};
use tokio::sync::Notify;
use tracing::info;

use crate::{
    alerts::{About, Alerts, unix_ms},
    breaker::{Breaker, Cause, Lesson, Pass, Way},
    lease_clock,
    masked::masked,
};

/// A transport with its breaker.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) transport: Transport,
    standing: Mutex<Standing>,
    alerts: Arc<Alerts>,
    bells: Bells,
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
    pub(crate) fn new(transport: Transport, alerts: Arc<Alerts>, bells: Bells) -> Self {
        let standing =
            Standing { breaker: Breaker::default(), state: TransportState::Up, since_ms: unix_ms(), why: None };
        Self { transport, standing: Mutex::new(standing), alerts, bells }
    }

    /// Lets a mail go by it, if one may.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Admission> {
        let pass = self.lock().breaker.admit(lease_clock::now())?;
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
        self.lock().breaker.way(lease_clock::now())
    }

    /// What there is to tell about it.
    pub(crate) fn report(&self) -> TransportReport {
        let (standing, now) = (self.lock(), lease_clock::now());
        let next_try = match standing.breaker.way(now) {
            Way::Clear => None,
            Way::ForOne | Way::Shut(None) => Some(Duration::ZERO),
            Way::Shut(Some(until)) => Some(until.saturating_sub(now)),
        };
        let ms = |wait: Duration| unix_ms() + i64::try_from(wait.as_millis()).unwrap_or(0);
        TransportReport {
            name: self.transport.name().to_owned(),
            state: standing.state,
            since_ms: standing.since_ms,
            why: standing.why.clone(),
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

    /// The transport's name.
    pub(crate) fn name(&self) -> &str {
        self.outlet.transport.name()
    }

    /// There is a mail for it.
    pub(crate) fn taken_up(mut self) -> Self {
        self.rings = true;
        self
    }

    /// Tells what came of the mail; answers whether others may still go the same way.
    pub(crate) fn learn(mut self, attempt: &Attempt) -> bool {
        self.give_back(lesson_of(attempt), Some(&attempt.reply));
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
