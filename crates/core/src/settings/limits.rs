//! How fast mail may go: the rates of transports, queues, domains and templates.

use std::collections::BTreeMap;

use super::file::RawTables;
use crate::{InvalidInput, Rate, store::LimitName};

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
