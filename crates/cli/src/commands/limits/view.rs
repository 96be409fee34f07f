//! Output format of a limit.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use postroom_core::{BatchId, Rate, format_span, store::LimitState};
use serde::Serialize;

use crate::table;

/// A limit in the output. Unknown values are omitted from the text and null in JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct LimitView {
    limit: String,
    /// Rate in effect: set at run time, or else configured.
    rate: Option<String>,
    configured: Option<String>,
    /// Whether the rate was set at run time.
    set: bool,
    learned_a_second: Option<f64>,
    /// Rate that the server announced.
    #[serde(rename = "told_a_second")]
    announced_a_second: Option<f64>,
    pause_s: Option<u64>,
    pause_why: Option<String>,
    quota: Option<QuotaView>,
    connections: usize,
    connections_set: Option<u32>,
    connections_learned: Option<usize>,
}

/// Usage of a quota.
#[derive(Debug, Serialize)]
struct QuotaView {
    number: u64,
    per: &'static str,
    used: u64,
    resets_at: String,
}

impl LimitView {
    /// Returns the view of a limit with a rate.
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

    /// Returns the view of a batch with a rate or a pause.
    pub(super) fn of_batch(batch: &BatchId, pace: Option<String>) -> Self {
        Self { limit: batch.to_string(), set: pace.is_some(), rate: pace, ..Self::default() }
    }

    /// Returns the rate in effect as text.
    pub(super) fn rate(&self) -> &str {
        self.rate.as_deref().unwrap_or("none")
    }

    /// Returns pause, quota, learned rate and connections as text.
    fn state(&self) -> String {
        let rate = |what: &str, rate: Option<f64>| rate.map(|rate| format!("{what} {rate:.2}/s"));
        let pause = self.pause_s.map(|seconds| {
            let why = self.pause_why.as_deref().unwrap_or_default();
            format!("paused for {}: {why}", format_span(Duration::from_secs(seconds)))
        });
        let quota = self.quota.as_ref().map(QuotaView::text);
        let max = self.connections_set.map(|max| max.to_string());
        let max = self.connections_learned.map(|max| format!("{max} (learned)")).or(max);
        let connections = (self.connections > 0 || max.is_some()).then(|| {
            let max = max.map(|max| format!(" of {max}")).unwrap_or_default();
            format!("{}{max} connections", self.connections)
        });
        let learned = rate("learned", self.learned_a_second);
        let announced = rate("announced by the server", self.announced_a_second);
        [pause, quota, learned, announced, connections].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl QuotaView {
    fn text(&self) -> String {
        format!("{} of {} this {}, until {}", self.used, self.number, self.per, self.resets_at)
    }
}

impl From<LimitState> for LimitView {
    fn from(state: LimitState) -> Self {
        let quota = state.quota.map(|state| QuotaView {
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
            announced_a_second: state.announced_per_second,
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

/// Returns the limits as a table.
pub(super) fn table_of(views: &[LimitView]) -> String {
    let mut table = table::with(&["limit", "rate", "configured", "now"]);
    for row in views {
        let configured = row.configured.as_deref().filter(|_| row.set).unwrap_or_default();
        table.add_row([row.limit.as_str(), row.rate(), configured, &row.state()]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_lists_what_is_known() {
        assert_eq!(LimitView::default().state(), "");
        let view = LimitView {
            learned_a_second: Some(1.5),
            pause_s: Some(90),
            pause_why: Some("450 too fast".to_owned()),
            connections: 2,
            connections_set: Some(5),
            connections_learned: Some(3),
            ..LimitView::default()
        };
        assert_eq!(view.state(), "paused for 1m30s: 450 too fast; learned 1.50/s; 2 of 3 (learned) connections");
    }
}
