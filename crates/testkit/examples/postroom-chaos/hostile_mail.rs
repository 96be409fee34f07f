//! Mails and templates that need unbounded time, memory or stack.

use serde_json::{Value, json};

/// Mail whose content is expensive to render.
#[derive(Debug)]
pub(crate) struct HostileMail {
    pub(crate) name: &'static str,
    /// All fields except the recipient.
    pub(crate) mail: Value,
    /// HTML of the template named `name`.
    pub(crate) template: Option<String>,
}

/// Returns all hostile mails, of at most `most` bytes each.
pub(crate) fn all(most: usize) -> Vec<HostileMail> {
    html(most).into_iter().chain(templates(most)).collect()
}

/// Returns the mails whose rendering ends only at a limit.
pub(crate) fn endless() -> Vec<HostileMail> {
    let is_endless = |hostile: &HostileMail| hostile.name.starts_with("loops") || hostile.name.starts_with("search");
    templates(1 << 20).into_iter().filter(is_endless).collect()
}

fn html(most: usize) -> Vec<HostileMail> {
    let (large, middle) = (most, most / 8);
    let nested = |size: usize, open: &str, close: &str| {
        let number = size / (open.len() + close.len());
        format!("{}x{}", open.repeat(number), close.repeat(number))
    };
    let filled = |size: usize, piece: &str| piece.repeat(size / piece.len());
    let numbered = |size: usize, piece: &dyn Fn(usize) -> String| (0..size / piece(size).len()).map(piece).collect();
    let attributes: String = numbered(middle, &|n| format!(" a{n}=b"));
    let shapes: Vec<(&'static str, String)> = vec![
        ("div in div", nested(large, "<div>", "</div>")),
        ("list of terms", format!("<dl>{}</dl>", filled(middle, "<dt>a<dd>b"))),
        ("terms in terms", nested(middle, "<dl><dt>x<dd>", "</dd></dl>")),
        ("never closed", filled(middle, "<div>")),
        ("only closed", filled(middle, "</p>")),
        ("lists in lists", nested(middle, "<ul><li>", "</li></ul>")),
        ("a list", filled(middle, "<li>item")),
        ("tables in tables", nested(middle, "<table><tr><td>", "</td></tr></table>")),
        ("a wide table", format!("<table><tr>{}", filled(middle, "<td>x"))),
        ("a long table", format!("<table>{}", filled(large / 2, "<tr><td>x"))),
        ("quotes in quotes", nested(middle, "<blockquote>", "</blockquote>")),
        ("bold in bold", nested(middle, "<b>", "</b>")),
        ("misnested", filled(middle, "<b><i></b><p></i>")),
        ("fonts", numbered(middle, &|n| format!("<font color={n}><p>x"))),
        ("links", numbered(middle, &|n| format!("<a href=http://e.example/{n}>x</a> "))),
        ("attributes", format!("<p{attributes}>x</p>")),
        ("attributes after a comment", format!("<!-- --!><p{attributes}>x</p>")),
        ("names", numbered(middle, &|n| format!("<x{n}>y</x{n}>"))),
        ("one word", filled(large / 2, "x")),
        ("one word in pieces", filled(middle, "x<b></b>")),
        ("spaces", filled(middle, " ")),
        ("angles", filled(middle, "<")),
        ("comments", filled(middle, "<!---->")),
        ("scripts", filled(middle, "<script>")),
        ("hidden in hidden", nested(middle, "<div hidden>", "</div>")),
    ];
    let mail = |(name, html)| HostileMail { name, mail: json!({"subject": name, "html": html}), template: None };
    shapes.into_iter().map(mail).collect()
}

fn templates(most: usize) -> Vec<HostileMail> {
    let loops = "{% for a in xs %}{% for b in xs %}{% for c in xs %}{% for d in xs %}";
    let ends = "{% endfor %}".repeat(4);
    let numbers: Vec<usize> = (0..1_000).collect();
    let many: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    let (xs, long) = (json!({"xs": numbers}), json!({"xs": numbers, "text": "a".repeat(most / 25)}));
    let shapes: Vec<(&'static str, String, Value)> = vec![
        ("loops-silent", format!("{loops}{ends}"), xs.clone()),
        ("loops-loud", format!("{loops}{{{{ a }}}}{ends}"), xs.clone()),
        ("loops-kept", format!("{{% set y %}}{loops}{{{{ a }}}}{ends}{{% endset %}}"), xs.clone()),
        ("loops-in-lists", nested_lists(), xs.clone()),
        ("search", "{% for a in ys %}{% if 'x' in ys %}{% endif %}{% endfor %}".into(), json!({"ys": many})),
        ("search-unique", "{{ ys | unique | length }}".into(), json!({"ys": many})),
        ("doubled", "{% set x = 'abcdefgh' %}".to_owned() + &"{% set x = x ~ x %}".repeat(40), json!({})),
        (
            "grown",
            "{% set_global x = 'ab' %}{% for a in xs %}{% set_global x = x ~ x %}{% endfor %}".into(),
            xs.clone(),
        ),
        ("deep", "{% set_global x = 1 %}{% for a in xs %}{% set_global x = [x] %}{% endfor %}".into(), xs.clone()),
        ("wide", "{% set_global x = [1] %}{% for a in xs %}{% set_global x = [x, x] %}{% endfor %}{{ x }}".into(), xs),
        ("replaced", "{{ text | replace(from='a', to=text) }}".into(), long.clone()),
        ("joined", "{{ xs | join(sep=text) }}".into(), long.clone()),
        ("indented", "{{ text | replace(from='a', to='\n') | indent(width=1000, blank=true) }}".into(), long.clone()),
        ("split", "{{ text | split(pat='') | length }}{{ text ~ text }}".into(), long.clone()),
        ("repeated", "{% for x in xs %}{{ text }}{% endfor %}".into(), long),
        ("large", "<p>{{ text }}</p>".into(), json!({"text": "word ".repeat(most / 6)})),
        ("calls", calls(), json!({})),
    ];
    let mail = |(name, html, vars)| {
        let mail = json!({"template": name, "vars": vars});
        HostileMail { name, mail, template: Some(html) }
    };
    shapes.into_iter().map(mail).collect()
}

fn nested_lists() -> String {
    "{{ [1 for a in xs if [1 for b in xs if [1 for c in xs if [1 for d in xs if false]]]] | length }}".into()
}

fn calls() -> String {
    "{% component c() %}{{ <c /> }}{{ <c /> }}{{ <c /> }}{{ <c /> }}{% endcomponent %}{{ <c /> }}".into()
}
