//! Inlining in templates as people and tools write them. Whatever they contain, nothing but `style`
//! attributes is added.

use postroom_mail::Templates;
use serde_json::{Map, Value, json};

use crate::templates::folder;

/// Pages with a place for content, and their names.
const PAGES: [(&str, &str); 5] = [
    ("cerberus", include_str!("pages/cerberus.html")),
    ("mjml", include_str!("pages/mjml.html")),
    ("old", include_str!("pages/old.html")),
    ("hybrid", include_str!("pages/hybrid.html")),
    ("fragment", include_str!("pages/fragment.html")),
];
const CONTENTS: &str = include_str!("pages/contents.txt");

/// Folder to which the pages are written, before and after inlining, for a look at them in a
/// browser.
const KEEP: &str = "POSTROOM_KEEP_PAGES";

fn vars() -> Map<String, Value> {
    let vars = json!({
        "rows": [{"name": "Tea & <b>", "price": "1"}, {"name": "O'Brien", "price": "2"}, {"name": "李", "price": "3"}],
        "vip": true, "name": "Ann", "url": "https://example.org/?a=1&b=2", "style": "color: green", "color": "blue",
        "tag": "div", "level": 3,
    });
    vars.as_object().expect("an object").clone()
}

/// All pages with all contents.
fn sources() -> Vec<(String, String)> {
    let contents = CONTENTS.split("\n=====\n").enumerate();
    let sources = contents.flat_map(|(number, content)| {
        PAGES.map(|(name, page)| (format!("{name}-{number}"), page.replace("@CONTENT@", content)))
    });
    sources.collect()
}

/// The source as tera renders it.
fn plain(source: &str) -> String {
    let mut tera = tera::Tera::default();
    tera.add_raw_template("t.html", source).expect("sound");
    tera.render("t.html", &tera::Context::from_serialize(&vars()).expect("a context")).expect("rendered")
}

fn inlined(source: &str) -> String {
    let folder = folder(&[("t/subject.txt", "s"), ("t/body.html", source)]);
    let templates = Templates::load(folder.path()).expect("loaded");
    let not_inlined = templates.warnings().into_iter().find(|warning| warning.contains("not inlined"));
    assert_eq!(not_inlined, None);
    templates.render("t", &vars(), None).expect("rendered").html.expect("HTML")
}

/// Whether a text was only added to: its characters are all there, in their order.
fn is_only_added_to(before: &str, after: &str) -> bool {
    let mut rest = after.chars();
    before.chars().all(|wanted| rest.any(|c| c == wanted))
}

/// Text without `style` attributes of tags.
fn without_styles(html: &str) -> String {
    let (mut kept, mut rest) = (String::new(), html);
    while let Some((before, after)) = rest.split_once(" style=") {
        kept.push_str(before);
        rest = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).expect("the end of an attribute").1,
            _ => after.trim_start_matches(|c: char| !c.is_whitespace() && c != '>'),
        };
    }
    kept + rest
}

#[test]
fn without_the_added_styles_each_page_is_its_source() {
    let sources = sources();
    assert_eq!(sources.len(), 40);
    for (name, source) in sources {
        let (before, after) = (plain(&source), inlined(&source));
        keep(&name, &before, &after);
        assert_eq!(without_styles(&after), without_styles(&before), "{name}");
        assert!(is_only_added_to(&before, &after), "{name}: something was removed");
        let number = after.matches(" style=").count() - before.matches(" style=").count();
        assert!(number >= 2, "{name}: {number} attributes were added");
    }
}

fn keep(name: &str, before: &str, after: &str) {
    if let Some(folder) = std::env::var_os(KEEP) {
        let folder = std::path::PathBuf::from(folder);
        for (kind, html) in [("before", before), ("after", after)] {
            std::fs::write(folder.join(format!("{name}.{kind}.html")), html).expect("written");
        }
    }
}
