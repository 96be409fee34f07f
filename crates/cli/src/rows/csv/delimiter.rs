//! The character between the fields of a CSV.

use std::{
    fmt,
    io::{self, Read},
    str::FromStr,
};

/// Characters that are looked for in the header.
pub(super) const COMMON: [Delimiter; 4] = [Delimiter(b','), Delimiter(b';'), Delimiter(b'\t'), Delimiter(b'|')];

const NAMES: [(&str, u8); 5] = [("comma", b','), ("semicolon", b';'), ("tab", b'\t'), ("pipe", b'|'), ("space", b' ')];

/// Character between the fields of a CSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delimiter(u8);

impl Delimiter {
    pub(super) fn byte(self) -> u8 {
        self.0
    }

    fn of(character: char) -> Option<Self> {
        let byte = u8::try_from(character).ok().filter(u8::is_ascii)?;
        let is_text = byte.is_ascii_alphanumeric() || matches!(byte, b'"' | b'@' | b'.' | b'\r' | b'\n' | 0);
        (!is_text).then_some(Self(byte))
    }
}

impl FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut characters = text.chars();
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, byte)| char::from(*byte));
        let character = match (text, characters.next(), characters.next()) {
            ("\\t", ..) => Some('\t'),
            (_, Some(character), None) => Some(character),
            (..) => named,
        };
        character.and_then(Self::of).ok_or_else(|| {
            "it must be one ASCII character such as ';' that is no letter, digit, quote, dot or @; or a name: tab, \
             comma, semicolon, pipe, space"
                .to_owned()
        })
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, byte)| *byte == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{:?}", char::from(self.0)),
        }
    }
}

/// The first line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstLine {
    /// `sep=;`, as Excel reads it.
    Delimiter(Delimiter),
    /// `#TYPE …`, as PowerShell writes it.
    Type,
    Header,
}

impl FirstLine {
    /// Reads the first line.
    ///
    /// # Errors
    ///
    /// The error of the input, or of a delimiter that can't be one.
    pub(super) fn read(input: impl Read) -> io::Result<Self> {
        let mut start = Vec::new();
        input.take(64).read_to_end(&mut start)?;
        let line = start.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        if line.starts_with("#TYPE ") {
            return Ok(Self::Type);
        }
        let unquoted = line.strip_prefix('"').unwrap_or(&line);
        let Some(name) = unquoted.get(..4).filter(|name| name.eq_ignore_ascii_case("sep=")) else {
            return Ok(Self::Header);
        };
        let value = unquoted[name.len()..].trim_end_matches('"');
        let refuse = || io::Error::other(format!("its first line names the delimiter {value:?}, which can't be one"));
        named(value).map(Self::Delimiter).ok_or_else(refuse)
    }
}

/// Returns the delimiter behind `sep=`. A program that reads the line as a row writes it with empty
/// fields.
fn named(value: &str) -> Option<Delimiter> {
    let mut characters = value.chars();
    let first = characters.next()?;
    if characters.all(|other| other == first || other == '"') { Delimiter::of(first) } else { value.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_one_character_or_a_name() {
        for (text, byte) in [
            (",", Some(b',')),
            (";", Some(b';')),
            ("|", Some(b'|')),
            ("\t", Some(b'\t')),
            ("tab", Some(b'\t')),
            ("\\t", Some(b'\t')),
            ("semicolon", Some(b';')),
            ("space", Some(b' ')),
            ("^", Some(b'^')),
            (":", Some(b':')),
            ("\u{1f}", Some(0x1f)),
            ("", None),
            (",,", None),
            ("a", None),
            ("\"", None),
            ("\n", None),
            ("€", None),
            ("@", None),
        ] {
            assert_eq!(text.parse::<Delimiter>().ok().map(Delimiter::byte), byte, "{text:?}");
        }
    }

    #[test]
    fn the_first_line_may_name_it() {
        for (text, expected) in [
            ("sep=;\r\nemail;name\r\n", Some(b';')),
            ("SEP=,\nemail", Some(b',')),
            ("\"sep=;\"\nemail", Some(b';')),
            ("sep=\t\nemail", Some(b'\t')),
            ("sep=|", Some(b'|')),
            ("sep=tab\r", Some(b'\t')),
            ("sep=;;;\nemail;name;x", Some(b';')),
            ("\"sep=,\",,\nemail,name,x", Some(b',')),
            ("sep=\nemail", None),
            ("sep=ab\nemail", None),
            ("sep=€\nemail", None),
        ] {
            let expected = expected.map(|byte| FirstLine::Delimiter(Delimiter(byte)));
            assert_eq!(FirstLine::read(text.as_bytes()).ok(), expected, "{text:?}");
        }
        for text in ["email;name\nsep=,;x", "sep,email\n", "", "#type\n", "żółć"] {
            assert_eq!(FirstLine::read(text.as_bytes()).expect("text"), FirstLine::Header, "{text:?}");
        }
        assert_eq!(FirstLine::read(&b"#TYPE System.String\r\n"[..]).expect("text"), FirstLine::Type);
    }
}
