//! Current states of limits, for users.

use std::{collections::BTreeSet, time::Duration};

use chrono::Utc;

use crate::{
    LimitName, Quota, Rate, Result, Settings,
    store::{
        connection::Store,
        script::{Args, ReplyWords, Script, unexpected},
    },
};

/// Current state of a limit.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitState {
    /// Name of the limit.
    pub name: LimitName,
    /// Rate in the settings.
    pub configured: Option<Rate>,
    /// Rate set at run time. `Some(None)` disables the configured rate.
    pub live: Option<Option<Rate>>,
    /// Rate learned from the server's refusals, in mails per second.
    pub learned_per_second: Option<f64>,
    /// Rate announced by the server, in mails per second.
    pub announced_per_second: Option<f64>,
    /// Remaining pause and its reason: the server asked for it or its quota is used up.
    pub pause: Option<(Duration, String)>,
    /// State of the quota, if one is configured.
    pub quota: Option<QuotaState>,
    /// Number of connections held by workers, idle ones included.
    pub connections: usize,
    /// Configured maximum number of connections.
    pub connections_set: Option<u32>,
    /// Maximum number of connections learned from the server's refusals.
    pub connections_learned: Option<usize>,
}

/// State of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaState {
    /// Configured quota.
    pub quota: Quota,
    /// Number of mails used in the current window.
    pub used: u64,
    /// Start of the next window (Unix milliseconds).
    pub resets_ms: i64,
}

impl LimitState {
    /// Returns the rate in force: the one set at run time, or else the configured one.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.live.unwrap_or(self.configured)
    }
}

impl Store {
    /// Returns the state of every limit that is configured or set, and of every transport.
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
        let mut reply = ReplyWords::new(self.call_at(Script::LimitStates, self.keys.limit(&name), args).await?);
        match reply.next::<String>()?.as_str() {
            "limit" => {}
            other => return Err(unexpected(other)),
        }
        let (learned, announced): (u64, u64) = (reply.next()?, reply.next()?);
        let (pause_ms, why): (u64, String) = (reply.next()?, reply.next()?);
        let (used, anew_ms): (u64, i64) = (reply.next()?, reply.next()?);
        let connections_set = match &name {
            LimitName::Transport(name) => settings.connections.get(name).copied(),
            _ => None,
        };
        Ok(LimitState {
            configured: settings.limits.get(&name).copied(),
            live: None,
            learned_per_second: per_second(learned),
            announced_per_second: per_second(announced),
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
fn per_second(spacing_us: u64) -> Option<f64> {
    (spacing_us > 0).then(|| 1_000_000.0 / spacing_us as f64)
}
