//! What a limit is on, and what it may be.

use std::{fmt, str::FromStr, time::Duration};

use postroom_core::{BatchId, InvalidInput, Pace, Rate, parse_span, store::LimitName};

/// What a limit is on.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// Something that has a name, whatever is sent.
    Limit(LimitName),
    /// One batch.
    Batch(BatchId),
}

/// What a limit may be set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// No limit.
    None,
    /// A rate, or for a batch the time between two mails.
    Pace(Pace),
}

impl Value {
    pub(super) fn pace(self) -> Option<Pace> {
        match self {
            Self::None => None,
            Self::Pace(pace) => Some(pace),
        }
    }

    /// For what is no batch.
    pub(super) fn rate(self) -> Result<Option<Rate>, InvalidInput> {
        match self {
            Self::None => Ok(None),
            Self::Pace(Pace::Rate(rate)) => Ok(Some(rate)),
            Self::Pace(Pace::Delay(_)) => Err(InvalidInput::new(
                "rate",
                "a time between two mails goes with a batch; it may be a rate, as in 2/s",
            )),
        }
    }
}

/// The time between two mails, as people read it.
pub(super) fn pace_in_words(us: u64) -> String {
    format!("one every {:?}", Duration::from_micros(us))
}

impl FromStr for Target {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        if text.starts_with("b.") { text.parse().map(Self::Batch) } else { text.parse().map(Self::Limit) }
    }
}

impl FromStr for Value {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        match text {
            "none" => Ok(Self::None),
            rate if rate.contains('/') => Ok(Self::Pace(Pace::Rate(rate.parse()?))),
            span => match parse_span(span) {
                Ok(span) if !span.is_zero() => Ok(Self::Pace(Pace::Delay(span))),
                Ok(_) | Err(_) => {
                    let may_be = "a rate as in 2/s or 100/m, none, or for a batch a time between two mails as in 5s";
                    Err(InvalidInput::new("rate", format!("{text:?} is no limit; it may be {may_be}")))
                }
            },
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Pace(pace) => pace.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_limit_may_be() {
        for (text, shown, is_rate) in
            [("none", "none", true), ("2/s", "2/s", true), ("5s", "one every 5s", false), ("100/m", "100/m", true)]
        {
            let value: Value = text.parse().expect(text);
            assert_eq!((value.to_string().as_str(), value.rate().is_ok()), (shown, is_rate), "{text}");
        }
        for bad in ["", "0s", "2", "2/w", "fast"] {
            assert!(bad.parse::<Value>().is_err(), "{bad}");
        }
    }
}
