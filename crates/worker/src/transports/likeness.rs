//! Normalised words of a reply. Two refusals are alike if their words differ only in addresses,
//! names, numbers and ids.

/// Maximum number of words that are compared.
const MOST_WORDS: usize = 40;

/// Returns the words of a reply with each varying one replaced. The codes at its beginning stay.
pub(super) fn normalised(reply: &str) -> String {
    let mut codes = true;
    let words = reply.split_whitespace().take(MOST_WORDS).map(|word| {
        codes &= word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
        if codes || !varies(word) { word.to_lowercase() } else { "#".to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Returns the codes at the beginning of a reply.
pub(super) fn codes(reply: &str) -> String {
    let is_code = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    reply.split_whitespace().take_while(is_code).take(2).collect::<Vec<_>>().join(" ")
}

/// Whether a word is an address, a name, a number or an id.
fn varies(word: &str) -> bool {
    let inner = word.trim_matches(|c: char| !c.is_alphanumeric());
    let has_case_change = inner.chars().zip(inner.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase());
    let has_mark = inner.contains(['@', '.', '=', '_', '/']);
    has_mark || word.contains(['@', '<']) || has_case_change || word.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_differ_only_in_names_and_numbers_are_alike() {
        for (one, other) in [
            ("554 5.7.1 <a@example.org>: Relay access denied", "554 5.7.1 <bob@example.net>: Relay access denied"),
            ("550 relaying to example.org denied", "550 relaying to mail.example.net denied"),
            ("550 5.7.1 [192.0.2.1] refused (id=a1B2)", "550 5.7.1 [198.51.100.7] refused (id=zzT)"),
            ("451 Temporary local problem - please try later", "451 temporary local problem - please try later"),
            ("550 no AbCdEfGh - gsmtp", "550 no xYzUvW - gsmtp"),
        ] {
            assert_eq!(normalised(one), normalised(other));
        }
    }

    #[test]
    fn other_codes_and_other_words_are_not_alike() {
        for (one, other) in [
            ("550 5.7.1 no", "554 5.7.1 no"),
            ("550 5.7.1 no", "550 5.7.2 no"),
            ("550 blocked", "550 refused"),
            ("550 5.7.1 <a@example.org>: refused", "550 5.7.1 <a@example.org>: blocked"),
        ] {
            assert_ne!(normalised(one), normalised(other));
        }
        assert_eq!((codes("550 5.7.1 <a@x> no"), codes("451 later")), ("550 5.7.1".to_owned(), "451".to_owned()));
    }
}
