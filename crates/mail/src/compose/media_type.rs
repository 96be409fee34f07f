//! MIME types by file name, for attachments without one.

/// Common types in mail. Other files are sent as application/octet-stream; mail programs then use
/// the name. That includes `.eml`: as message/rfc822 the line ends of the file could change.
const TYPES: [(&str, &str); 35] = [
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("epub", "application/epub+zip"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("heic", "image/heic"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ics", "text/calendar"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("m4a", "audio/mp4"),
    ("md", "text/markdown"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("rtf", "application/rtf"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("vcf", "text/vcard"),
    ("webp", "image/webp"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// Returns the MIME type for a file name.
pub(super) fn guess(filename: &str) -> &'static str {
    let ext = filename.rsplit_once('.').map_or("", |(_, ext)| ext);
    let known = TYPES.iter().find(|(known, _)| ext.eq_ignore_ascii_case(known));
    known.map_or("application/octet-stream", |(_, media_type)| media_type)
}

#[cfg(test)]
mod tests {
    use super::guess;

    #[test]
    fn the_last_extension_decides() {
        for (name, media_type) in [
            ("Faktura żółta.PDF", "application/pdf"),
            ("a.tar.gz", "application/gzip"),
            ("mail.eml", "application/octet-stream"),
            ("noending", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(guess(name), media_type, "{name}");
        }
    }
}
