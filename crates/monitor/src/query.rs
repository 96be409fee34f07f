//! Query strings of lists.

use postroom_core::{InvalidInput, store::JobFilter};
use serde::Deserialize;

/// Number of jobs or batches on a page.
pub(crate) const PAGE: usize = 50;
/// Maximum number in a request of a program.
const MAX_LIMIT: usize = 200;

/// Filter of a job list. An empty field counts as absent, because forms send empty fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct JobQuery {
    pub(crate) state: String,
    pub(crate) queue: String,
    pub(crate) template: String,
    pub(crate) address: String,
    pub(crate) batch: String,
    pub(crate) cursor: String,
    pub(crate) limit: String,
}

impl JobQuery {
    pub(crate) fn filter(&self) -> Result<JobFilter, InvalidInput> {
        Ok(JobFilter {
            queues: parsed("queue", &self.queue)?.into_iter().collect(),
            state: parsed("state", &self.state)?,
            batch: parsed("batch", &self.batch)?,
            template: non_empty(&self.template).map(str::to_owned),
            address: parsed("address", &self.address)?,
        })
    }

    pub(crate) fn cursor(&self) -> Option<&str> {
        non_empty(&self.cursor)
    }

    pub(crate) fn limit(&self) -> Result<usize, InvalidInput> {
        limit(&self.limit)
    }

    /// Whether any field filters the list.
    pub(crate) fn is_narrow(&self) -> bool {
        !self.encoded(&self.state, "").is_empty()
    }

    /// Returns the query string of this list with another state and position.
    pub(crate) fn encoded(&self, state: &str, cursor: &str) -> String {
        encode(&[
            ("state", state),
            ("queue", self.queue.trim()),
            ("template", self.template.trim()),
            ("address", self.address.trim()),
            ("batch", self.batch.trim()),
            ("cursor", cursor),
        ])
    }
}

/// Filter of a batch list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct BatchQuery {
    pub(crate) queue: String,
    pub(crate) page: String,
    pub(crate) limit: String,
}

impl BatchQuery {
    pub(crate) fn queue(&self) -> Result<Option<postroom_core::QueueName>, InvalidInput> {
        parsed("queue", &self.queue)
    }

    pub(crate) fn limit(&self) -> Result<usize, InvalidInput> {
        limit(&self.limit)
    }
}

/// Parses a page number, counted from 0.
pub(crate) fn page_number(text: &str) -> Result<usize, InvalidInput> {
    let Some(text) = non_empty(text) else { return Ok(0) };
    let number = text.parse().ok().filter(|number| *number <= 1_000_000);
    number.ok_or_else(|| InvalidInput::new("page", format!("{text:?} is not a page number; it may be 0 or more")))
}

/// Encodes the fields that are not empty.
pub(crate) fn encode(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        value.bytes().for_each(|byte| push_encoded(&mut text, byte));
    }
    text
}

fn push_encoded(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        text.push(char::from(byte));
    } else {
        text.push_str(&format!("%{byte:02X}"));
    }
}

fn non_empty(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn parsed<T: std::str::FromStr<Err = InvalidInput>>(field: &str, text: &str) -> Result<Option<T>, InvalidInput> {
    non_empty(text).map(str::parse).transpose().map_err(|problem: InvalidInput| problem.at(field))
}

fn limit(text: &str) -> Result<usize, InvalidInput> {
    let Some(text) = non_empty(text) else { return Ok(PAGE) };
    let number = text.parse().ok().filter(|number| (1..=MAX_LIMIT).contains(number));
    number
        .ok_or_else(|| InvalidInput::new("limit", format!("{text:?} is not a valid limit; it may be 1 to {MAX_LIMIT}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded() {
        assert_eq!(encode(&[("a", ""), ("b", "x y&<ż")]), "?b=x%20y%26%3C%C5%BC");
        assert_eq!(encode(&[]), "");
        let query = JobQuery { queue: " emails ".into(), ..JobQuery::default() };
        assert_eq!(query.encoded("failed", "2-7"), "?state=failed&queue=emails&cursor=2-7");
    }

    #[test]
    fn invalid_fields_are_reported_by_name() {
        let bad = |query: JobQuery| query.filter().expect_err("refused").field;
        assert_eq!(bad(JobQuery { state: "gone".into(), ..JobQuery::default() }), "state");
        assert_eq!(bad(JobQuery { queue: "A b".into(), ..JobQuery::default() }), "queue");
        assert_eq!(bad(JobQuery { address: "nobody".into(), ..JobQuery::default() }), "address");
        assert_eq!(bad(JobQuery { batch: "x".into(), ..JobQuery::default() }), "batch");
        assert_eq!(JobQuery::default().filter(), Ok(JobFilter::default()));
        assert!(limit("0").is_err() && limit("201").is_err() && limit("7") == Ok(7));
    }
}
