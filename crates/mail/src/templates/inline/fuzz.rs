//! Random templates: inlining adds styles and changes nothing else.

use std::cell::Cell;

use postroom_testkit::fuzz::{Case, Fuzz};

use super::{code::codes, with_inlined_css};

const SEEDS: [&str; 9] = [
    "<!DOCTYPE html><html><head><style>p{a:b;c:d!important}.x>b,#i{e:f}</style></head><body><p class='x'><b id=i>",
    "<html><style>td:first-child{a:\"b\"}tr+tr td{c:url(d)}@media x{p{e:f}}</style><table>{% for r in rs %}<tr><td>x\
        {{ r }}</td></tr>{% endfor %}</table></html>",
    "<style media=print>p{a:b}</style><style>p{a:b}a:hover{c:d}[x~='y' i]{e:f}:not(.z){g:h}</style><p x='y z'><a href>",
    "<style>{% if x %}p{a:b}{% endif %}.y{c:{{ z }}}</style><p {% if x %}hidden{% endif %} class=\"{{ y }} z\" \
        style='e:f'>",
    "<!--[if mso]><p style=''><![endif]--><![if !mso]><p style=a:b><!-- --!><p style><style>p{a:b}</style>",
    "{% raw %}<style>@media x{#a{b:c}}p{d:e}</style>{% endraw %}<p>{# <p> #}{{ \"<p>'\" }}<h{{ n }} a=1></h{{ n }}>",
    "<style>*{a:b}</style><svg><path/></svg><textarea><p></textarea><script><p></script><title><p></title><plaintext>\
        <p>",
    "<style>li li{a:b}ul>li{c:d}</style><ul><li>a<li>b<ul><li>c</ul></ul>{% if x %}<div>{% else %}<p>{% endif %}</div>",
    "<style>@font-face{a:b}@import url(x);p{{{a:b}}p{a:b{}c:d}\\p{e:f}/*</style><p>{%- set x -%}<p>{%- endset -%}",
];

const TOKENS: [&str; 30] = [
    "<p>",
    "</p>",
    "<p ",
    ">",
    "<style>",
    "</style>",
    "{{ x }}",
    "{% if x %}",
    "{% endif %}",
    "{% else %}",
    "{#",
    "#}",
    "{",
    "}",
    "p{a:b}",
    ".x{c:d}",
    "class='x'",
    "style=\"a:b\"",
    "style='",
    "\"",
    "'",
    "<!--",
    "-->",
    "<table><tr><td>",
    "=",
    "/",
    "@media x{",
    "{% raw %}",
    "{% endraw %}",
    "\\",
];

#[test]
fn css_is_inlined_and_nothing_else_changes() {
    let (made, refused) = (Cell::new(0_u32), Cell::new(0_u32));
    Fuzz::target("css").seeds(SEEDS).tokens(&TOKENS).run(|case: &mut Case<'_>| {
        let (layout, page) = (case.text(), case.text());
        let page = if case.one_in(3) { format!("{{% extends 'layout.html' %}}{page}") } else { page };
        let sources: crate::templates::source::TemplateSources =
            [("layout.html".to_owned(), layout), ("page.html".to_owned(), page)].into();
        let Ok(inlined) = with_inlined_css(&sources) else { return };
        let is_refused = inlined.warnings.iter().any(|warning| warning.contains("would change"));
        refused.set(refused.get() + u32::from(is_refused));
        made.set(made.get() + 1);
        for (name, source) in &sources {
            let html = &inlined.sources[name];
            let mut rest = html.chars();
            assert!(source.chars().all(|wanted| rest.any(|c| c == wanted)), "something was removed:\n{html}");
            let code = |text: &str| -> Vec<String> {
                codes(text).into_iter().map(|code| text[code.range].to_owned()).collect()
            };
            assert_eq!(code(source), code(html), "{html}");
        }
        assert_eq!(with_inlined_css(&sources).expect("as before").sources, inlined.sources);
    });
    // A file with a tag that code completes may be ambiguous, and is then not inlined.
    assert!(
        made.get() < 100 || refused.get() <= made.get() / 20,
        "{} of {} files were refused",
        refused.get(),
        made.get()
    );
}
