//! Send rates in text form: `2/s`, `100/m`, `1000/h`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{InvalidInput, format_span};

const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

/// Send rate, evenly spaced, such as `100/m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    number: u32,
    /// Index into [`UNITS`].
    unit: usize,
}

/// Spacing of the mails of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Number of mails per unit of time.
    Rate(Rate),
    /// Pause from the start of one mail to the start of the next, one mail at a time.
    Delay(Duration),
}

impl Rate {
    /// Time from one mail to the next.
    #[must_use]
    pub fn spacing(self) -> Duration {
        Duration::from_secs(UNITS[self.unit].1) / self.number
    }

    /// Number of mails per second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        1.0 / self.spacing().as_secs_f64()
    }
}

impl Pace {
    /// Time from one mail to the next.
    #[must_use]
    pub fn spacing(self) -> Duration {
        match self {
            Self::Rate(rate) => rate.spacing(),
            Self::Delay(delay) => delay,
        }
    }
}

impl FromStr for Rate {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let unfit = || {
            let may_be = "a number above 0 per second, minute, hour or day, as in 2/s, 100/m, 1000/h or 50000/d";
            InvalidInput::new("rate", format!("{text:?} is not a rate; it may be {may_be}"))
        };
        let (number, unit) = text.trim().split_once('/').ok_or_else(unfit)?;
        let number = number.trim().replace('_', "").parse().ok().filter(|number| (1..=1_000_000).contains(number));
        let unit = UNITS.iter().position(|(name, _)| *name == unit.trim());
        match (number, unit) {
            (Some(number), Some(unit)) => Ok(Self { number, unit }),
            _ => Err(unfit()),
        }
    }
}

impl TryFrom<String> for Rate {
    type Error = InvalidInput;

    fn try_from(text: String) -> Result<Self, InvalidInput> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, UNITS[self.unit].0)
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => write!(f, "{rate}"),
            Self::Delay(delay) => write!(f, "one every {}", format_span(*delay)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_parsed_and_written() {
        for (text, ms) in [("2/s", 500), ("100/m", 600), ("1000/h", 3_600), ("86400/d", 1_000), ("50_000/d", 1_728)] {
            let rate: Rate = text.parse().expect(text);
            assert_eq!(rate.spacing(), Duration::from_millis(ms), "{text}");
            assert_eq!(rate.to_string(), text.replace('_', ""));
        }
        for bad in ["", "2", "/s", "0/s", "-1/s", "2/w", "2 per second", "1.5/s", "1000001/s"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
