//! Error message for a file that is not UTF-8: what it is instead, and how to convert it.

use std::{
    io::{self, BufReader, Read},
    path::Path,
};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_8859_2, ISO_8859_7, ISO_8859_8, MACINTOSH, WINDOWS_1250, WINDOWS_1253, WINDOWS_1255};

use super::{line_count::LineCount, survey::NotUtf8};

/// Maximum number of bytes from which the encoding is guessed.
const SAMPLE: u64 = 1 << 20;

/// Formats that begin with these bytes and are often mistaken for a CSV.
const FORMATS: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "an Excel or OpenDocument workbook or a ZIP archive: save it as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls): save it as CSV UTF-8"),
    (b"\x1f\x8b", "compressed with gzip: use <(gunzip -c FILE)"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: use <(zstd -dc FILE)"),
    (b"%PDF", "a PDF: export its data as CSV UTF-8"),
    (b"SQLite format 3\0", "an SQLite database: export the table as CSV"),
];

/// Likely content of a file that is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
enum Guess {
    /// Another format.
    Format(&'static str),
    /// Text in another encoding.
    Encoding(TextEncoding),
    /// UTF-8 with some bytes that are not, and the first of them.
    Mixed(u8),
    /// UTF-16 that breaks off within a character.
    BrokenUtf16,
    /// Text with a NUL character.
    Nul,
}

#[derive(Debug, PartialEq, Eq)]
struct TextEncoding {
    name: &'static str,
    /// Name for `iconv`.
    iconv: String,
    /// First word that is not ASCII, decoded.
    word: Option<String>,
}

/// Describes the file that `open` opens, and its first fault. The text continues a sentence that
/// begins with the name of the file.
pub(super) fn describe<R: Read>(
    open: impl Fn() -> io::Result<R>,
    found: NotUtf8,
    path: Option<&Path>,
) -> io::Result<String> {
    let mut head = Vec::new();
    open()?.take(4_096).read_to_end(&mut head)?;
    let line = found.line;
    let sample = from_line(open()?, line)?;
    Ok(match guess(&head, &sample, found) {
        Guess::Format(format) => format!("is no text but {format}"),
        Guess::BrokenUtf16 => format!("is not valid UTF-16, line {line}: half of a character"),
        Guess::Nul => format!("has a NUL character, line {line}; remove it"),
        Guess::Mixed(byte) => {
            format!("is not UTF-8, line {line}: byte 0x{byte:02X}, while other text is UTF-8; write that line in UTF-8")
        }
        Guess::Encoding(TextEncoding { name, iconv, word }) => {
            let word = word.map(|word| format!(" (then this line has {word:?})")).unwrap_or_default();
            let command = command(&iconv, path);
            format!("is not UTF-8, line {line}: it is probably {name}{word}; convert it: {command}")
        }
    })
}

/// Returns the shell command that converts the file, or standard input.
fn command(iconv: &str, path: Option<&Path>) -> String {
    let Some(path) = path else { return format!("… | iconv -f {iconv} -t UTF-8 | postroom …") };
    let converted = match path.extension() {
        Some(extension) => path.with_extension(format!("utf8.{}", extension.display())),
        None => path.with_extension("utf8"),
    };
    format!("iconv -f {iconv} -t UTF-8 {} > {}", quoted(path), quoted(&converted))
}

/// Quotes a path for the shell if it needs that.
fn quoted(path: &Path) -> String {
    let name = path.display().to_string();
    let name = if name.starts_with('-') { format!("./{name}") } else { name };
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '@' | ',');
    if name.chars().all(is_plain) { name } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

/// Returns the bytes from the beginning of this line on.
fn from_line(input: impl Read, line: u64) -> io::Result<Vec<u8>> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut lines = LineCount::default();
    let mut byte = [0];
    while lines.line() < line && input.read(&mut byte)? > 0 {
        lines.add(&byte);
    }
    let mut sample = Vec::new();
    input.take(SAMPLE).read_to_end(&mut sample)?;
    Ok(sample)
}

fn guess(head: &[u8], sample: &[u8], found: NotUtf8) -> Guess {
    if let Some((_, format)) = FORMATS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Guess::Format(format);
    }
    if let Some(name) = unicode(head) {
        return Guess::Encoding(TextEncoding { name, iconv: name.to_owned(), word: None });
    }
    let bad = std::str::from_utf8(sample).err().and_then(|error| sample.get(error.valid_up_to()));
    match (head, bad) {
        _ if found.is_nul => Guess::Nul,
        ([0xff, 0xfe, ..] | [0xfe, 0xff, ..], _) | (_, None) => Guess::BrokenUtf16,
        (_, Some(byte)) if is_mostly_utf8(sample, found.characters_before) => Guess::Mixed(*byte),
        (_, Some(_)) => Guess::Encoding(legacy(sample)),
    }
}

/// Returns the form of Unicode that is not read: UTF-32, or UTF-16 without a byte order mark.
fn unicode(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return None,
        _ => {}
    }
    // Delimiters and line breaks are ASCII in every language: one of their two bytes is 0.
    let zeros = |first: usize| head.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    match (zeros(0), zeros(1)) {
        (0, odd) if odd > 1 + head.len() / 40 => Some("UTF-16LE"),
        (even, 0) if even > 1 + head.len() / 40 => Some("UTF-16BE"),
        _ => None,
    }
}

/// Returns true if most of what is not ASCII is UTF-8, which is hardly so by chance.
fn is_mostly_utf8(sample: &[u8], characters_before: usize) -> bool {
    let (mut valid, mut invalid) = (characters_before, 0);
    for chunk in sample.utf8_chunks() {
        valid += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        invalid += chunk.invalid().len();
    }
    valid > invalid
}

/// Returns the likely encoding of a text in which every byte above 127 is a character or a part of
/// one.
fn legacy(sample: &[u8]) -> TextEncoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(sample, true);
    let country = country(sample);
    let encoding = detector.guess(country.as_ref().map(|country| &country[..]), Utf8Detection::Deny);
    match before_windows(sample, encoding) {
        Some(BeforeWindows::MacRoman) if encoding.is_single_byte() => named(MACINTOSH, sample),
        Some(BeforeWindows::Dos) if encoding.is_single_byte() => dos(country),
        _ => named(on_windows(encoding, sample), sample),
    }
}

/// Returns the Windows code page if it gives the same text: most files come from there.
fn on_windows(encoding: &'static Encoding, sample: &[u8]) -> &'static Encoding {
    let pairs = [(ISO_8859_2, WINDOWS_1250), (ISO_8859_7, WINDOWS_1253), (ISO_8859_8, WINDOWS_1255)];
    let windows = pairs.iter().find(|(iso, _)| *iso == encoding).map(|(_, windows)| *windows);
    let text = |encoding: &'static Encoding| encoding.decode_without_bom_handling(sample).0;
    windows.filter(|windows| text(windows) == text(encoding)).unwrap_or(encoding)
}

fn named(encoding: &'static Encoding, sample: &[u8]) -> TextEncoding {
    let name = encoding.name();
    // glibc and libiconv name the same supersets otherwise.
    let iconv = match name {
        "Shift_JIS" => "CP932".to_owned(),
        "GBK" | "gb18030" => "GB18030".to_owned(),
        "EUC-KR" => "CP949".to_owned(),
        "windows-874" => "CP874".to_owned(),
        _ => name.to_ascii_uppercase(),
    };
    let name = if name == "macintosh" { "Mac Roman" } else { name };
    TextEncoding { name, iconv, word: first_word(&encoding.decode_without_bom_handling(sample).0) }
}

/// Code page of DOS, which Excel writes as "CSV (MS-DOS)".
fn dos(country: Option<[u8; 2]>) -> TextEncoding {
    let is_central = matches!(country.as_ref(), Some(b"pl" | b"cz" | b"sk" | b"hu" | b"hr" | b"si" | b"ro"));
    let (name, iconv) = if is_central { ("DOS code page 852", "CP852") } else { ("DOS code page 850", "CP850") };
    TextEncoding { name, iconv: iconv.to_owned(), word: None }
}

/// Encodings that keep all their letters where Windows has almost none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BeforeWindows {
    MacRoman,
    Dos,
}

/// Returns the encoding of a text in an old one, unless `encoding` explains it better.
fn before_windows(sample: &[u8], encoding: &'static Encoding) -> Option<BeforeWindows> {
    let count = |is_one: fn(&u8) -> bool| sample.iter().filter(|byte| is_one(byte)).count();
    let (low, high) = (count(|byte| (0x80..=0xa7).contains(byte)), count(|byte| *byte > 0xbf));
    if low == 0 || high * 4 > low {
        return None;
    }
    // ä é ö ü è ç ñ ß á à
    let mac = count(|byte| matches!(byte, 0x87 | 0x88 | 0x8a | 0x8d..=0x8f | 0x96 | 0x9a | 0x9f | 0xa7));
    // ü é ä ç ł ö á í ó ú ñ ą
    let dos = count(|byte| matches!(byte, 0x81 | 0x82 | 0x84 | 0x87 | 0x88 | 0x94 | 0xa0..=0xa5));
    // In Central Europe, Windows has Š Ś Ť Ž Ź and š ś ť ž ź there. Within a word they are small.
    let is_central = ["windows-1250", "windows-1257", "ISO-8859-2", "ISO-8859-4"].contains(&encoding.name());
    let has_capital_within =
        sample.windows(2).any(|pair| pair[0].is_ascii_lowercase() && (0x8a..=0x8f).contains(&pair[1]));
    match (mac, dos) {
        (0, 0) => None,
        (mac, dos) if mac <= dos => Some(BeforeWindows::Dos),
        _ if is_central && !has_capital_within => None,
        _ => Some(BeforeWindows::MacRoman),
    }
}

/// Returns the country that most addresses of the sample are in.
fn country(sample: &[u8]) -> Option<[u8; 2]> {
    let mut found: Vec<([u8; 2], usize)> = Vec::new();
    for at in memchr::memchr_iter(b'@', sample) {
        let domain = sample[at + 1..].iter().take(255);
        let domain: Vec<u8> =
            domain.take_while(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(byte)).copied().collect();
        let Some(&[a, b]) = domain.rsplit(|byte| *byte == b'.').next().filter(|label| label.len() < domain.len())
        else {
            continue;
        };
        let label = [a.to_ascii_lowercase(), b.to_ascii_lowercase()];
        match found.iter_mut().find(|(other, _)| *other == label) {
            Some((_, count)) => *count += 1,
            None => found.push((label, 1)),
        }
    }
    found.into_iter().max_by_key(|(_, count)| *count).map(|(label, _)| label)
}

/// Returns the first word with a character that is not ASCII.
fn first_word(text: &str) -> Option<String> {
    let is_in_word = |c: char| c.is_alphanumeric() || !c.is_ascii();
    let word = text.split(|c| !is_in_word(c)).find(|word| !word.is_ascii())?;
    Some(word.chars().take(30).collect())
}

#[cfg(test)]
mod tests {
    use encoding_rs as e;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], line: u64, expected: &str) {
        let found = describe(
            || Ok(bytes),
            NotUtf8 { line, characters_before: 0, is_nul: bytes.contains(&0) },
            Some(Path::new("people.csv")),
        )
        .expect("memory");
        assert_eq!(found, expected);
    }

    #[test]
    fn legacy_encodings_are_guessed() {
        for (text, encoding, name, iconv, word) in [
            ("ann@firma.pl;Żółć;Kraków\n", e::WINDOWS_1250, "windows-1250", "WINDOWS-1250", "Żółć"),
            ("ann@firma.pl;Paweł Gąsior;Świętochłowice\n", e::WINDOWS_1250, "windows-1250", "WINDOWS-1250", "Paweł"),
            ("ann@firma.pl;Paweł Gąsior;Świętochłowice\n", e::ISO_8859_2, "ISO-8859-2", "ISO-8859-2", "Paweł"),
            ("jan@firma.cz;Jiří Dvořák;Žižkov\n", e::WINDOWS_1250, "windows-1250", "WINDOWS-1250", "Jiří"),
            (
                "jan@firma.com;Jiří Dvořák;Plzeň, Šumavská ulice\n",
                e::WINDOWS_1250,
                "windows-1250",
                "WINDOWS-1250",
                "Jiří",
            ),
            ("j@firma.de;Jürgen Müller;Straße\n", e::WINDOWS_1252, "windows-1252", "WINDOWS-1252", "Jürgen"),
            ("j@example.org;Jürgen\n", e::WINDOWS_1252, "windows-1252", "WINDOWS-1252", "Jürgen"),
            ("h@example.fr;Hélène Lefèvre;Besançon\n", e::WINDOWS_1252, "windows-1252", "WINDOWS-1252", "Hélène"),
            ("i@example.tr;İpek Ağaoğlu;Şişli\n", e::WINDOWS_1254, "windows-1254", "WINDOWS-1254", "İpek"),
            ("i@example.ru;Иван Петров;Москва\n", e::WINDOWS_1251, "windows-1251", "WINDOWS-1251", "Иван"),
            ("i@example.ru;Иван Петров;Москва\n", e::KOI8_U, "KOI8-U", "KOI8-U", "Иван"),
            ("g@example.gr;Γιώργος Παπαδόπουλος;Αθήνα\n", e::WINDOWS_1253, "windows-1253", "WINDOWS-1253", "Γιώργος"),
            ("t@example.jp;山田太郎;東京都千代田区\n", e::SHIFT_JIS, "Shift_JIS", "CP932", "山田太郎"),
            ("t@example.jp;山田太郎;東京都千代田区\n", e::EUC_JP, "EUC-JP", "EUC-JP", "山田太郎"),
            ("l@example.cn;李雷;北京市朝阳区\n", e::GBK, "GBK", "GB18030", "李雷"),
            ("k@example.kr;김철수;서울특별시\n", e::EUC_KR, "EUC-KR", "CP949", "김철수"),
            ("l@example.tw;王小明;臺北市信義區\n", e::BIG5, "Big5", "BIG5", "王小明"),
            ("d@example.il;דוד כהן;תל אביב\n", e::WINDOWS_1255, "windows-1255", "WINDOWS-1255", "דוד"),
            ("j@firma.de;Jürgen Müller;Straße\n", e::MACINTOSH, "Mac Roman", "MACINTOSH", "Jürgen"),
            ("h@example.fr;Hélène Lefèvre;Besançon\n", e::MACINTOSH, "Mac Roman", "MACINTOSH", "Hélène"),
        ] {
            let bytes = [b"email;name;city\nx@y.z;X;Y\n", &encoding.encode(text).0[..]].concat();
            let expected = format!(
                "is not UTF-8, line 3: it is probably {name} (then this line has {word:?}); \
                 convert it: iconv -f {iconv} -t UTF-8 people.csv > people.utf8.csv"
            );
            check(&bytes, 3, &expected);
        }
    }

    #[test]
    fn dos_code_pages_are_guessed() {
        // Excel's "CSV (MS-DOS)", in German and Polish.
        for (bytes, page) in [
            (&b"j@firma.de;J\x81rgen M\x81ller;K\x94ln\n"[..], "850"),
            (b"p@firma.pl;Pawe\x88 G\xa5sior;Krak\xa2w\n", "852"),
        ] {
            let expected = format!(
                "is not UTF-8, line 1: it is probably DOS code page {page}; \
                 convert it: iconv -f CP{page} -t UTF-8 people.csv > people.utf8.csv"
            );
            check(bytes, 1, &expected);
        }
    }

    #[test]
    fn other_forms_of_unicode_are_named() {
        let utf16 =
            |bytes: fn(u16) -> [u8; 2]| "email\nżółć@例え.jp\n".encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        let chinese: Vec<u8> =
            "邮箱地址,姓名地址\n邮箱地址,姓名地址\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf32: Vec<u8> = "\u{feff}email".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for (bytes, name) in [
            (utf16(u16::to_le_bytes), "UTF-16LE"),
            (utf16(u16::to_be_bytes), "UTF-16BE"),
            (chinese, "UTF-16LE"),
            (utf32, "UTF-32"),
        ] {
            let expected = format!(
                "is not UTF-8, line 1: it is probably {name}; \
                 convert it: iconv -f {name} -t UTF-8 people.csv > people.utf8.csv"
            );
            check(&bytes, 1, &expected);
        }
    }

    #[test]
    fn faults_that_no_conversion_mends() {
        check(
            b"PK\x03\x04\x14\0\x06\0",
            1,
            "is no text but an Excel or OpenDocument workbook or a ZIP archive: save it as CSV UTF-8",
        );
        check(b"email\na\0b\n", 2, "has a NUL character, line 2; remove it");
        check(b"\xff\xfea\0\0\0", 1, "has a NUL character, line 1; remove it");
        let found = NotUtf8 { line: 1, characters_before: 0, is_nul: false };
        let found = describe(|| Ok(&b"\xff\xfea\0b"[..]), found, None).expect("memory");
        assert_eq!(found, "is not valid UTF-16, line 1: half of a character");
        let mixed = "is not UTF-8, line 2: byte 0xFC, while other text is UTF-8; write that line in UTF-8";
        check(b"email\nJ\xfcrgen\nJ\xc3\xbcrgen M\xc3\xbcller", 2, mixed);
        let found = NotUtf8 { line: 2, characters_before: 2, is_nul: false };
        let found = describe(|| Ok(&b"\xc3\xbc\xc3\xbc\nJ\xfcrgen"[..]), found, None).expect("memory");
        assert_eq!(found, mixed);
    }

    #[test]
    fn the_command_fits_the_source() {
        let command = |path| command("CP1252", path);
        assert_eq!(command(None), "… | iconv -f CP1252 -t UTF-8 | postroom …");
        for (path, words) in [
            ("people", "people > people.utf8"),
            ("a/people.txt", "a/people.txt > a/people.utf8.txt"),
            ("my people.csv", "'my people.csv' > 'my people.utf8.csv'"),
            ("Ann's.csv", "'Ann'\\''s.csv' > 'Ann'\\''s.utf8.csv'"),
            ("-x.csv", "./-x.csv > ./-x.utf8.csv"),
        ] {
            assert_eq!(command(Some(Path::new(path))), format!("iconv -f CP1252 -t UTF-8 {words}"));
        }
    }
}
