//! Rates and quotas that all workers share, and the grants under them.

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

/// The limits in force: as configured, unless a person has set another one at run time, and those
/// learned from servers.
#[derive(Debug)]
pub(crate) struct Limits {
    rates: BTreeMap<LimitName, Rate>,
    quotas: BTreeMap<LimitName, Quota>,
    live: RwLock<BTreeMap<LimitName, Option<Rate>>>,
    /// Transports whose servers limit the rate, as far as this worker knows.
    learned: RwLock<BTreeSet<LimitName>>,
}

/// Result of a request for grants.
#[derive(Debug)]
pub(crate) enum TakeOutcome {
    Granted(CombinedGrant),
    /// Nothing before this time.
    Wait(Duration),
    /// This limit grants nothing for longer, and why.
    Shut(LimitName, Duration, String),
}

/// A grant for several mails, each at its time.
#[derive(Debug)]
pub(crate) struct CombinedGrant {
    pub(crate) number: usize,
    /// Time of the first mail, by the lease clock.
    first_at: Duration,
    spacing: Duration,
    given: Vec<(LimitName, Grant)>,
}

/// A mail's reserved send time. Its share of quotas is returned unless it is sent.
#[derive(Debug, Clone)]
pub(crate) struct SendReservation {
    pub(crate) at: Duration,
    quotas: Vec<(LimitName, Grant)>,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            rates: settings.limits.clone(),
            quotas: settings.quotas.clone(),
            live: RwLock::default(),
            learned: RwLock::default(),
        }
    }

    /// Reads the limits set at run time, and the limits learned from the servers of these
    /// transports.
    pub(crate) async fn refresh(&self, store: &Store, transports: impl Iterator<Item = LimitName>) -> Result<()> {
        let live = store.live_limits().await?;
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
        for transport in transports {
            if store.is_limited(&transport).await? {
                self.server_limits(transport);
            }
        }
        Ok(())
    }

    /// Records that the server of this transport limits the rate.
    pub(crate) fn server_limits(&self, transport: LimitName) {
        self.learned.write().unwrap_or_else(PoisonError::into_inner).insert(transport);
    }

    fn server_unlimited(&self, transport: &LimitName) {
        self.learned.write().unwrap_or_else(PoisonError::into_inner).remove(transport);
    }

    /// Returns what this limit allows; `None` if it is not in force.
    pub(crate) fn measure(&self, limit: &LimitName) -> Option<Measure> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let rate = live.get(limit).copied().unwrap_or_else(|| self.rates.get(limit).copied());
        let measure = Measure { spacing: rate.map(Rate::spacing), quota: self.quotas.get(limit).copied() };
        let is_learned = || self.learned.read().unwrap_or_else(PoisonError::into_inner).contains(limit);
        (measure != Measure::default() || is_learned()).then_some(measure)
    }

    /// Returns those of the limits that are in force.
    pub(crate) fn among(&self, names: &[LimitName]) -> Vec<(LimitName, Measure)> {
        names.iter().filter_map(|name| self.measure(name).map(|measure| (name.clone(), measure))).collect()
    }

    /// Returns the limits in force on domains and templates.
    pub(crate) fn on_mail(&self) -> Vec<LimitName> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let configured = self.rates.keys().filter(|name| !live.contains_key(name));
        let set = live.iter().filter_map(|(name, rate)| rate.is_some().then_some(name));
        configured.chain(set).filter(|name| name.is_on_mail()).cloned().collect()
    }

    /// Returns what happens to mail beyond a transport's quota. Beyond a quota that only its server
    /// knows, the next transport is tried.
    pub(crate) fn over(&self, limit: &LimitName) -> Over {
        self.quotas.get(limit).map_or(Over::Next, |quota| quota.over)
    }

    /// Describes why a limit grants nothing.
    pub(crate) fn describe(&self, limit: &LimitName, why: &str) -> String {
        match (why, self.quotas.get(limit)) {
            ("quota", Some(quota)) => format!("{} quota of {} used up", quota.per.adjective(), quota.number),
            ("pace", _) => "the server asks for a pause".to_owned(),
            (name, _) => format!("{name} quota used up, according to the server"),
        }
    }

    /// Requests grants of all these limits for up to `want` mails. If one refuses, the others are
    /// returned.
    pub(crate) async fn take(
        &self,
        store: &Store,
        limits: &[(LimitName, Measure)],
        class: u8,
        want: usize,
    ) -> Result<TakeOutcome> {
        let mut grant =
            CombinedGrant { number: want, first_at: lease_clock::now(), spacing: Duration::ZERO, given: Vec::new() };
        for (limit, measure) in limits {
            let refused = match store.take_grant(limit, class, grant.number, measure).await? {
                TakeReply::Granted(given) => {
                    grant.add(limit, given);
                    continue;
                }
                TakeReply::Free => {
                    self.server_unlimited(limit);
                    continue;
                }
                TakeReply::Wait(wait) => TakeOutcome::Wait(wait),
                TakeReply::Shut(wait, why) => TakeOutcome::Shut(limit.clone(), wait, why),
            };
            grant.return_unused(store, 0).await?;
            return Ok(refused);
        }
        Ok(TakeOutcome::Granted(grant))
    }
}

impl CombinedGrant {
    fn add(&mut self, limit: &LimitName, given: Grant) {
        self.number = given.number;
        self.first_at = self.first_at.max(lease_clock::now() + given.first_in);
        self.spacing = self.spacing.max(given.spacing);
        self.given.push((limit.clone(), given));
    }

    /// Returns the reservation of the mail at this index.
    pub(crate) fn reservation(&self, index: usize) -> SendReservation {
        let quota_part = |(limit, given): &(LimitName, Grant)| Some((limit.clone(), given.of_quota()?));
        let at = self.first_at + self.spacing * u32::try_from(index).unwrap_or(u32::MAX);
        SendReservation { at, quotas: self.given.iter().filter_map(quota_part).collect() }
    }

    /// Returns the unused part of each grant; `used` mails were sent.
    pub(crate) async fn return_unused(self, store: &Store, used: usize) -> Result<()> {
        for (limit, given) in self.given {
            let unused = given.number.saturating_sub(used);
            if unused > 0 {
                store.return_grant(&limit, &given, unused).await?;
            }
        }
        Ok(())
    }
}

impl SendReservation {
    /// Combines two reservations: the later time and all quotas.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.quotas.extend(other.quotas);
        Self { at: self.at.max(other.at), ..self }
    }

    /// Returns the share of quotas of a mail that was not sent.
    pub(crate) async fn release(self, store: &Store) {
        for (limit, given) in &self.quotas {
            // On an error the window allows one mail less.
            let _ = store.return_grant(limit, given, 1).await;
        }
    }
}
