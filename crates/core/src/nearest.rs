//! Suggestions for misspelled names.

/// Maximum length of a name that can be a misspelling. The distance of a longer one takes long.
const LONGEST: usize = 64;

/// Returns the closest known name, if it is close enough to be a misspelling.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let near = known.map(|candidate| (distance(name, candidate), candidate)).min()?;
    (near.0 <= 1 + name.len() / 5).then_some(near.1)
}

/// Levenshtein distance: number of characters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_close_names_are_suggested() {
        let known = ["queue", "retention", "smtp_host"];
        for (name, expected) in [
            ("queues", Some("queue")),
            ("retenton", Some("retention")),
            ("smtp_hots", Some("smtp_host")),
            ("domain", None),
            ("", None),
            (&"queue".repeat(20), None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
    }
}
