//! Generator of hostile mails; the same seed gives the same mails.

use base64::{Engine, engine::general_purpose::STANDARD};
use fastrand::Rng;
use serde_json::{Map, Value, json};

/// Generates mails as JSON. Most have something unusual, and about half of them can be sent.
#[derive(Debug)]
pub struct HostileMails(Rng);

/// Paths and contents of templates that fail in different ways.
pub const TEMPLATES: [(&str, &str); 9] = [
    ("greeting/subject.txt", "{{ name }}, hello"),
    ("greeting/body.txt", "Dear {{ name }},\n\n{{ text }}\n"),
    ("greeting/body.html", "<p>Dear {{ name }}</p><p>{{ text }}</p>\n"),
    ("page/subject.txt", "A page for {{ name }}"),
    ("page/body.html", "<html><body><h1>{{ name }}</h1><p>{{ text }}</p></body></html>"),
    ("list/subject.txt", "{% for item in items %}{{ item }} {% endfor %}"),
    ("list/body.txt", "{% for item in items %}- {{ item }}\n{% endfor %}"),
    ("strict/subject.txt", "{{ title }}"),
    ("strict/body.txt", "{{ name.first }} {{ text | upper }}"),
];

/// Returns the number of mails to try: `HOSTILE_MAILS`, or else `default`.
pub fn mail_count(default: usize) -> usize {
    let requested = std::env::var("HOSTILE_MAILS").ok();
    requested.map_or(default, |number| number.parse().expect("HOSTILE_MAILS is a number"))
}

const WORDS: [&str; 34] = [
    "word",
    "Ann",
    "a",
    " ",
    "  ",
    "żółć",
    "李雷",
    "🎉",
    "👩‍👩‍👧",
    "דוד",
    "e\u{301}",
    "\u{202e}",
    "\u{200b}",
    "\u{feff}",
    "\u{2028}",
    "\u{fffd}",
    "\u{10ffff}",
    "=?utf-8?q?x?=",
    "=?",
    "?=",
    "{{ name }}",
    "{% raw %}",
    "<b>",
    "&amp;",
    "\"",
    "\\",
    "'",
    ",",
    ";",
    "(comment)",
    "@",
    ".",
    "%0d%0a",
    "=3D",
];
const BREAKS: [&str; 12] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\t",
    "\u{1}",
    "\u{7f}",
    "\u{85}",
    "\u{9b}",
    "\u{b}",
    "\r\nBcc: evil@example.org",
    "\x1b[",
];
const HEADERS: [&str; 22] = [
    "Sender",
    "Resent-To",
    "Disposition-Notification-To",
    "List-Id",
    "List-Help",
    "Feedback-ID",
    "X-SMTPAPI",
    "Comments",
    "X-A",
    "x-a",
    "List-Unsubscribe",
    "References",
    "In-Reply-To",
    "Auto-Submitted",
    "Precedence",
    "X-Ż",
    "X A",
    "X:A",
    "Subject",
    "bcc",
    "Content-Type",
    "",
];
const TYPES: [&str; 16] = [
    "application/pdf",
    "text/plain; charset=utf-8",
    "text/calendar; method=REQUEST",
    "image/svg+xml",
    "nonsense",
    "/",
    "a/",
    "multipart/mixed",
    "text/plain; name=\"a\\\"b\"",
    "text/plain; name=\"a",
    "text/plain;",
    "message/rfc822",
    "a/b/c",
    "text/plain\r\nX: y",
    "text/ż",
    " text/html ",
];
const IDS: [&str; 9] = ["logo", "<logo@example.org>", "a b", "", "<>", "x>y", "ż", "a\nb", " logo "];
const TEMPLATE_NAMES: [&str; 7] = ["greeting", "greeting", "page", "list", "strict", "missing", ""];

impl HostileMails {
    /// Creates a generator.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// Returns true with a probability of 1 in `number`.
    pub fn one_in(&mut self, number: u32) -> bool {
        self.0.u32(..number) == 0
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.0.usize(..words.len())]
    }

    /// Returns a number of at most `usual`; once in `seldom` calls, one within 2 of `bound`.
    pub fn about(&mut self, usual: usize, bound: usize, seldom: u32) -> usize {
        if self.one_in(seldom) { bound - 2 + self.0.usize(..5) } else { self.0.usize(..=usual) }
    }

    /// Returns a line of text. Some lines are near the maximum length `bound`, some contain a
    /// control character.
    pub fn line(&mut self, bound: usize) -> String {
        let octets = self.about(30, bound, 25);
        let mut line = self.text(octets);
        if self.one_in(40) {
            let at = (0..=self.0.usize(..=line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
            line.insert_str(at, self.one_of(&BREAKS));
        }
        line
    }

    /// Returns this number of octets of unusual words.
    fn text(&mut self, octets: usize) -> String {
        let mut text = String::new();
        let plain = self.one_in(3);
        while text.len() < octets {
            let word = if plain { "word " } else { self.one_of(&WORDS) };
            text.push_str(if text.len() + word.len() <= octets { word } else { "x" });
        }
        text
    }

    /// Returns an address; every fifth one is unusual.
    pub fn address(&mut self) -> String {
        if !self.one_in(5) {
            return format!("user{}@example.org", self.0.u32(..));
        }
        let number = self.0.u16(..);
        let (local, domain) = (self.about(20, 64, 3).max(1), self.about(20, 189, 3).max(1));
        let labels = "d.".repeat(domain / 2) + "d";
        match self.0.u8(..20) {
            0 => format!("{}@example.org", "l".repeat(local)),
            1 => format!("{}@{labels}", "l".repeat(local)),
            2 => format!("{}@{}.org", "l".repeat(64), "d".repeat(domain.min(70))),
            3 => format!("użytkownik{number}@example.org"),
            4 => format!("{}@example.org", "ż".repeat(self.about(10, 32, 2).max(1))),
            5 => format!("a{number}@żółw.pl"),
            6 => format!("a{number}@{}.pl", "ż".repeat(self.about(10, 30, 2).max(1))),
            7 => "a@xn--a".to_owned(),
            8 => format!("a{number}@xn--w-uga1v8h.pl"),
            9 => "\"a b\"@example.org".to_owned(),
            10 => "a@[127.0.0.1]".to_owned(),
            11 => format!("a{number}@example.org."),
            12 => format!("{}@example.org", self.line(20)),
            13 => format!("a@{}", self.line(20)),
            14 => format!("a{number}@EXAMPLE.org"),
            15 => "a..b@example.org".to_owned(),
            16 => format!("o'brien+{number}=x/y@example.org"),
            17 => format!("a{number}@a_b.example"),
            18 => format!("\u{feff}a{number}@\u{200d}example.org"),
            _ => format!("🎉{number}@🎉.example"),
        }
    }

    fn mailbox(&mut self) -> String {
        let address = self.address();
        match self.0.u8(..6) {
            0 => format!("{} <{address}>", self.line(255)),
            1 => format!("\"{}\" <{address}>", self.line(255).replace('\\', "\\\\").replace('"', "\\\"")),
            2 => format!("<{address}>"),
            _ => address,
        }
    }

    /// Returns addresses: mostly one, sometimes enough to fill a line, seldom about `bound`.
    fn list(&mut self, bound: usize) -> Value {
        let number = match self.0.u32(..4_000) {
            0 => bound - 1 + self.0.usize(..3),
            1..=40 => 40 + self.0.usize(..60),
            41..=1_000 => 2 + self.0.usize(..4),
            1_001..=1_020 => 0,
            _ => return json!(self.mailbox()),
        };
        let is_simple = number > 10;
        let mut one = || if is_simple { format!("user{}@example.org", self.0.u32(..)) } else { self.mailbox() };
        (0..number).map(|_| one()).collect()
    }

    fn headers(&mut self) -> Value {
        let mut headers = Map::new();
        for at in 0..self.about(3, 100, 1_500) {
            let name = match self.0.u8(..40) {
                0..4 => self.one_of(&HEADERS).to_owned(),
                4 => "X".repeat(self.about(40, 76, 2)),
                _ => format!("X-Header-{at}"),
            };
            let is_structured = !name.starts_with("X-Header") && !self.one_in(5);
            let value = match is_structured {
                _ if self.one_in(200) => json!(1),
                true => json!(self.structured()),
                false => json!(self.line(998)),
            };
            headers.insert(name, value);
        }
        Value::Object(headers)
    }

    /// Returns the value of a structured header, which may suit its name.
    fn structured(&mut self) -> String {
        match self.0.u8(..5) {
            0 => (0..=self.0.usize(..3)).map(|_| self.mailbox()).collect::<Vec<_>>().join(", "),
            1 => format!("<https://example.org/{}>", self.line(970).replace(['<', '>'], "")),
            2 => format!("<https://żółw.pl/u?x={}>,<mailto:u@example.org>", self.line(20).replace(['<', '>'], "")),
            3 => (0..=self.0.usize(..20)).map(|n| format!("<{n}@example.org>")).collect::<Vec<_>>().join(" "),
            _ => "word ".repeat(self.about(30, 199, 5)),
        }
    }

    fn files(&mut self) -> Value {
        let number = self.about(2, 200, 2_000);
        (0..number).map(|_| self.file(number < 10)).collect()
    }

    fn file(&mut self, is_unusual: bool) -> Value {
        let mut file = json!({"filename": "a.pdf", "content": STANDARD.encode("x")});
        if !is_unusual {
            return file;
        }
        file["filename"] = json!(self.line(255));
        if self.one_in(3) {
            file["content_type"] = json!(self.one_of(&TYPES));
        }
        if self.one_in(10) {
            let text = self.text(60);
            file["content"] = json!(STANDARD.encode(format!("BEGIN:VCALENDAR\nMETHOD:REQUEST\n{text}\n")));
        }
        if self.one_in(3) {
            file["content_id"] = json!(self.one_of(&IDS));
        }
        match self.0.u32(..200) {
            0 => file["content"] = json!("no base64"),
            1 => file["content"] = json!(format!("sha256:{}:7", "0".repeat(64))),
            2 => file["content"] = json!(STANDARD.encode(vec![7; self.0.usize(..220_000)])),
            _ => {}
        }
        file
    }

    /// Returns a body. Some bodies are about as large, once encoded, as a message may be.
    fn body(&mut self) -> Value {
        let piece = self.one_of(&["=", "ż", "\n", "a", " \n", "李", "\u{1}", ".\r\n", "long words of text\n", "é="]);
        match self.0.u32(..300) {
            0 => json!({"content": format!("sha256:{}:7", "0".repeat(64))}),
            1 => json!(piece.repeat(self.0.usize(40_000..200_000) / piece.len())),
            _ => {
                let octets = self.0.usize(..300);
                json!(format!("{piece}{}", self.text(octets)))
            }
        }
    }

    /// Returns the value of a template variable.
    pub fn variable(&mut self) -> Value {
        match self.0.u32(..300) {
            0 => json!(1),
            1 => json!(["a", 2, null]),
            2 => json!({"first": "Ann"}),
            3..10 => {
                let levels = self.about(5, 100, 2);
                (0..levels).fold(json!("deep"), |inner, _| json!([inner]))
            }
            10 => (0..126).fold(json!(1), |inner, _| json!({"x": inner})),
            11 => json!(u64::MAX),
            12 => json!(-0.0),
            _ => json!(self.line(998)),
        }
    }

    fn variables(&mut self) -> Value {
        let mut vars = json!({"name": self.variable(), "text": self.variable()});
        if self.one_in(2) {
            vars["items"] = (0..self.0.usize(..5)).map(|_| self.variable()).collect();
        }
        if self.one_in(2) {
            vars["title"] = self.variable();
            vars["name"] = json!({"first": self.variable()});
        }
        vars
    }

    /// Returns a complete mail in the format of a row of JSON lines.
    pub fn mail(&mut self) -> Value {
        let mut mail = json!({"to": self.list(1_000)});
        if self.one_in(3) {
            mail["template"] = json!(self.one_of(&TEMPLATE_NAMES));
            mail["vars"] = self.variables();
        }
        if mail.get("template").is_none() || self.one_in(10) {
            mail["subject"] = json!(self.line(998));
        }
        if mail.get("template").is_none() || self.one_in(60) {
            let name = if self.one_in(4) { "html" } else { "text" };
            mail[name] = self.body();
        }
        if self.one_in(4) {
            mail["headers"] = self.headers();
        }
        if self.one_in(4) {
            mail["attachments"] = self.files();
        }
        for (name, bound) in [("cc", 1_000), ("bcc", 1_000), ("reply_to", 100)] {
            if self.one_in(10) {
                mail[name] = self.list(bound);
            }
        }
        if self.one_in(10) {
            mail["from"] = json!(self.mailbox());
        }
        if self.one_in(200) {
            mail["too"] = json!("much");
        }
        mail
    }
}
