//! How fast mail may go, by transports, queues, domains and templates, and how much in a calendar window.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::{file::RawTables, value};
use crate::{InvalidInput, LimitName, Over, Quota, Rate};

/// The rates of all tables that have one.
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
            return Err(InvalidInput::new(table(), "another table is on the same domain"));
        }
    }
    Ok(all)
}

/// A quota as a table has it.
struct RawQuota<'a> {
    quota: Option<u64>,
    per: Option<&'a str>,
    timezone: Option<&'a str>,
    over: Option<&'a str>,
}

/// The quotas of all tables that have one.
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

/// How many connections all workers together may have to a transport.
pub(super) fn connections(tables: &RawTables) -> Result<BTreeMap<String, u32>, InvalidInput> {
    let given = tables.transport.iter().filter_map(|(name, raw)| Some((name.clone(), raw.connections?)));
    let all: BTreeMap<String, u32> = given.collect();
    match all.iter().find(|(_, number)| !(1..=10_000).contains(*number)) {
        Some((name, number)) => Err(InvalidInput::new(
            format!("[transport.{name}] connections"),
            format!("{number} does not fit; it may be 1 to 10000"),
        )),
        None => Ok(all),
    }
}

fn in_table(kind: &str, name: &str, problem: InvalidInput) -> InvalidInput {
    let field = format!("[{kind}.{name}] {}", problem.field);
    problem.at(field)
}

/// A queue's mail has no other queue to go to.
fn of_a_queue(quota: Option<Quota>) -> Result<Option<Quota>, InvalidInput> {
    match quota {
        Some(Quota { over: Over::Next, .. }) => Err(InvalidInput::new(
            "over",
            "a queue's quota holds for all transports; it may only be wait, which it is when it is left out",
        )),
        other => Ok(other),
    }
}

impl RawQuota<'_> {
    fn read(self, timezone: Tz) -> Result<Option<Quota>, InvalidInput> {
        let Some(number) = self.quota else { return self.expect_nothing().map(|()| None) };
        if number == 0 {
            return Err(InvalidInput::new("quota", "0 does not fit; it may be a number above 0"));
        }
        let per = self.per.ok_or_else(|| InvalidInput::new("per", "it is missing; it may be hour, day or month"))?;
        let zone = self.timezone.map(value::timezone).transpose().map_err(|problem| problem.at("timezone"))?;
        let over = self.over.map(str::parse).transpose()?.unwrap_or(Over::Wait);
        Ok(Some(Quota { number, per: per.parse()?, timezone: zone.unwrap_or(timezone), over }))
    }

    fn expect_nothing(self) -> Result<(), InvalidInput> {
        let given = [("per", self.per), ("timezone", self.timezone), ("over", self.over)];
        match given.iter().find(|(_, value)| value.is_some()) {
            Some((key, _)) => Err(InvalidInput::new(*key, "it goes with quota, which is missing")),
            None => Ok(()),
        }
    }
}
