//! Settings of queues, and the choice of queues that a worker serves.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    file::RawQueue,
    transport::{DEFAULT, TransportSettings},
    value,
};
use crate::{Backoff, InvalidInput, Policy, QueueName, nearest::nearest};

/// Settings of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// Delivery policy of its jobs.
    pub policy: Policy,
    /// Transports of its mail in order: each is used while those before it are unavailable. Never
    /// empty.
    pub transports: Vec<String>,
}

impl QueueSettings {
    /// Settings of a queue without configuration.
    pub(super) fn default_for(queue: &QueueName, retention: Option<Duration>) -> Self {
        let policy = Policy { retention, ..Policy::of_queue(queue.as_str()) };
        Self { policy, transports: vec![DEFAULT.to_owned()] }
    }
}

/// Override of a backoff; an absent part stays unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BackoffChange {
    backoff: Option<Backoff>,
    max: Option<Duration>,
}

impl BackoffChange {
    pub(super) fn read(backoff: Option<String>, max: Option<String>) -> Result<Self, InvalidInput> {
        let at = |problem: InvalidInput| problem.at("backoff_max");
        let max = max.map(|text| value::span_from(Duration::ZERO, &text)).transpose().map_err(at)?;
        let backoff = backoff.map(|text| Backoff::parse(&text, max.unwrap_or_default())).transpose()?;
        match (backoff, max) {
            (Some(Backoff::Fixed(_)), Some(_)) => {
                Err(InvalidInput::new("backoff_max", "a fixed backoff has no maximum; remove this key"))
            }
            (Some(Backoff::Exponential { base, .. }), Some(max)) if max < base => {
                Err(InvalidInput::new("backoff_max", "the value is less than backoff"))
            }
            (backoff, max) => Ok(Self { backoff, max }),
        }
    }

    /// Applies the override. A base beyond a default maximum raises that maximum.
    pub(super) fn over(self, old: Backoff) -> Backoff {
        let default_max = match old {
            Backoff::Exponential { max, .. } => max,
            Backoff::Fixed(delay) => delay.max(Duration::from_secs(60)),
        };
        match self.backoff.unwrap_or(old) {
            Backoff::Fixed(delay) => Backoff::Fixed(delay),
            Backoff::Exponential { base, .. } => {
                Backoff::Exponential { base, max: self.max.unwrap_or_else(|| default_max.max(base)) }
            }
        }
    }
}

/// Reads all queues by name: built-in, configured and served ones.
pub(super) fn read_all(
    raw: BTreeMap<String, RawQueue>,
    served: &[(QueueName, u32)],
    retention: Option<Duration>,
    transports: &BTreeMap<String, TransportSettings>,
) -> Result<BTreeMap<QueueName, QueueSettings>, InvalidInput> {
    let mut all = BTreeMap::new();
    let built_in = QueueName::BUILT_IN.iter().map(|name| name.parse::<QueueName>());
    for name in built_in.chain(served.iter().map(|(name, _)| Ok(name.clone()))) {
        let name = name?;
        all.insert(name.clone(), QueueSettings::default_for(&name, retention));
    }
    for (name, raw) in raw {
        let queue: QueueName = name.parse().map_err(|problem: InvalidInput| problem.at(format!("[queue.{name}]")))?;
        let settings = read(QueueSettings::default_for(&queue, retention), raw, transports).map_err(|problem| {
            let field = format!("[queue.{name}] {}", problem.field);
            problem.at(field)
        })?;
        all.insert(queue, settings);
    }
    Ok(all)
}

/// Rejects a served queue that the settings file does not have, if it has queues: the name is
/// probably misspelled. Without such tables, serving a queue creates it.
fn check_served(raw: &BTreeMap<String, RawQueue>, served: &[(QueueName, u32)]) -> Result<(), InvalidInput> {
    let known: BTreeSet<&str> = raw.keys().map(String::as_str).chain(QueueName::BUILT_IN).collect();
    let unknown = served.iter().find(|(name, _)| !known.contains(name.as_str()));
    let Some((name, _)) = unknown.filter(|_| !raw.is_empty()) else { return Ok(()) };
    let names: Vec<&str> = known.iter().copied().collect();
    let hint = nearest(name.as_str(), known.into_iter()).map(|near| format!(" (did you mean {near}?)"));
    let hint = hint.unwrap_or_default();
    let problem =
        format!("there is no queue {name}{hint}; it may be {}, or add a table [queue.{name}]", names.join(", "));
    Err(InvalidInput::new("queue", problem))
}

fn read(
    default: QueueSettings,
    raw: RawQueue,
    transports: &BTreeMap<String, TransportSettings>,
) -> Result<QueueSettings, InvalidInput> {
    let policy = default.policy;
    let span = |key: &str, text: Option<String>, old: Duration| match text {
        Some(text) => value::span_from(Duration::from_secs(1), &text).map_err(|problem| problem.at(key)),
        None => Ok(old),
    };
    let at = |key: &'static str| move |problem: InvalidInput| problem.at(key);
    Ok(QueueSettings {
        policy: Policy {
            attempts: raw.attempts.map_or(Ok(policy.attempts), value::attempts).map_err(at("attempts"))?,
            backoff: BackoffChange::read(raw.backoff, raw.backoff_max)?.over(policy.backoff),
            lease: span("lease", raw.lease, policy.lease)?,
            max_age: span("max_age", raw.max_age, policy.max_age)?,
            on_unknown: raw.on_unknown.map_or(Ok(policy.on_unknown), |word| word.parse())?,
            retention: raw
                .retention
                .map_or(Ok(policy.retention), |text| value::retention(&text))
                .map_err(at("retention"))?,
        },
        transports: match raw.transports {
            Some(names) => checked(names, transports).map_err(at("transports"))?,
            None => default.transports,
        },
    })
}

/// Checks that each transport is known and occurs once. The transport of the environment may be
/// configured later.
fn checked(names: Vec<String>, known: &BTreeMap<String, TransportSettings>) -> Result<Vec<String>, InvalidInput> {
    let refuse = |problem: String| Err(InvalidInput::new("transports", problem));
    if names.is_empty() {
        return refuse("the list is empty; it may name transports in order of preference".to_owned());
    }
    for (index, name) in names.iter().enumerate() {
        if name != DEFAULT && !known.contains_key(name) {
            let known: Vec<&str> = known.keys().map(String::as_str).filter(|name| *name != DEFAULT).collect();
            let known = [&[DEFAULT], known.as_slice()].concat().join(", ");
            return refuse(format!("{name:?} is not a transport; it may be one of {known}"));
        }
        if names[..index].contains(name) {
            return refuse(format!("{name:?} is listed twice"));
        }
    }
    Ok(names)
}

/// Returns every queue in the default order of a worker: `emails` first, `bulk` last.
pub(super) fn all_in_order(queues: &BTreeMap<QueueName, QueueSettings>) -> Vec<(QueueName, u32)> {
    let mut all: Vec<(QueueName, u32)> = queues.keys().map(|queue| (queue.clone(), 0)).collect();
    all.sort_by_key(|(queue, _)| match queue.as_str() {
        "emails" => 0,
        "bulk" => 2,
        _ => 1,
    });
    all
}

/// Parses `emails:5,bulk:1`: the queues of a worker and their weights. A missing weight is 1 if
/// another queue has one, else 0. `tables` are the queues of the settings file.
pub(super) fn served(text: &str, tables: &BTreeMap<String, RawQueue>) -> Result<Vec<(QueueName, u32)>, InvalidInput> {
    let mut all: Vec<(QueueName, u32)> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (name, weight) = part.split_once(':').unwrap_or((part, "1"));
        let queue: QueueName = name.trim().parse()?;
        let weight = weight.trim().parse::<u32>().ok().filter(|weight| (1..=1_000).contains(weight));
        let weight = weight.ok_or_else(|| {
            InvalidInput::new(
                "weight",
                format!("{part:?} is not valid; a weight may be 1 to 1000, as in emails:5,bulk:1"),
            )
        })?;
        if all.iter().any(|(other, _)| *other == queue) {
            return Err(InvalidInput::new("queue", format!("{queue} is listed twice")));
        }
        all.push((queue, weight));
    }
    if !text.contains(':') {
        all.iter_mut().for_each(|(_, weight)| *weight = 0);
    }
    check_served(tables, &all)?;
    Ok(all)
}
