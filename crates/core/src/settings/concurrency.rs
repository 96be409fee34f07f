//! Number of mails that a worker sends at the same time.

use std::str::FromStr;

use crate::InvalidInput;

/// Number of mails that a worker sends at the same time: `16`, or `3-10` to adapt between two
/// limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// Lower limit.
    pub min: u32,
    /// Upper limit.
    pub max: u32,
}

impl FromStr for Concurrency {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| (1..=10_000).contains(number));
        match (number(min), number(max)) {
            (Some(min), Some(max)) if min <= max => Ok(Self { min, max }),
            (_, _) => Err(InvalidInput::new(
                "concurrency",
                format!(
                    "{text:?} is not valid; it may be a number such as 16 or a range such as 3-10, within 1 to 10000"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_parsed() {
        for (text, min, max) in [("16", 16, 16), ("3-10", 3, 10), ("1 - 2", 1, 2), ("5-5", 5, 5)] {
            assert_eq!(text.parse(), Ok(Concurrency { min, max }), "{text}");
        }
        for bad in ["", "0", "-3", "10-3", "0-3", "3-", "a", "1-2-3", "10001"] {
            assert!(bad.parse::<Concurrency>().is_err(), "{bad}");
        }
    }
}
