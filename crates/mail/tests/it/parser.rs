//! Parser of Python's `email` package, which shares no code with the composer.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

const SCRIPT: &str = r#"
import base64, email, email.policy, json, sys
raw = sys.stdin.buffer.read()
mail = email.message_from_bytes(raw, policy=email.policy.default)

def part(p):
    if p.is_multipart():
        return {"type": p.get_content_type(), "parts": [part(q) for q in p.iter_parts()]}
    return {
        "type": p.get_content_type(), "charset": p.get_content_charset(), "encoding": p["content-transfer-encoding"],
        "filename": p.get_filename(), "disposition": p.get_content_disposition(), "id": p["content-id"],
        "text": p.get_content().replace("\r\n", "\n") if p.get_content_maintype() == "text" else None,
        "bytes": base64.b64encode(p.get_payload(decode=True)).decode(),
        "defects": [repr(d) for d in p.defects],
    }

def people(name):
    return [[a.display_name, a.addr_spec] for h in mail.get_all(name, []) for a in h.addresses]

json.dump({
    "headers": {k.lower(): str(v) for k, v in mail.items()},
    "names": [k for k in mail.keys()],
    "from": people("from"), "to": people("to"), "cc": people("cc"), "reply_to": people("reply-to"),
    "defects": [repr(d) for d in mail.defects] + [repr(d) for v in mail.values() for d in v.defects],
    "body": part(mail),
}, sys.stdout)
"#;

/// Parses a message; panics on any defect.
pub(crate) fn parse(message: &[u8]) -> Value {
    let mut python = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    python.stdin.take().expect("a pipe").write_all(message).expect("the message is read");
    let output = python.wait_with_output().expect("python3 ends");
    assert!(output.status.success(), "python3 failed on:\n{}", String::from_utf8_lossy(message));
    let parsed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(parsed["defects"], serde_json::json!([]), "{}", String::from_utf8_lossy(message));
    assert_is_transportable(message);
    parsed
}

/// Checks that a message is 7-bit with CRLF line ends and lines of at most 998 octets.
fn assert_is_transportable(message: &[u8]) {
    let text = std::str::from_utf8(message).expect("ASCII");
    assert!(text.is_ascii() && !text.contains('\0'), "{text}");
    assert!(text.ends_with("\r\n"), "{text}");
    for line in text.split("\r\n") {
        assert!(!line.contains(['\r', '\n']) && line.len() <= 998, "{line:?}");
    }
}
