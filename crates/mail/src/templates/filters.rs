//! Filters beyond those of tera. Each takes time in proportion to its input, and checks the size of
//! its output before making it.

#![expect(clippy::needless_pass_by_value, reason = "tera takes functions and filters of this shape only")]

use std::{borrow::Cow, fmt::Write as _, io};

use chrono::{
    DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc,
    format::{Item, StrftimeItems},
};
use chrono_tz::Tz;
use tera::{ErrorKind, Kwargs, State, Tera, TeraResult, Value};
use tera_contrib::{
    slug::slug,
    urlencode::{urlencode, urlencode_strict},
};

use super::{decimal::Decimal, meter};

/// Filter for values inside the URL of a header.
pub(super) const URL: &str = "postroom_url";

/// Maximum growth of a text in percent-encoding, and in ASCII without accents.
const PERCENT_GROWTH: usize = 3;
const SLUG_GROWTH: usize = 8;
/// Maximum size of one item of a date, in bytes.
const DATE_ITEM: usize = 64;

pub(super) fn register(tera: &mut Tera) {
    let encode = |value: Value, kwargs: Kwargs, state: &State<'_>| -> TeraResult<String> {
        grown(&value, PERCENT_GROWTH).map(|text| urlencode(&text, kwargs, state))
    };
    let encode_all = |value: Value, kwargs: Kwargs, state: &State<'_>| -> TeraResult<String> {
        grown(&value, PERCENT_GROWTH).map(|text| urlencode_strict(&text, kwargs, state))
    };
    let slugify = |value: Value, kwargs: Kwargs, state: &State<'_>| -> TeraResult<String> {
        grown(&value, SLUG_GROWTH).map(|text| slug(&text, kwargs, state))
    };
    tera.register_filter("urlencode", encode);
    tera.register_filter("urlencode_strict", encode_all);
    tera.register_filter("slugify", slugify);
    tera.register_filter("slug", slugify);
    tera.register_filter("striptags", striptags);
    tera.register_filter("json_encode", json_encode);
    tera.register_filter("number_format", number_format);
    tera.register_filter("date", date);
    tera.register_filter(URL, |value: Value, _: Kwargs, _: &State<'_>| -> TeraResult<String> {
        grown(&value, PERCENT_GROWTH).map(|text| within_url(&text))
    });
}

/// Returns a value as text, if a text that is `growth` times as long is within the limits.
fn grown(value: &Value, growth: usize) -> TeraResult<Cow<'_, str>> {
    check_defined(value)?;
    let text = value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed);
    meter::make(text.len().saturating_mul(growth))?;
    Ok(text)
}

fn check_defined(value: &Value) -> TeraResult<()> {
    if value.is_undefined() {
        let (expected_type, actual_type) = ("string".to_owned(), "undefined".to_owned());
        return Err(tera::Error::new(ErrorKind::InvalidArgument { expected_type, actual_type }));
    }
    Ok(())
}

/// Percent-encodes what would end a URL between `<` and `>`: these two, quotes, blanks and control
/// characters.
fn within_url(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\\') {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(url, "%{byte:02X}");
            }
        } else {
            url.push(c);
        }
    }
    url
}

/// Removes tags and comments. A `<` that begins neither is kept.
fn striptags(value: Value, _: Kwargs, _: &State<'_>) -> TeraResult<String> {
    let text = grown(&value, 1)?;
    let (mut out, mut rest) = (String::with_capacity(text.len()), &*text);
    // The end of a comment is searched for only until none is left.
    let mut has_comments = true;
    while let Some(start) = memchr::memchr(b'<', rest.as_bytes()) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let comment = if has_comments && rest.starts_with("<!--") { rest.find("-->") } else { None };
        has_comments &= comment.is_some() || !rest.starts_with("<!--");
        let is_tag = rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        let end = match comment {
            Some(end) => Some(end + 3),
            None if is_tag => memchr::memchr(b'>', rest.as_bytes()).map(|end| end + 1),
            None => Some(0),
        };
        match end {
            Some(0) => {
                out.push('<');
                rest = &rest[1..];
            }
            Some(end) => rest = &rest[end..],
            None => break,
        }
    }
    Ok(out + rest)
}

fn json_encode(value: Value, kwargs: Kwargs, _: &State<'_>) -> TeraResult<String> {
    check_defined(&value)?;
    let mut out = MeteredBytes(Vec::new());
    let written = match kwargs.get::<bool>("pretty")?.unwrap_or(false) {
        true => serde_json::to_writer_pretty(&mut out, &value),
        false => serde_json::to_writer(&mut out, &value),
    };
    written.map_err(|error| tera::Error::message(format!("it can't be written as JSON: {error}")))?;
    // serde_json writes UTF-8.
    Ok(String::from_utf8(out.0).unwrap_or_default())
}

/// Bytes within the limit of an expression.
struct MeteredBytes(Vec<u8>);

impl io::Write for MeteredBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        meter::make(self.0.len() + bytes.len()).map_err(|error| io::Error::other(error.to_string()))?;
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn number_format(value: Value, kwargs: Kwargs, _: &State<'_>) -> TeraResult<String> {
    let text = grown(&value, 1)?;
    let decimals = kwargs.get::<usize>("decimals")?;
    let (thousands, point) = (kwargs.get::<&str>("thousands")?, kwargs.get::<&str>("point")?);
    let (thousands, point) = (thousands.unwrap_or(","), point.unwrap_or("."));
    let number = Decimal::parse(&text).ok_or_else(|| {
        let start: String = text.chars().take(40).collect();
        tera::Error::message(format!("{start:?} is not a number; it may be 1234.5, for example"))
    })?;
    if decimals.is_some_and(|decimals| decimals > Decimal::MOST_DECIMALS) {
        return Err(tera::Error::message(format!("decimals may be at most {}", Decimal::MOST_DECIMALS)));
    }
    meter::make((text.len() + Decimal::MOST_DECIMALS) * (1 + thousands.len()) + point.len())?;
    Ok(decimals.map_or_else(|| number.clone(), |decimals| number.rounded(decimals)).grouped(thousands, point))
}

/// Formats a time, given as text or in seconds since 1970.
fn date(value: Value, kwargs: Kwargs, _: &State<'_>) -> TeraResult<String> {
    let format = kwargs.get::<&str>("format")?.unwrap_or("%Y-%m-%d");
    let zone = kwargs.get::<&str>("timezone")?.map(zone).transpose()?;
    meter::make(format.len().saturating_mul(DATE_ITEM))?;
    let items: Vec<Item<'_>> = StrftimeItems::new(format).collect();
    if items.contains(&Item::Error) {
        return Err(tera::Error::message(format!("{format:?} is not a format; it may be %d.%m.%Y, for example")));
    }
    let text = grown(&value, 1)?;
    let time = WrittenTime::parse(text.trim()).ok_or_else(|| {
        let start: String = text.chars().take(40).collect();
        tera::Error::message(format!("{start:?} is not a date; it may be 2027-01-31 or 2027-01-31T08:00:00+01:00"))
    })?;
    time.formatted(zone, &items).ok_or_else(|| tera::Error::message(format!("the time zone has no time {text}")))
}

fn zone(name: &str) -> TeraResult<Tz> {
    let unknown = |_| tera::Error::message(format!("there is no time zone {name:?}; it may be Europe/Warsaw"));
    name.parse().map_err(unknown)
}

/// A time, with its offset from UTC if that is written.
enum WrittenTime {
    Absolute(DateTime<FixedOffset>),
    Local(NaiveDateTime),
}

impl WrittenTime {
    fn parse(text: &str) -> Option<Self> {
        let absolute = DateTime::parse_from_rfc3339(text);
        let absolute = absolute.or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"));
        if let Ok(time) = absolute.or_else(|_| DateTime::parse_from_rfc2822(text)) {
            return Some(Self::Absolute(time));
        }
        // Fewer digits may be a year or a day.
        if let Ok(seconds) = text.parse::<i64>()
            && (9..=11).contains(&text.len())
        {
            return DateTime::<Utc>::from_timestamp(seconds, 0).map(|time| Self::Absolute(time.fixed_offset()));
        }
        let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
        let local = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        local.or_else(|| day().map(|day| day.and_time(NaiveTime::MIN))).map(Self::Local)
    }

    fn formatted(&self, zone: Option<Tz>, items: &[Item<'_>]) -> Option<String> {
        let mut out = String::new();
        let written = match (self, zone) {
            (Self::Absolute(time), None) => write!(out, "{}", time.format_with_items(items.iter())),
            (Self::Absolute(time), Some(zone)) => {
                write!(out, "{}", time.with_timezone(&zone).format_with_items(items.iter()))
            }
            (Self::Local(time), zone) => {
                let time = zone.unwrap_or(Tz::UTC).from_local_datetime(time).earliest()?;
                write!(out, "{}", time.format_with_items(items.iter()))
            }
        };
        written.ok().map(|()| out)
    }
}
