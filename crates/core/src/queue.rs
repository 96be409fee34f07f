//! Queue names and priorities.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::InvalidInput;

/// The name of a queue: 1 to 32 characters of `a-z 0-9 _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueName(String);

impl QueueName {
    /// Queues that exist without configuration.
    pub const BUILT_IN: [&'static str; 3] = ["default", "emails", "bulk"];

    /// Default queue of single mails.
    #[must_use]
    pub fn emails() -> Self {
        Self("emails".to_owned())
    }

    /// Default queue of bulk mail.
    #[must_use]
    pub fn bulk() -> Self {
        Self("bulk".to_owned())
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueueName {
    type Err = InvalidInput;

    fn from_str(name: &str) -> Result<Self, InvalidInput> {
        let fits = (1..=32).contains(&name.len())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        // The protocol stores its own keys under that name.
        if name == "system" {
            return Err(InvalidInput::new("queue", "\"system\" is reserved; any other name may be used"));
        }
        if fits {
            return Ok(Self(name.to_owned()));
        }
        Err(InvalidInput::new(
            "queue",
            format!("{name:?} is not a queue name; it may be 1 to 32 characters of a-z, 0-9, _ and -"),
        ))
    }
}

impl TryFrom<String> for QueueName {
    type Error = InvalidInput;

    fn try_from(name: String) -> Result<Self, InvalidInput> {
        name.parse()
    }
}

impl From<QueueName> for String {
    fn from(name: QueueName) -> Self {
        name.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Priority of a job: 0 (first) to 9 (last).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// Default priority.
    pub const NORMAL: Self = Self(5);
    /// Last urgent priority. A slot is reserved for mail of this priority and more urgent mail.
    pub const LAST_URGENT: Self = Self(2);

    /// Returns all priorities, the most urgent first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=9).map(Self)
    }

    /// Returns the priority as a number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

impl TryFrom<u8> for Priority {
    type Error = InvalidInput;

    fn try_from(number: u8) -> Result<Self, InvalidInput> {
        if number <= 9 {
            return Ok(Self(number));
        }
        Err(InvalidInput::new("priority", format!("{number} is not a priority; it may be 0 (first) to 9 (last)")))
    }
}

impl FromStr for Priority {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let unfit =
            || InvalidInput::new("priority", format!("{text:?} is not a priority; it may be 0 (first) to 9 (last)"));
        text.parse::<u8>().map_err(|_| unfit())?.try_into()
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_names_are_checked() {
        for good in ["emails", "a", "my_queue-2", &"q".repeat(32)] {
            assert!(good.parse::<QueueName>().is_ok(), "{good}");
        }
        for bad in ["", "system", "Emails", "a b", "a:b", "{a}", "ż", &"q".repeat(33)] {
            assert!(bad.parse::<QueueName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn priorities_are_checked() {
        assert_eq!("0".parse::<Priority>().map(Priority::get), Ok(0));
        for bad in ["10", "-1", "", "high"] {
            assert!(bad.parse::<Priority>().is_err(), "{bad}");
        }
    }
}
