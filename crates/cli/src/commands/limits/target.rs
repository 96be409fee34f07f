//! Arguments of `postroom limits set` and `unset`.

use std::{fmt, str::FromStr, time::Duration};

use postroom_core::{BatchId, InvalidInput, Pace, Rate, parse_span, store::LimitName};

/// The thing that a limit applies to.
#[derive(Debug, Clone)]
pub(super) enum LimitTarget {
    /// A transport, queue, domain or template.
    Limit(LimitName),
    /// One batch.
    Batch(BatchId),
}

/// The new value of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitValue {
    /// No limit.
    None,
    /// A rate, or for a batch a pause between two mails.
    Pace(Pace),
}

impl LimitValue {
    pub(super) fn pace(self) -> Option<Pace> {
        match self {
            Self::None => None,
            Self::Pace(pace) => Some(pace),
        }
    }

    /// Returns the rate for a target that is not a batch.
    pub(super) fn rate(self) -> Result<Option<Rate>, InvalidInput> {
        match self {
            Self::None => Ok(None),
            Self::Pace(Pace::Rate(rate)) => Ok(Some(rate)),
            Self::Pace(Pace::Delay(_)) => {
                Err(InvalidInput::new("rate", "only a batch may have a pause between two mails; use a rate, as in 2/s"))
            }
        }
    }
}

/// Returns the pause between two mails as text.
pub(super) fn pace_text(us: u64) -> String {
    format!("one every {:?}", Duration::from_micros(us))
}

impl FromStr for LimitTarget {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        if text.starts_with("b.") { text.parse().map(Self::Batch) } else { text.parse().map(Self::Limit) }
    }
}

impl FromStr for LimitValue {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        match text {
            "none" => Ok(Self::None),
            rate if rate.contains('/') => Ok(Self::Pace(Pace::Rate(rate.parse()?))),
            span => match parse_span(span) {
                Ok(span) if !span.is_zero() => Ok(Self::Pace(Pace::Delay(span))),
                Ok(_) | Err(_) => {
                    let may_be = "a rate such as 2/s or 100/m, none, or for a batch a pause such as 5s";
                    Err(InvalidInput::new("rate", format!("{text:?} is not a limit; it may be {may_be}")))
                }
            },
        }
    }
}

impl fmt::Display for LimitValue {
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
    fn limit_values_are_parsed() {
        for (text, shown, is_rate) in
            [("none", "none", true), ("2/s", "2/s", true), ("5s", "one every 5s", false), ("100/m", "100/m", true)]
        {
            let value: LimitValue = text.parse().expect(text);
            assert_eq!((value.to_string().as_str(), value.rate().is_ok()), (shown, is_rate), "{text}");
        }
        for bad in ["", "0s", "2", "2/w", "fast"] {
            assert!(bad.parse::<LimitValue>().is_err(), "{bad}");
        }
    }
}
