//! Masks addresses in servers' replies for logs and alerts.

use postroom_core::EmailAddress;
use postroom_mail::Attempt;

/// Returns the masked reply of an attempt and the next step for a person.
pub(super) fn why(attempt: &Attempt) -> String {
    let reply = masked(&attempt.reply);
    match attempt.advice {
        Some(advice) => format!("{reply}; {advice}"),
        None => reply,
    }
}

/// Returns the text with every address in it masked.
pub(crate) fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for word in text.split_inclusive(ends_a_word) {
        let end = word.trim_end_matches(ends_a_word);
        match end.contains('@') {
            true => masked.push_str(&masked_word(end)),
            false => masked.push_str(end),
        }
        masked.push_str(&word[end.len()..]);
    }
    masked
}

fn ends_a_word(c: char) -> bool {
    c.is_whitespace() || "<>()[]{},;:\"'=".contains(c)
}

fn masked_word(word: &str) -> String {
    word.trim_end_matches('.').parse::<EmailAddress>().map_or_else(|_| "***".to_owned(), |address| address.masked())
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn addresses_are_masked_anywhere_in_a_text() {
        for (text, expected) in [
            ("421 4.7.0 try again", "421 4.7.0 try again"),
            ("<ann@example.org>: too fast", "<a***@example.org>: too fast"),
            ("for ann.smith@example.org.", "for a***@example.org"),
            ("to=ann@example.org,bob@example.org; x", "to=a***@example.org,b***@example.org; x"),
            ("\"ann\"@example.org", "\"ann\"***"),
            ("odd a@@b", "odd ***"),
            ("", ""),
        ] {
            assert_eq!(masked(text), expected);
        }
    }
}
