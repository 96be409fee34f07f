//! Headers of an attachment: media type and file name, already validated by
//! [`Mail::check`](postroom_core::Mail::check).

use std::error::Error;

use lettre::message::header::{ContentDisposition, Header, HeaderName, HeaderValue};

type Unread = Box<dyn Error + Send + Sync>;

/// `Content-Disposition` with a file name.
#[derive(Clone)]
pub(super) struct Disposition {
    pub(super) in_html: bool,
    pub(super) filename: String,
}

impl Header for Disposition {
    fn name() -> HeaderName {
        ContentDisposition::name()
    }

    fn parse(_: &str) -> Result<Self, Unread> {
        Err("parsing is not supported".into())
    }

    fn display(&self) -> HeaderValue {
        let Self { in_html, filename } = self;
        if !filename.contains("=?") {
            let with_name =
                if *in_html { ContentDisposition::inline_with_name } else { ContentDisposition::attachment };
            return with_name(filename).display();
        }
        let kind = if *in_html { "inline" } else { "attachment" };
        let value = format!("{kind};{}", escaped_name(filename));
        HeaderValue::dangerous_new_pre_encoded(Self::name(), value.clone(), value)
    }
}

/// File name in the extended form of RFC 2231 §4.1. Used where a reader could mistake a quoted name
/// for an encoded word.
fn escaped_name(filename: &str) -> String {
    const COLUMNS: usize = 54;
    let mut name = String::from("\r\n filename*0*=utf-8''");
    let (mut columns, mut part) = (0, 0);
    for byte in filename.bytes() {
        if columns > COLUMNS {
            part += 1;
            name.push_str(&format!(";\r\n filename*{part}*="));
            columns = 0;
        }
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            name.push(char::from(byte));
            columns += 1;
        } else {
            name.push_str(&format!("%{byte:02X}"));
            columns += 3;
        }
    }
    name
}

/// `Content-Type`, written unchanged in one line. Parsing it again could fail on a stricter
/// grammar.
#[derive(Clone)]
pub(super) struct MediaType(pub(super) String);

impl Header for MediaType {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Content-Type")
    }

    fn parse(_: &str) -> Result<Self, Unread> {
        Err("parsing is not supported".into())
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::dangerous_new_pre_encoded(Self::name(), self.0.clone(), self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_encoded_is_escaped_in_short_lines() {
        for (name, expected) in [
            ("a.pdf", "attachment; filename=\"a.pdf\""),
            ("=?utf-8?q?x?=.pdf", "attachment;\r\n filename*0*=utf-8''%3D%3Futf-8%3Fq%3Fx%3F%3D.pdf"),
        ] {
            let value = Disposition { in_html: false, filename: name.to_owned() }.display();
            let mut headers = lettre::message::header::Headers::new();
            headers.insert_raw(value);
            assert_eq!(headers.to_string(), format!("Content-Disposition: {expected}\r\n"));
        }
        let long = escaped_name(&"=?ż".repeat(60));
        assert!(long.lines().all(|line| line.len() <= 78) && long.contains("filename*10*="), "{long}");
    }
}
