//! Rates, quotas and connection limits of the tables in `postroom.toml`.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::{file::RawTables, value};
use crate::{InvalidInput, LimitName, Over, Quota, Rate};

/// Reads the rates of all tables.
pub(super) fn read_all(tables: &RawTables) -> Result<BTreeMap<LimitName, Rate>, InvalidInput> {
    let transports = tables.transport.iter().map(|(name, raw)| ("transport", name, raw.rate.as_deref()));
    let queues = tables.queue.iter().map(|(name, raw)| ("queue", name, raw.rate.as_deref()));
    let domains = tables.domain.iter().map(|(name, raw)| ("domain", name, raw.rate.as_deref()));
    let templates = tables.template.iter().map(|(name, raw)| ("template", name, raw.rate.as_deref()));
    let mut all = BTreeMap::new();
    for (kind, name, rate) in transports.chain(queues).chain(domains).chain(templates) {
        let Some(text) = rate else { continue };
        let table = || format!("[{kind}.{name}]");
        let limit = format!("{kind}.{name}").parse::<LimitName>().map_err(|problem| problem.at(table()))?;
        let rate = text.parse::<Rate>().map_err(|problem| problem.at(format!("{} rate", table())))?;
        if all.insert(limit, rate).is_some() {
            return Err(InvalidInput::new(table(), "another table has the same domain"));
        }
    }
    Ok(all)
}

/// Quota keys of a table.
struct RawQuota<'a> {
    quota: Option<u64>,
    per: Option<&'a str>,
    timezone: Option<&'a str>,
    over: Option<&'a str>,
}

/// Reads the quotas of all tables.
pub(super) fn quotas(tables: &RawTables, timezone: Tz) -> Result<BTreeMap<LimitName, Quota>, InvalidInput> {
    let mut all = BTreeMap::new();
    for (name, raw) in &tables.transport {
        let (per, zone, over) = (raw.per.as_deref(), raw.timezone.as_deref(), raw.over.as_deref());
        let quota = RawQuota { quota: raw.quota, per, timezone: zone, over }.read(timezone);
        let quota = quota.map_err(|problem| in_table("transport", name, problem))?;
        all.extend(quota.map(|quota| (LimitName::Transport(name.clone()), quota)));
    }
    for (name, raw) in &tables.queue {
        let (per, zone, over) = (raw.per.as_deref(), raw.timezone.as_deref(), raw.over.as_deref());
        let quota = RawQuota { quota: raw.quota, per, timezone: zone, over }.read(timezone).and_then(of_a_queue);
        let quota = quota.map_err(|problem| in_table("queue", name, problem))?;
        if let Some(quota) = quota {
            all.insert(LimitName::Queue(name.parse()?), quota);
        }
    }
    Ok(all)
}

/// Reads the maximum number of connections to each transport, over all workers.
pub(super) fn connections(tables: &RawTables) -> Result<BTreeMap<String, u32>, InvalidInput> {
    let configured = tables.transport.iter().filter_map(|(name, raw)| Some((name.clone(), raw.connections?)));
    let all: BTreeMap<String, u32> = configured.collect();
    match all.iter().find(|(_, number)| !(1..=10_000).contains(*number)) {
        Some((name, number)) => Err(InvalidInput::new(
            format!("[transport.{name}] connections"),
            format!("{number} is not valid; it may be 1 to 10000"),
        )),
        None => Ok(all),
    }
}

fn in_table(kind: &str, name: &str, problem: InvalidInput) -> InvalidInput {
    let field = format!("[{kind}.{name}] {}", problem.field);
    problem.at(field)
}

/// Refuses `over = "next"`: the quota of a queue applies to all transports.
fn of_a_queue(quota: Option<Quota>) -> Result<Option<Quota>, InvalidInput> {
    match quota {
        Some(Quota { over: Over::Next, .. }) => Err(InvalidInput::new(
            "over",
            "a queue's quota applies to all its transports; only wait, the default, is possible",
        )),
        other => Ok(other),
    }
}

impl RawQuota<'_> {
    fn read(self, timezone: Tz) -> Result<Option<Quota>, InvalidInput> {
        let Some(number) = self.quota else { return self.expect_nothing().map(|()| None) };
        if number == 0 {
            return Err(InvalidInput::new("quota", "0 is not valid; it may be a number above 0"));
        }
        let per =
            self.per.ok_or_else(|| InvalidInput::new("per", "the key is missing; it may be hour, day or month"))?;
        let zone = self.timezone.map(value::timezone).transpose().map_err(|problem| problem.at("timezone"))?;
        let over = self.over.map(str::parse).transpose()?.unwrap_or(Over::Wait);
        Ok(Some(Quota { number, per: per.parse()?, timezone: zone.unwrap_or(timezone), over }))
    }

    fn expect_nothing(self) -> Result<(), InvalidInput> {
        let keys = [("per", self.per), ("timezone", self.timezone), ("over", self.over)];
        match keys.iter().find(|(_, value)| value.is_some()) {
            Some((key, _)) => Err(InvalidInput::new(*key, "the key requires quota, which is missing")),
            None => Ok(()),
        }
    }
}
