//! How fast transports and queues may go.

use std::collections::BTreeMap;

use super::file::RawTables;
use crate::{InvalidInput, Rate, store::LimitName};

/// The rates of all tables that have one.
pub(super) fn read_all(tables: &RawTables) -> Result<BTreeMap<LimitName, Rate>, InvalidInput> {
    let transports = tables.transport.iter().map(|(name, raw)| ("transport", name, raw.rate.as_deref()));
    let queues = tables.queue.iter().map(|(name, raw)| ("queue", name, raw.rate.as_deref()));
    let mut all = BTreeMap::new();
    for (kind, name, rate) in transports.chain(queues) {
        let Some(text) = rate else { continue };
        let rate = text.parse::<Rate>().map_err(|problem| problem.at(format!("[{kind}.{name}] rate")))?;
        all.insert(format!("{kind}.{name}").parse()?, rate);
    }
    Ok(all)
}
