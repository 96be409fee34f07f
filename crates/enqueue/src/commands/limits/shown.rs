//! A limit as it is shown.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use postroom_core::{BatchId, Rate, format_span, store::LimitState};
use serde::Serialize;

use crate::commands::table;

/// A limit as it is shown; what there is not is left out of words and null in JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct Shown {
    limit: String,
    /// What is set: live, or else configured.
    rate: Option<String>,
    configured: Option<String>,
    /// Whether it was set while it runs.
    set: bool,
    learned_a_second: Option<f64>,
    told_a_second: Option<f64>,
    pause_s: Option<u64>,
    pause_why: Option<String>,
    quota: Option<ShownQuota>,
    connections: usize,
    connections_set: Option<u32>,
    connections_learned: Option<usize>,
}

/// How much of a quota is used.
#[derive(Debug, Serialize)]
struct ShownQuota {
    number: u64,
    per: &'static str,
    used: u64,
    resets_at: String,
}

impl Shown {
    /// What has a rate.
    pub(super) fn of_rate(limit: String, configured: Option<Rate>, live: Option<Option<Rate>>) -> Self {
        let text = |rate: Option<Rate>| rate.map(|rate| rate.to_string());
        Self {
            limit,
            rate: text(live.unwrap_or(configured)),
            configured: text(configured),
            set: live.is_some(),
            ..Self::default()
        }
    }

    /// A batch with a pace.
    pub(super) fn of_batch(batch: &BatchId, pace: Option<String>) -> Self {
        Self { limit: batch.to_string(), set: pace.is_some(), rate: pace, ..Self::default() }
    }

    /// What is set, in words.
    pub(super) fn rate(&self) -> &str {
        self.rate.as_deref().unwrap_or("none")
    }

    /// Beside what is set, how it stands.
    fn state(&self) -> String {
        let about = |what: &str, rate: Option<f64>| rate.map(|rate| format!("{what} {rate:.2}/s"));
        let pause = self.pause_s.map(|seconds| {
            let why = self.pause_why.as_deref().unwrap_or_default();
            format!("nothing for {}: {why}", format_span(Duration::from_secs(seconds)))
        });
        let quota = self.quota.as_ref().map(ShownQuota::told);
        let most = self.connections_set.map(|most| most.to_string());
        let most = self.connections_learned.map(|most| format!("{most} (learned)")).or(most);
        let connections = (self.connections > 0 || most.is_some()).then(|| {
            let most = most.map(|most| format!(" of {most}")).unwrap_or_default();
            format!("{}{most} connections", self.connections)
        });
        let learned = about("learned", self.learned_a_second);
        let told = about("the server says", self.told_a_second);
        [pause, quota, learned, told, connections].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl ShownQuota {
    fn told(&self) -> String {
        format!("{} of {} this {}, until {}", self.used, self.number, self.per, self.resets_at)
    }
}

impl From<LimitState> for Shown {
    fn from(state: LimitState) -> Self {
        let quota = state.quota.map(|state| ShownQuota {
            number: state.quota.number,
            per: state.quota.per.as_str(),
            used: state.used,
            resets_at: DateTime::<Utc>::from_timestamp_millis(state.resets_ms)
                .unwrap_or_default()
                .to_rfc3339_opts(SecondsFormat::Secs, true),
        });
        let (pause_s, pause_why) = state.pause.map(|(span, why)| (span.as_secs(), why)).unzip();
        Self {
            learned_a_second: state.learned_per_second,
            told_a_second: state.announced_per_second,
            pause_s,
            pause_why,
            quota,
            connections: state.connections,
            connections_set: state.connections_set,
            connections_learned: state.connections_learned,
            ..Self::of_rate(state.name.to_string(), state.configured, state.live)
        }
    }
}

/// All of them for people.
pub(super) fn table_of(shown: &[Shown]) -> String {
    let mut table = table::with(&["limit", "rate", "configured", "now"]);
    for row in shown {
        let configured = row.configured.as_deref().filter(|_| row.set).unwrap_or_default();
        table.add_row([row.limit.as_str(), row.rate(), configured, &row.state()]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_told() {
        assert_eq!(Shown::default().state(), "");
        let shown = Shown {
            learned_a_second: Some(1.5),
            pause_s: Some(90),
            pause_why: Some("it wants less".to_owned()),
            connections: 2,
            connections_set: Some(5),
            connections_learned: Some(3),
            ..Shown::default()
        };
        assert_eq!(shown.state(), "nothing for 1m30s: it wants less; learned 1.50/s; 2 of 3 (learned) connections");
    }
}
