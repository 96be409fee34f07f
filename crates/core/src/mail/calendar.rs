//! Calendar files that are invitations, or answers to one (RFC 5546, RFC 6047).

use super::{Attachment, MediaType};
use crate::{InvalidInput, bounds::quoted};

/// Number of lines before the first event in which the method is looked for.
const HEAD: usize = 200;

impl Attachment {
    /// Returns the method of a calendar file, such as `REQUEST`: that of its MIME type, or else
    /// that of its `METHOD` line. Other files have none.
    #[must_use]
    pub fn calendar_method(&self) -> Option<String> {
        let of_file = self.is_calendar().then(|| method_of(self.content.bytes()))?;
        self.typed_method().map(str::to_ascii_uppercase).or(of_file?)
    }

    /// Checks that MIME type and file agree about the method (RFC 6047 §2.4).
    pub(super) fn check_calendar(&self) -> Result<(), InvalidInput> {
        let Some(typed) = self.typed_method().filter(|_| self.is_calendar()) else { return Ok(()) };
        match method_of(self.content.bytes()).flatten() {
            Some(method) if !method.eq_ignore_ascii_case(typed) => Err(InvalidInput::new(
                "attachments",
                format!(
                    "the content_type of {} says method={typed}, its content METHOD:{method}; they may be equal",
                    quoted(&self.filename)
                ),
            )),
            _ => Ok(()),
        }
    }

    fn is_calendar(&self) -> bool {
        match self.content_type.as_deref() {
            Some(media_type) => MediaType::parse(media_type).is_some_and(|found| found.is("text/calendar")),
            None => self.filename.get(self.filename.len().saturating_sub(4)..).is_some_and(is_ics),
        }
    }

    fn typed_method(&self) -> Option<&str> {
        let method = MediaType::parse(self.content_type.as_deref()?)?.parameter("method")?;
        Some(method.trim_matches('"')).filter(|method| is_method(method))
    }
}

fn is_ics(ending: &str) -> bool {
    ending.eq_ignore_ascii_case(".ics")
}

fn is_method(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Returns the method of a calendar, if it has one; `None` if the bytes are no calendar.
fn method_of(bytes: &[u8]) -> Option<Option<String>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let mut lines = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).map(<[u8]>::trim_ascii_end);
    let is_begin = |line: &[u8], what: &str| line.eq_ignore_ascii_case(format!("BEGIN:{what}").as_bytes());
    lines.next().filter(|first| is_begin(first, "VCALENDAR"))?;
    let head =
        lines.take(HEAD).take_while(|line| !line.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"BEGIN:")));
    let mut properties = head.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'));
    let name = |property: &str| property.split(';').next().is_some_and(|name| name.eq_ignore_ascii_case("METHOD"));
    let method = properties.find(|(property, _)| name(property)).map(|(_, value)| value.trim().to_ascii_uppercase());
    Some(method.filter(|method| is_method(method)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content_type: Option<&str>, content: &str) -> Attachment {
        let content = content.as_bytes().to_vec().into();
        Attachment {
            filename: name.to_owned(),
            content_type: content_type.map(str::to_owned),
            content_id: None,
            content,
        }
    }

    #[test]
    fn the_method_is_that_of_the_type_or_the_file() {
        let calendar = |head: &str| format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{head}BEGIN:VEVENT\r\nMETHOD:NO\r\n");
        let request = calendar("METHOD:REQUEST\r\n");
        for (name, content_type, content, method) in [
            ("a.ics", None, request.as_str(), Some("REQUEST")),
            ("A.ICS", None, &request.replace("\r\n", "\n"), Some("REQUEST")),
            ("a.ics", None, &format!("\u{feff}{}", request.to_lowercase()), Some("REQUEST")),
            ("a.ics", None, &calendar("METHOD;X-A=b:CANCEL \r\n"), Some("CANCEL")),
            ("a.ics", None, &calendar(""), None),
            ("a.ics", None, &calendar("METHOD:a b\r\n"), None),
            ("a.ics", None, "METHOD:REQUEST", None),
            ("a.txt", None, &request, None),
            ("ż", None, &request, None),
            ("a.ics", Some("application/octet-stream"), &request, None),
            ("a.txt", Some("text/calendar"), &request, Some("REQUEST")),
            ("a", Some("Text/Calendar; METHOD=\"cancel\""), &calendar(""), Some("CANCEL")),
            ("a", Some("text/calendar; method=REQUEST"), "x", None),
        ] {
            let found = file(name, content_type, content).calendar_method();
            assert_eq!(found.as_deref(), method, "{name}, {content_type:?}: {content:?}");
        }
    }

    #[test]
    fn a_type_that_contradicts_its_file_is_refused() {
        let content = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR\n";
        assert_eq!(file("a.ics", Some("text/calendar; method=request"), content).check_calendar(), Ok(()));
        let error = file("a.ics", Some("text/calendar; method=CANCEL"), content).check_calendar().expect_err("refused");
        assert_eq!(error.field, "attachments");
        assert!(error.problem.contains("says method=CANCEL, its content METHOD:REQUEST"), "{error}");
    }
}
