//! Envelope senders of transports.

use std::collections::BTreeMap;

use super::{file::RawTables, layers::Layers, queue::QueueSettings, transport::DEFAULT, variables::SMTP_ENVELOPE_FROM};
use crate::{EnvelopePattern, InvalidInput, QueueName};

/// Number of characters that follow the queue's name in a job's id: a dash and a ULID.
const ULID: usize = 27;

/// Envelope senders by transport, each with the setting that it comes from.
pub(super) struct EnvelopeSettings(BTreeMap<String, (EnvelopePattern, String)>);

impl EnvelopeSettings {
    /// Reads those of the tables, and the one of the environment.
    pub(super) fn read(layers: &Layers, tables: &RawTables) -> Result<Self, InvalidInput> {
        let mut all = BTreeMap::new();
        for (name, raw) in &tables.transport {
            let Some(text) = &raw.envelope_from else { continue };
            let field = format!("[transport.{name}] envelope_from");
            let pattern = text.parse().map_err(|problem: InvalidInput| problem.at(&field))?;
            all.insert(name.clone(), (pattern, field));
        }
        if let Some(pattern) = layers.read(&SMTP_ENVELOPE_FROM, str::parse::<EnvelopePattern>)? {
            all.insert(DEFAULT.to_owned(), (pattern, SMTP_ENVELOPE_FROM.name.to_owned()));
        }
        Ok(Self(all))
    }

    /// Returns them if each is short enough with the ids of the queues that use its transport.
    pub(super) fn checked(
        self,
        queues: &BTreeMap<QueueName, QueueSettings>,
    ) -> Result<BTreeMap<String, EnvelopePattern>, InvalidInput> {
        for (queue, settings) in queues {
            let id = format!("{queue}{}", "0".repeat(ULID));
            for (pattern, field) in settings.transports.iter().filter_map(|name| self.0.get(name)) {
                pattern.of_job(&id).map_err(|problem| {
                    let problem = format!("{} (queue {queue})", problem.problem);
                    InvalidInput::new(field, problem)
                })?;
            }
        }
        Ok(self.0.into_iter().map(|(name, (pattern, _))| (name, pattern)).collect())
    }
}
