//! Random HTML: its text is bounded, and has all that is displayed and nothing else.

use std::fmt::Write;

use postroom_mail::Rendered;
use postroom_testkit::fuzz::{Case, Fuzz};

const SEEDS: [&str; 8] = [
    "<p>Hello <a href=\"https://example.org/?a=1&amp;b=2\">there</a></p><ul><li>one<li>two<ol start=3><li>x</ol></ul>",
    "<table><tr><td style=\"font-size:0px\"><div style=\"font-size:13px\">a</div><td>b<tr hidden><td>c</table>d",
    "<div style='display:none;max-height:0;overflow:hidden;mso-hide:all'>x<p>y</div><span style='visibility:hidden'>z",
    "<blockquote>q<pre>a  b\n c</pre><h1>t</h1><hr><dl><dt>t<dd>d</dl></blockquote><img alt='i'>",
    "<!DOCTYPE html><html><head><style>p{a:b}</style><title>t</title></head><body><!--[if mso]><p><![endif]-->x",
    "&nbsp;&zwnj;&shy;&#8203;&#847;&#x17c;&notanentity;&amp <3 < b",
    "<b><i>a</b>b</i><a href=x>c<a href=y>d</a></a><p>e<p>f</p></p></div></td>",
    "\u{6b22}\u{8fce} \u{1f469}\u{200d}\u{1f680} \u{645}\u{6cc}\u{200c}\u{62e}<svg><text>x</text></svg>\
        <textarea>y</textarea>",
];

const TOKENS: [&str; 22] = [
    "<div>",
    "</div>",
    "<p>",
    "</p>",
    "<td>",
    "</table>",
    "<table>",
    "<li>",
    "<ul>",
    "</ul>",
    "<a href='u'>",
    "</a>",
    "<pre>",
    "<br>",
    " hidden",
    " style='font-size:0'",
    " style='font-size:9px'",
    "<!--",
    "-->",
    "&",
    "\"",
    ">",
];

#[test]
fn text_of_html_is_bounded() {
    Fuzz::target("html").seeds(SEEDS).tokens(&TOKENS).run(|case: &mut Case<'_>| {
        let html = case.text();
        let text = text_of(&html);
        assert!(text.len() <= 50 * html.len() + 100, "{} bytes of {}", text.len(), html.len());
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        for line in text.lines() {
            assert_eq!(line.trim_end(), line);
            assert!(!line.contains(|c: char| c.is_control() && c != '\t'), "{line:?}");
        }
        assert_eq!(text_of(&html), text);
    });
}

#[test]
fn text_has_what_is_displayed() {
    Fuzz::target("html-visibility").run(|case: &mut Case<'_>| {
        let mut document = RandomDocument::default();
        document.elements(case, 0, Shown { removed: false, invisible: false, tiny: false });
        let text = text_of(&document.html);
        let words: Vec<&str> =
            text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| w.starts_with('v')).collect();
        assert_eq!(words, document.shown, "{}\n{text}", document.html);
        assert!(!text.contains("hid"), "{}\n{text}", document.html);
    });
}

fn text_of(html: &str) -> String {
    Rendered::literal("s", None, Some(html)).text
}

/// Visibility, by the words of CSS.
#[derive(Clone, Copy)]
struct Shown {
    removed: bool,
    invisible: bool,
    tiny: bool,
}

/// Effect of an attribute.
type Effect = fn(&mut Shown);

/// Document with the words that it displays.
#[derive(Default)]
struct RandomDocument {
    html: String,
    shown: Vec<String>,
    words: usize,
}

impl RandomDocument {
    fn elements(&mut self, case: &mut Case<'_>, depth: usize, around: Shown) {
        for _ in 0..1 + case.below(3) {
            self.word(around);
            if depth < 6 && !case.one_in(3) {
                self.element(case, depth, around);
            }
        }
    }

    fn word(&mut self, around: Shown) {
        self.words += 1;
        if around.removed || around.invisible || around.tiny {
            let _ = write!(self.html, " hid{} ", self.words);
        } else {
            let _ = write!(self.html, " v{} ", self.words);
            self.shown.push(format!("v{}", self.words));
        }
    }

    fn element(&mut self, case: &mut Case<'_>, depth: usize, around: Shown) {
        let (open, close) = *case.pick(&[
            ("<div@>", "</div>"),
            ("<span@>", "</span>"),
            ("<table><tr><td@>", "</td></tr></table>"),
            ("<table><tr@><td>", "</table>"),
            ("<ul><li@>", "</ul>"),
            ("<ol@><li>", "</li></ol>"),
            ("<em@>", "</em>"),
            ("<b@><i>", "</i></b>"),
            ("<section@><div>", "</section>"),
            ("<blockquote@>", "</blockquote>"),
        ]);
        let mut own = around;
        let effects: [(&str, Effect); 12] = [
            ("", |_| ()),
            ("", |_| ()),
            (" class='x' style='color:red'", |_| ()),
            (" style='display:none'", |shown| shown.removed = true),
            (" style=\"DISPLAY : none !important; color:red\"", |shown| shown.removed = true),
            (" hidden", |shown| shown.removed = true),
            (" style='font-size:0px'", |shown| shown.tiny = true),
            (" style='font-size:12px'", |shown| shown.tiny = false),
            (" style='visibility:hidden'", |shown| shown.invisible = true),
            (" style='visibility:visible'", |shown| shown.invisible = false),
            (" style='max-height:0;overflow:hidden'", |shown| shown.removed = true),
            (" style='opacity:0'", |shown| shown.removed = true),
        ];
        let (attribute, apply) = *case.pick(&effects);
        apply(&mut own);
        self.html.push_str(&open.replace('@', attribute));
        self.elements(case, depth + 1, own);
        self.html.push_str(close);
    }
}
