//! URLs in the values of headers.

use super::{
    filters::URL,
    tag::{SegmentKind, segments},
};

/// Percent-encodes each inserted value between `<` and `>` in the value of a header.
pub(super) fn with_safe_urls(source: &str) -> String {
    let (mut out, mut is_url) = (String::with_capacity(source.len() + 32), false);
    for segment in segments(source) {
        match segment.kind {
            SegmentKind::Variable if is_url && !segment.inner.trim_start().starts_with('<') => {
                out.extend([segment.start(), &format!(" ({}) | {URL} ", segment.inner), segment.end()]);
                continue;
            }
            SegmentKind::Text => {
                is_url = segment.whole.rfind(['<', '>']).map_or(is_url, |at| segment.whole[at..].starts_with('<'));
            }
            _ => {}
        }
        out.push_str(segment.whole);
    }
    out
}

/// Whether a source is the value of a header.
pub(super) fn is_header_source(name: &str) -> bool {
    name.ends_with(" (header)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_angle_brackets_are_encoded() {
        for (source, expected) in [
            ("<{{ url }}>", "<{{ ( url ) | postroom_url }}>"),
            ("<mailto:{{ a }}?x={{- b -}}>, {{ c }}", {
                "<mailto:{{ ( a ) | postroom_url }}?x={{- ( b ) | postroom_url -}}>, {{ c }}"
            }),
            ("{% if u %}<{{u}}{% endif %}>{{ v }}", "{% if u %}<{{ (u) | postroom_url }}{% endif %}>{{ v }}"),
            ("{{ text }} <x>", "{{ text }} <x>"),
        ] {
            assert_eq!(with_safe_urls(source), expected, "{source}");
        }
    }
}
