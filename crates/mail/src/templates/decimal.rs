//! Decimal numbers as text, which are rounded without the errors of binary fractions.

/// A decimal number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    is_negative: bool,
    /// Digits before the point; at least one.
    whole: String,
    /// Digits after the point.
    fraction: String,
}

impl Decimal {
    /// Maximum number of digits after the point.
    pub(super) const MOST_DECIMALS: usize = 100;

    /// Parses digits with an optional sign and point.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_negative = text.starts_with('-');
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let are_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) || whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        Some(Self { is_negative, whole: whole.to_owned(), fraction: fraction.to_owned() })
    }

    /// Rounds to a number of digits after the point, halves away from zero.
    pub(super) fn rounded(&self, decimals: usize) -> Self {
        let rounds_up = self.fraction.as_bytes().get(decimals).is_some_and(|digit| *digit >= b'5');
        let kept = &self.fraction[..decimals.min(self.fraction.len())];
        let mut digits = format!("{}{kept:0<decimals$}", self.whole).into_bytes();
        if rounds_up {
            increment(&mut digits);
        }
        // The digits are ASCII.
        let mut whole = String::from_utf8(digits).unwrap_or_default();
        let fraction = whole.split_off(whole.len() - decimals);
        Self { is_negative: self.is_negative, whole, fraction }
    }

    /// Writes the number with a separator between each three digits before the point.
    pub(super) fn grouped(&self, thousands: &str, point: &str) -> String {
        let is_zero = [&self.whole, &self.fraction].iter().all(|part| part.bytes().all(|digit| digit == b'0'));
        let mut out = String::from(if self.is_negative && !is_zero { "-" } else { "" });
        for (at, digit) in self.whole.char_indices() {
            if at > 0 && (self.whole.len() - at).is_multiple_of(3) {
                out.push_str(thousands);
            }
            out.push(digit);
        }
        if !self.fraction.is_empty() {
            out.extend([point, &self.fraction]);
        }
        out
    }
}

/// Adds one to a number in digits.
fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_and_grouped() {
        for (text, decimals, expected) in [
            ("1234567.891", Some(2), "1,234,567.89"),
            ("1234567.891", None, "1,234,567.891"),
            ("1.005", Some(2), "1.01"),
            ("0.125", Some(2), "0.13"),
            ("999.995", Some(2), "1,000.00"),
            ("-999.5", Some(0), "-1,000"),
            ("-0.004", Some(2), "0.00"),
            ("12", Some(2), "12.00"),
            (" +007 ", None, "7"),
            (".5", Some(0), "1"),
            ("5.", None, "5"),
            ("100", None, "100"),
            ("123456789012345678901234567890", None, "123,456,789,012,345,678,901,234,567,890"),
        ] {
            let number = Decimal::parse(text).expect(text);
            let number = decimals.map_or(number.clone(), |decimals| number.rounded(decimals));
            assert_eq!(number.grouped(",", "."), expected, "{text}");
        }
        for text in ["", ".", "-", "1,5", "1e3", "abc", "1.2.3", "--1", "١"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}
