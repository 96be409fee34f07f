//! Servers' words for logs and alerts: without addresses.

use postroom_core::EmailAddress;

/// The text with every address in it masked.
pub(crate) fn masked(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for word in text.split_inclusive(ends_a_word) {
        let end = word.trim_end_matches(ends_a_word);
        match end.contains('@') {
            true => told.push_str(&masked_word(end)),
            false => told.push_str(end),
        }
        told.push_str(&word[end.len()..]);
    }
    told
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
    fn addresses_are_masked_wherever_they_stand() {
        for (text, told) in [
            ("421 4.7.0 try again", "421 4.7.0 try again"),
            ("<ann@example.org>: too fast", "<a***@example.org>: too fast"),
            ("for ann.smith@example.org.", "for a***@example.org"),
            ("to=ann@example.org,bob@example.org; x", "to=a***@example.org,b***@example.org; x"),
            ("\"ann\"@example.org", "\"ann\"***"),
            ("odd a@@b", "odd ***"),
            ("", ""),
        ] {
            assert_eq!(masked(text), told);
        }
    }
}
