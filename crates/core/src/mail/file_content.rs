//! The bytes of an attachment in JSON: base64 in the forms that programs write, a `data:` URL, a
//! buffer of Node.js, or text.

use base64::{
    DecodeError, Engine,
    alphabet::{Alphabet, STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use serde_json::Value;

use crate::{InvalidInput, bounds::quoted, json::wrong_form};

/// Forms of a content.
pub(super) const MAY_BE: &str = "base64, a data: URL, or any text with \"encoding\": \"utf8\"";

/// Encoding of a content that is a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Base64,
    Utf8,
}

/// A content, encoded for the stored form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileContent {
    pub(super) base64: String,
    /// MIME type that a `data:` URL names.
    pub(super) media_type: Option<String>,
}

impl Encoding {
    /// Returns the encoding of this name; base64 without one.
    pub(super) fn named(path: &str, name: Option<&Value>) -> Result<Self, InvalidInput> {
        let Some(name) = name.and_then(Value::as_str) else { return Ok(Self::Base64) };
        match &*name.to_ascii_lowercase() {
            "base64" | "base64url" => Ok(Self::Base64),
            "utf8" | "utf-8" | "text" => Ok(Self::Utf8),
            _ => Err(InvalidInput::new(path, format!("{} is not an encoding; it may be base64 or utf8", quoted(name)))),
        }
    }

    /// Reads a content.
    pub(super) fn read(self, path: &str, value: Value) -> Result<FileContent, InvalidInput> {
        let text = match value {
            Value::String(text) => text,
            Value::Object(object) if object.get("type").is_some_and(|kind| kind == "Buffer") => {
                return buffer(path, object.get("data"));
            }
            other => return Err(wrong_form(path, &other, MAY_BE)),
        };
        match (self, data_url(&text)) {
            (Self::Utf8, _) => Ok(FileContent::of(text.as_bytes())),
            (Self::Base64, Some(url)) => url.read(path),
            (Self::Base64, None) => {
                decode(&text).map(|bytes| FileContent::of(&bytes)).map_err(|why| refuse(path, &why))
            }
        }
    }
}

impl FileContent {
    fn of(bytes: &[u8]) -> Self {
        Self { base64: general_purpose::STANDARD.encode(bytes), media_type: None }
    }
}

fn refuse(path: &str, why: &str) -> InvalidInput {
    InvalidInput::new(path, format!("the content is not base64: {why}; it may be {MAY_BE}"))
}

/// Reads the JSON form of a Node.js buffer: `{"type": "Buffer", "data": [72, 105]}`.
fn buffer(path: &str, data: Option<&Value>) -> Result<FileContent, InvalidInput> {
    let byte = |number: &Value| number.as_u64().and_then(|number| u8::try_from(number).ok());
    let bytes: Option<Vec<u8>> = data.and_then(Value::as_array).and_then(|all| all.iter().map(byte).collect());
    let invalid = || InvalidInput::new(path, "the data of a Buffer may be a list of numbers from 0 to 255");
    bytes.map(|bytes| FileContent::of(&bytes)).ok_or_else(invalid)
}

/// A URL that contains a file (RFC 2397).
struct DataUrl<'a> {
    /// MIME type with its parameters, and `;base64`.
    head: &'a str,
    data: &'a str,
}

fn data_url(text: &str) -> Option<DataUrl<'_>> {
    let is_data = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    let (head, data) = text.get(5..).filter(|_| is_data)?.split_once(',')?;
    Some(DataUrl { head, data })
}

impl DataUrl<'_> {
    fn read(&self, path: &str) -> Result<FileContent, InvalidInput> {
        let Some((media_type, "base64")) = self.head.rsplit_once(';') else {
            let problem = "a data: URL may be data:TYPE;base64,CONTENT, such as data:text/plain;base64,SGk=";
            return Err(InvalidInput::new(path, problem));
        };
        let bytes = decode(self.data).map_err(|why| refuse(path, &why))?;
        let media_type = (!media_type.is_empty()).then(|| media_type.to_owned());
        Ok(FileContent { media_type, ..FileContent::of(&bytes) })
    }
}

/// Decodes base64 with line breaks, with or without padding, in the alphabet of MIME or of URLs.
/// Blanks are refused, as are lines of different lengths: such a text is not base64 but a sentence.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let text = unfolded(text.trim())?;
    let is_url_safe = text.contains(['-', '_']);
    if is_url_safe && text.contains(['+', '/']) {
        return Err("it has characters of two alphabets, + or / and - or _".to_owned());
    }
    let decoded = engine(if is_url_safe { &URL_SAFE } else { &STANDARD }).decode(&*text);
    decoded.map_err(|error| match error {
        DecodeError::InvalidByte(_, b'=') => "a = stands before its end".to_owned(),
        DecodeError::InvalidByte(at, _) => {
            let found = text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or_default();
            format!("it contains {found:?}")
        }
        DecodeError::InvalidLength(_) | DecodeError::InvalidLastSymbol(..) => "it seems to be cut off".to_owned(),
        DecodeError::InvalidPadding => "it has too many or too few = at its end".to_owned(),
    })
}

fn engine(alphabet: &Alphabet) -> GeneralPurpose {
    let either = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, either)
}

/// Joins lines of equal length; the last one may be shorter.
fn unfolded(text: &str) -> Result<std::borrow::Cow<'_, str>, String> {
    if !text.contains('\n') {
        return Ok(text.into());
    }
    let mut lines = text.lines().map(str::trim).peekable();
    let width = lines.peek().map_or(0, |line| line.len());
    let mut joined = String::with_capacity(text.len());
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        if line.len() > width || (line.len() < width && !is_last) {
            return Err("its lines have different lengths".to_owned());
        }
        joined.push_str(line);
    }
    Ok(joined.into())
}
