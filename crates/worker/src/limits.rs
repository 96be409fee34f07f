//! How fast mail may go: rates that all workers hold together, and leave to send under them.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use postroom_core::{
    Rate, Result, Store,
    store::{Leave, LimitName},
};

use crate::lease_clock;

/// The rates in force: what is configured, unless something else was set while it runs.
#[derive(Debug)]
pub(crate) struct Limits {
    configured: BTreeMap<LimitName, Rate>,
    live: RwLock<BTreeMap<LimitName, Option<Rate>>>,
}

/// Leave for some mails, each at its time.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(crate) number: usize,
    /// When the first may go, and how far the others lie apart, by the lease clock.
    first_at: Duration,
    spacing: Duration,
    taken: Vec<Taken>,
}

/// What one limit gave.
#[derive(Debug)]
struct Taken {
    limit: LimitName,
    spacing: Duration,
    number: usize,
    until_us: u64,
}

impl Limits {
    pub(crate) fn new(configured: BTreeMap<LimitName, Rate>) -> Self {
        Self { configured, live: RwLock::default() }
    }

    /// Learns what was set.
    pub(crate) async fn refresh(&self, store: &Store) -> Result<()> {
        let live = store.live_limits().await?;
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
        Ok(())
    }

    /// The time from one mail to the next, where there is a limit.
    pub(crate) fn spacing(&self, limit: &LimitName) -> Option<Duration> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let rate = live.get(limit).copied().unwrap_or_else(|| self.configured.get(limit).copied());
        rate.map(Rate::spacing)
    }

    /// Those of these limits that are in force.
    pub(crate) fn among(&self, names: &[LimitName]) -> Vec<(LimitName, Duration)> {
        names.iter().filter_map(|name| self.spacing(name).map(|spacing| (name.clone(), spacing))).collect()
    }

    /// Those in force that are on single mails.
    pub(crate) fn on_mail(&self) -> Vec<LimitName> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let configured = self.configured.keys().filter(|name| !live.contains_key(name));
        let set = live.iter().filter_map(|(name, rate)| rate.is_some().then_some(name));
        configured.chain(set).filter(|name| name.is_on_mail()).cloned().collect()
    }
}

impl Permit {
    /// Leave under all these limits for up to `want` mails, or how long to wait for it.
    pub(crate) async fn take(
        store: &Store,
        limits: &[(LimitName, Duration)],
        class: u8,
        want: usize,
    ) -> Result<Result<Self, Duration>> {
        let mut permit =
            Self { number: want, first_at: lease_clock::now(), spacing: Duration::ZERO, taken: Vec::new() };
        for (limit, spacing) in limits {
            match store.take_leave(limit, class, permit.number, *spacing).await? {
                Leave::Granted { number, first_in, until_us } => {
                    permit.taken.push(Taken { limit: limit.clone(), spacing: *spacing, number, until_us });
                    permit.number = number;
                    permit.first_at = permit.first_at.max(lease_clock::now() + first_in);
                    permit.spacing = permit.spacing.max(*spacing);
                }
                Leave::Wait(wait) => {
                    permit.give_back(store, 0).await?;
                    return Ok(Err(wait));
                }
            }
        }
        Ok(Ok(permit))
    }

    /// When the mail at this place may go.
    pub(crate) fn at(&self, place: usize) -> Duration {
        self.first_at + self.spacing * u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// So many mails were there to use it; the rest of what each limit gave goes back.
    pub(crate) async fn give_back(self, store: &Store, used: usize) -> Result<()> {
        for taken in self.taken {
            let unused = taken.number.saturating_sub(used);
            if unused > 0 {
                store.give_back_leave(&taken.limit, taken.until_us, unused, taken.spacing).await?;
            }
        }
        Ok(())
    }
}
