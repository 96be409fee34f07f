//! How fast mail may go: rates and quotas that all workers hold together, and leave to send under them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{PoisonError, RwLock},
    time::Duration,
};

use postroom_core::{
    Over, Quota, Rate, Result, Store,
    settings::Settings,
    store::{Grant, LimitName, Measure, TakeReply},
};

use crate::lease_clock;

/// The limits in force: what is configured, unless something else was set while it runs, and what servers ask for.
#[derive(Debug)]
pub(crate) struct Limits {
    rates: BTreeMap<LimitName, Rate>,
    quotas: BTreeMap<LimitName, Quota>,
    live: RwLock<BTreeMap<LimitName, Option<Rate>>>,
    /// The transports whose servers ask for less, as far as this worker knows.
    asked: RwLock<BTreeSet<LimitName>>,
}

/// What came of asking for leave.
#[derive(Debug)]
pub(crate) enum Taken {
    /// There is some.
    Leave(Permit),
    /// Not yet.
    Wait(Duration),
    /// This limit gives none for longer, and why.
    Shut(LimitName, Duration, String),
}

/// Leave for some mails, each at its time.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(crate) number: usize,
    /// When the first may go, and how far the others lie apart, by the lease clock.
    first_at: Duration,
    spacing: Duration,
    given: Vec<(LimitName, Grant)>,
}

/// A mail's leave to go at its time. What it takes of quotas goes back unless it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) at: Duration,
    quotas: Vec<(LimitName, Grant)>,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            rates: settings.limits.clone(),
            quotas: settings.quotas.clone(),
            live: RwLock::default(),
            asked: RwLock::default(),
        }
    }

    /// Learns what was set, and what the servers of these transports ask for.
    pub(crate) async fn refresh(&self, store: &Store, transports: impl Iterator<Item = LimitName>) -> Result<()> {
        let live = store.live_limits().await?;
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
        for transport in transports {
            if store.is_limited(&transport).await? {
                self.asked_by(transport);
            }
        }
        Ok(())
    }

    /// The server of this transport asks for less.
    pub(crate) fn asked_by(&self, transport: LimitName) {
        self.asked.write().unwrap_or_else(PoisonError::into_inner).insert(transport);
    }

    fn asks_no_more(&self, transport: &LimitName) {
        self.asked.write().unwrap_or_else(PoisonError::into_inner).remove(transport);
    }

    /// What there is to ask leave for, if anything.
    pub(crate) fn measure(&self, limit: &LimitName) -> Option<Measure> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let rate = live.get(limit).copied().unwrap_or_else(|| self.rates.get(limit).copied());
        let measure = Measure { spacing: rate.map(Rate::spacing), quota: self.quotas.get(limit).copied() };
        let is_asked = || self.asked.read().unwrap_or_else(PoisonError::into_inner).contains(limit);
        (measure != Measure::default() || is_asked()).then_some(measure)
    }

    /// Those of these limits that are in force.
    pub(crate) fn among(&self, names: &[LimitName]) -> Vec<(LimitName, Measure)> {
        names.iter().filter_map(|name| self.measure(name).map(|measure| (name.clone(), measure))).collect()
    }

    /// Those in force that are on single mails.
    pub(crate) fn on_mail(&self) -> Vec<LimitName> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let configured = self.rates.keys().filter(|name| !live.contains_key(name));
        let set = live.iter().filter_map(|(name, rate)| rate.is_some().then_some(name));
        configured.chain(set).filter(|name| name.is_on_mail()).cloned().collect()
    }

    /// What becomes of mail beyond a transport's quota. Beyond one that only its server knows of, the next transport is tried.
    pub(crate) fn over(&self, limit: &LimitName) -> Over {
        self.quotas.get(limit).map_or(Over::Next, |quota| quota.over)
    }

    /// What is used up, in words.
    pub(crate) fn told(&self, limit: &LimitName, why: &str) -> String {
        match (why, self.quotas.get(limit)) {
            ("quota", Some(quota)) => format!("{} quota of {} used up", quota.per.adjective(), quota.number),
            ("pace", _) => "the server asks for a pause".to_owned(),
            (name, _) => format!("{name} quota used up, says the server"),
        }
    }

    /// Leave under all these limits for up to `want` mails.
    pub(crate) async fn take(
        &self,
        store: &Store,
        limits: &[(LimitName, Measure)],
        class: u8,
        want: usize,
    ) -> Result<Taken> {
        let mut permit =
            Permit { number: want, first_at: lease_clock::now(), spacing: Duration::ZERO, given: Vec::new() };
        for (limit, measure) in limits {
            let refused = match store.take_grant(limit, class, permit.number, measure).await? {
                TakeReply::Granted(given) => {
                    permit.add(limit, given);
                    continue;
                }
                TakeReply::Free => {
                    self.asks_no_more(limit);
                    continue;
                }
                TakeReply::Wait(wait) => Taken::Wait(wait),
                TakeReply::Shut(wait, why) => Taken::Shut(limit.clone(), wait, why),
            };
            permit.give_back(store, 0).await?;
            return Ok(refused);
        }
        Ok(Taken::Leave(permit))
    }
}

impl Permit {
    fn add(&mut self, limit: &LimitName, given: Grant) {
        self.number = given.number;
        self.first_at = self.first_at.max(lease_clock::now() + given.first_in);
        self.spacing = self.spacing.max(given.spacing);
        self.given.push((limit.clone(), given));
    }

    /// The turn of the mail at this place.
    pub(crate) fn turn(&self, place: usize) -> Turn {
        let of_quota = |(limit, given): &(LimitName, Grant)| Some((limit.clone(), given.of_quota()?));
        let at = self.first_at + self.spacing * u32::try_from(place).unwrap_or(u32::MAX);
        Turn { at, quotas: self.given.iter().filter_map(of_quota).collect() }
    }

    /// So many mails were there to use it; the rest of what each limit gave goes back.
    pub(crate) async fn give_back(self, store: &Store, used: usize) -> Result<()> {
        for (limit, given) in self.given {
            let unused = given.number.saturating_sub(used);
            if unused > 0 {
                store.return_grant(&limit, &given, unused).await?;
            }
        }
        Ok(())
    }
}

impl Turn {
    /// Its turn under both.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.quotas.extend(other.quotas);
        Self { at: self.at.max(other.at), ..self }
    }

    /// The mail was not sent: quotas are not touched by it.
    pub(crate) async fn give_back(self, store: &Store) {
        for (limit, given) in &self.quotas {
            // Unheard, it is one less to send in this window.
            let _ = store.return_grant(limit, given, 1).await;
        }
    }
}
