//! How limits stand, for people to read.

use std::{collections::BTreeSet, time::Duration};

use chrono::Utc;

use super::{
    LimitName,
    connection::{Args, Store},
    reply::{Words, unexpected},
};
use crate::{Quota, Rate, Result, Settings};

/// How a limit stands.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitState {
    /// Which.
    pub name: LimitName,
    /// The rate of the settings.
    pub configured: Option<Rate>,
    /// What was set while it runs; `Some(None)` lifts what is configured.
    pub live: Option<Option<Rate>>,
    /// How many a second its server takes, as was learned from its refusals.
    pub learned_a_second: Option<f64>,
    /// How many a second its server says that it takes.
    pub told_a_second: Option<f64>,
    /// Its server takes nothing for that long: it said so, or its own quota is used up.
    pub pause: Option<(Duration, String)>,
    /// How much of its quota is used.
    pub quota: Option<QuotaState>,
    /// Connections that workers hold, idle ones too.
    pub connections: usize,
    /// The most connections that are set.
    pub connections_set: Option<u32>,
    /// The most that its server lets in, as was learned.
    pub connections_learned: Option<usize>,
}

/// How a quota stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaState {
    /// As it is configured.
    pub quota: Quota,
    /// How much of it is used in this window.
    pub used: u64,
    /// When the next window begins (Unix milliseconds).
    pub resets_ms: i64,
}

impl LimitState {
    /// The rate that is set: what was set while it runs, or else what is configured.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.live.unwrap_or(self.configured)
    }
}

impl Store {
    /// How every limit stands that is configured or set, and every transport, which may have learned one.
    pub async fn limit_states(&self, settings: &Settings) -> Result<Vec<LimitState>> {
        let live = self.live_limits().await?;
        let mut names: BTreeSet<LimitName> = live.keys().cloned().collect();
        names.extend(settings.transports.keys().cloned().map(LimitName::Transport));
        names.extend(settings.limits.keys().chain(settings.quotas.keys()).cloned());
        let mut states = Vec::new();
        for name in names {
            let live = live.get(&name).copied();
            states.push(LimitState { live, ..self.limit_state(name, settings).await? });
        }
        Ok(states)
    }

    async fn limit_state(&self, name: LimitName, settings: &Settings) -> Result<LimitState> {
        let (quota, now_ms) = (settings.quotas.get(&name).copied(), Utc::now().timestamp_millis());
        let mut args = Args::default();
        for start in quota.iter().flat_map(|quota| quota.windows(now_ms)) {
            args.push(start);
        }
        let mut reply = Words::new(self.call_at("limit_states", self.keys.limit(&name), args).await?);
        match reply.next::<String>()?.as_str() {
            "limit" => {}
            other => return Err(unexpected(other)),
        }
        let (learned, told): (u64, u64) = (reply.next()?, reply.next()?);
        let (pause_ms, why): (u64, String) = (reply.next()?, reply.next()?);
        let (used, anew_ms): (u64, i64) = (reply.next()?, reply.next()?);
        let connections_set = match &name {
            LimitName::Transport(name) => settings.connections.get(name).copied(),
            _ => None,
        };
        Ok(LimitState {
            configured: settings.limits.get(&name).copied(),
            live: None,
            learned_a_second: a_second(learned),
            told_a_second: a_second(told),
            pause: (pause_ms > 0).then_some((Duration::from_millis(pause_ms), why)),
            quota: quota.map(|quota| QuotaState { quota, used, resets_ms: now_ms + anew_ms }),
            connections: reply.next()?,
            connections_set,
            connections_learned: Some(reply.next()?).filter(|number| *number > 0),
            name,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "hours in microseconds are exact")]
fn a_second(spacing_us: u64) -> Option<f64> {
    (spacing_us > 0).then(|| 1_000_000.0 / spacing_us as f64)
}
