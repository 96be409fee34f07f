//! Content made to exhaust time, memory or stack.

use std::{
    fs,
    time::{Duration, Instant},
};

use postroom_core::Mail;
use postroom_mail::{Rendered, Templates, Variables, run_blocking};
use serde_json::{Map, Value, json};

use crate::templates::folder;

/// Time limit far above the duration of any of these tests, even on a slow machine.
const SOON: Duration = Duration::from_secs(60);

/// Text of `number` times `open`, an "x", and `number` times `close`.
fn nested(number: usize, open: &str, close: &str) -> String {
    format!("{}x{}", open.repeat(number), close.repeat(number))
}

fn filled(bytes: usize, piece: &str) -> String {
    piece.repeat(bytes / piece.len())
}

/// HTML documents of various shapes, each of about this size.
fn shapes(bytes: usize) -> Vec<(&'static str, String)> {
    let attributes: String = (0..bytes / 10).map(|n| format!(" a{n}=b")).collect();
    let names: String = (0..bytes / 24).map(|n| format!("<x{n}>y</x{n}>")).collect();
    let fonts: String = (0..bytes / 40).map(|n| format!("<font color={n}><p>x")).collect();
    let links: String = (0..bytes / 40).map(|n| format!("<a href=http://e.org/{n}>x</a> ")).collect();
    vec![
        ("div in div", nested(bytes / 11, "<div>", "</div>")),
        ("never closed", filled(bytes, "<div>")),
        ("only closed", filled(bytes, "</div>")),
        ("lists in lists", nested(bytes / 18, "<ul><li>", "</li></ul>")),
        ("numbered lists in lists", nested(bytes / 18, "<ol><li>", "</li></ol>")),
        ("a list", format!("<ul>{}</ul>", filled(bytes, "<li>item"))),
        ("a list of terms", format!("<dl>{}</dl>", filled(bytes, "<dt>a<dd>b"))),
        ("terms in terms", nested(bytes / 22, "<dl><dt>x<dd>", "</dd></dl>")),
        ("tables in tables", nested(bytes / 35, "<table><tr><td>", "</td></tr></table>")),
        ("a wide table", format!("<table><tr>{}</table>", filled(bytes, "<td>x"))),
        ("a long table", format!("<table>{}</table>", filled(bytes, "<tr><td>x"))),
        ("quotes in quotes", nested(bytes / 25, "<blockquote>", "</blockquote>")),
        ("preformatted", nested(bytes / 11, "<pre>\n", "</pre>")),
        ("bold in bold", nested(bytes / 7, "<b>", "</b>")),
        ("links in links", nested(bytes / 14, "<a href=u>", "</a>")),
        ("links", links),
        ("fonts and paragraphs", fonts),
        ("misnested", filled(bytes, "<b><i></b><p></i>")),
        ("one word", filled(bytes, "x")),
        ("one word in pieces", filled(bytes, "x<b></b>")),
        ("spaces", filled(bytes, " ")),
        ("line breaks", filled(bytes, "<br>")),
        ("tags that begin", filled(bytes, "<")),
        ("a tag without an end", format!("<a {}", filled(bytes, "x"))),
        ("attributes", format!("<p{attributes}>x</p>")),
        ("attributes of an end", format!("<p>x</p{attributes}>")),
        ("attributes after a comment", format!("<!-- --!><p{attributes}>x</p>")),
        ("one long attribute", format!("<img alt='{}'>", filled(bytes, "alt "))),
        ("elements of all names", names),
        ("comments", filled(bytes, "<!---->")),
        ("a comment without an end", format!("<!--{}", filled(bytes, "--"))),
        ("scripts without an end", filled(bytes, "<script>")),
        ("scripts in scripts", filled(bytes, "<script><!--</script>")),
        ("pictures in pictures", nested(bytes / 11, "<svg>", "</svg>")),
        ("hidden in hidden", nested(bytes / 18, "<div hidden>", "</div>")),
        ("entities", filled(bytes, "&amp")),
        ("numbered entities", format!("&#{};", filled(bytes, "9"))),
        ("zeros", filled(bytes, "\0")),
        ("character data", filled(bytes, "<![CDATA[")),
        ("select in select", filled(bytes, "<select><option>")),
        ("templates in templates", nested(bytes / 21, "<template>", "</template>")),
        ("plain text", format!("<plaintext>{}", filled(bytes, "<p>"))),
    ]
}

#[test]
fn html_of_any_shape_is_converted_soon_to_a_bounded_text() {
    let shapes = shapes(512 << 10);
    assert!(shapes.len() >= 40);
    for (name, html) in shapes {
        let start = Instant::now();
        let text = Rendered::literal("s", None, Some(&html)).text;
        assert!(start.elapsed() < SOON, "{name}: {:?}", start.elapsed());
        assert!(text.len() <= 2 << 20, "{name}: {} bytes", text.len());
    }
}

#[test]
fn conversion_takes_linear_time() {
    // Regression: 0.4 MB of these took 15 s, and four times as much took sixteen times as long.
    let start = Instant::now();
    let _ = Rendered::literal("s", None, Some(&nested((6 << 20) / 11, "<div>", "</div>")));
    let _ = Rendered::literal("s", None, Some(&format!("<dl>{}</dl>", filled(2 << 20, "<dt>a<dd>b"))));
    assert!(start.elapsed() < 2 * SOON, "{:?}", start.elapsed());
}

/// A folder with other files and the template `t`, which has this HTML.
fn templates(html: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Templates) {
    let files = [&[("t/subject.txt", "s"), ("t/body.html", html)], files].concat();
    let folder = folder(&files);
    let templates = Templates::load(folder.path()).unwrap_or_else(|error| panic!("{html}: {error}"));
    (folder, templates)
}

fn vars(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

#[test]
fn a_template_without_end_or_of_unbounded_memory_fails_with_the_exceeded_limit() {
    let loops = "{% for a in xs %}{% for b in xs %}{% for c in xs %}{% for d in xs %}";
    let ends = "{% endfor %}".repeat(4);
    let (silent, loud) = (format!("{loops}{ends}"), format!("{loops}{{{{ text }}}}{ends}"));
    let captured = format!("{{% set y %}}{loops}{{{{ text }}}}{ends}{{% endset %}}");
    let written = format!("{{% set y %}}{{% for a in xs %}}{}{{% endfor %}}{{% endset %}}", "abcdefgh".repeat(10_000));
    let doubled = "{% set x = 'abcdefgh' %}".to_owned() + &"{% set x = x ~ x %}".repeat(40);
    let grown = "{% set_global x = 'abcdefgh' %}{% for a in xs %}{% set_global x = x ~ x ~ x %}{% endfor %}";
    let listed = "{% set_global x = [1] %}{% for a in xs %}{% set_global x = [x, x] %}{% endfor %}{{ x }}";
    let deep = "{% set_global x = [1] %}{% for a in xs %}{% set_global x = [x] %}{% endfor %}";
    let spread = "{% set_global x = [1] %}{% for a in xs %}{% set_global x = [...x, ...x] %}{% endfor %}";
    let comprehended = "{{ [1 for a in xs if [1 for b in xs if [1 for c in xs if [1 for d in xs if false]]]] }}";
    let doubled_call =
        "{% component c(n) %}{{ <c n={n} /> }}{{ <c n={n} /> }}{{ <c n={n} /> }}{% endcomponent %}{{ <c n={1} /> }}";
    let captured_call = "{% component c() %}{% <d> %}{{ <c /> }}{{ <c /> }}{% </d> %}{% endcomponent %}\
        {% component d() %}{{ body }}{{ body }}{% endcomponent %}{{ <c /> }}";
    for (html, problem) in [
        (&*silent, "more than"),
        (&loud, "more than"),
        (&captured, "more than"),
        (&written, "more than"),
        (&doubled, "that it sets have more than 16 MB"),
        (grown, "that it sets have more than 16 MB"),
        (listed, "that it sets have more than 16 MB"),
        (spread, "that it sets have more than 16 MB"),
        (deep, "has more than 160 levels"),
        (comprehended, "more than"),
        (doubled_call, ""),
        (captured_call, ""),
        ("{{ text | replace(from='a', to=text) }}", "an expression of"),
        ("{{ text | replace(from='', to=text) | length }}", "an expression of"),
        ("{{ lines | indent(width=1000, blank=true) | length }}", "an expression of"),
        ("{{ xs | join(sep=text) | length }}", "an expression of"),
        ("{{ text | split(pat='') | length }}{{ big | split(pat='') | length }}", "an expression of"),
        ("{{ many | unique | length }}", "more than"),
        ("{% for a in many %}{% if a in many %}{% endif %}{% if 'b' in many %}{% endif %}{% endfor %}", "more than"),
    ] {
        let (_folder, templates) = templates(html, &[]);
        let text = "a".repeat(100_000);
        let given = json!({
            "xs": (0..500).collect::<Vec<_>>(), "text": text, "big": "a".repeat(2 << 20), "lines": "\n".repeat(200_000),
            "many": (0..200_000).map(|n| format!("{n}")).collect::<Vec<_>>(),
        });
        let start = Instant::now();
        let error = templates.render("t", &vars(&given), None).expect_err(html).to_string();
        assert!(start.elapsed() < SOON, "{html}: {:?}", start.elapsed());
        // Components are nested at most 20 levels. Without optimization the stack limit is reached
        // before the limit of turns.
        let is_expected = match problem {
            "" => error.contains("more than") || error.contains("nested too deep"),
            problem => error.contains(problem),
        };
        assert!(error.starts_with("template t: ") && is_expected, "{html}: {error}");
    }
}

#[test]
fn includes_are_bounded_in_number_and_depth() {
    let chain = |number: usize, times: usize| -> Vec<(String, String)> {
        let link =
            |n: usize| (format!("parts/{n}.html"), format!("{{% include 'parts/{}.html' %}}", n + 1).repeat(times));
        (0..number).map(link).chain([(format!("parts/{number}.html"), "x".to_owned())]).collect()
    };
    let bomb = chain(8, 8);
    let files: Vec<(&str, &str)> = bomb.iter().map(|(name, text)| (&**name, &**text)).collect();
    let (_folder, templates) = templates("{% include 'parts/0.html' %}", &files);
    let error = templates.render("t", &Map::new(), None).expect_err("a limit").to_string();
    let problems = ["its loops have more than 1000000 turns", "it takes more than 5 s"];
    assert!(problems.into_iter().any(|problem| error.contains(problem)), "{error}");

    for (files, problem) in [
        (chain(2_000, 1), "files include or extend each other"),
        (vec![("a.html".to_owned(), format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}".repeat(20_000)))], "elif"),
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
        let folder = folder(&files);
        let error = Templates::load(folder.path()).expect_err(problem).to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn limit_checks_do_not_change_the_output() {
    let html = "{%- set a = 'x' ~ 1 -%} \n {% for x in xs -%}  {{ x }}, {%- endfor %} {% set b | upper %} \
        {{ a -}} \n y {% endset -%} \n\
        <{{ b }}> {% filter upper -%}  a {{ a }} b{% endfilter %} \
        {{ [x for x in xs if x > 1 or false] }} {% raw -%} {{ x }} {%- endraw %}\
        {{ 'a-b' | replace(from='-', to='<') }} {{ xs | join(sep='<') }} {{ 'a\nb' | indent(width=2, first=true) }}\
        {{ 'a,b' | split(pat=',') }} {{ [1, 1, 2] | unique }} \
        {% component c(n) %} <i>{{ n }}</i> {% endcomponent %} {{ <c n={a} /> }}";
    let (_folder, templates) = templates(html, &[]);
    let rendered = templates.render("t", &vars(&json!({"xs": [1, 2]})), None).expect("rendered");
    let shown = rendered.html.expect("HTML");
    let mut tera = tera::Tera::default();
    tera.add_raw_template("t.html", html).expect("sound");
    let context = tera::Context::from_serialize(&json!({"xs": [1, 2]})).expect("a context");
    assert_eq!(shown, tera.render("t.html", &context).expect("rendered"));
}

#[test]
fn css_of_any_shape_is_inlined_soon_or_skipped() {
    let rules: String = (0..20_000).map(|n| format!(".a{n}{{color:red}}")).collect();
    let rows = "<tr><td class='{{ x }} {% if x %}a{% endif %}'>";
    for body in [
        nested(500, "<div>", "</div>"),
        filled(1 << 20, "<p class=a>x"),
        filled(1 << 20, "<br a=1></x>"),
        filled(1 << 20, rows),
        format!("<style>{rules}</style>{}", filled(200_000, rows)),
        format!("<style>{}</style>{}", filled(10_000, "p + "), filled(500_000, "<p>")),
        format!("<style>{} {{a:b}}</style>{}", "b ".repeat(15), nested(400, "<b>", "</b>")),
        format!("<style>{}</style>", filled(1 << 19, "@media x{")),
        format!("<style>{}</style>", filled(1 << 19, "a{b:")),
        format!("<style>{}</style>", filled(1 << 19, "p:not(")),
        format!("<p {}>", filled(1 << 19, "{% if x %}abcdefgh{% endif %} ")),
        format!("<p class='{}'>", filled(1 << 19, "{% if x %}abcdefgh{% endif %}")),
        format!("<p style='{}'>", filled(1 << 19, "a:b;")),
        filled(1 << 19, "{% if x %}<p>{% endif %}"),
        format!("<style>{rules}</style>{}", filled(500_000, "<p>")),
        format!("<style>{}</style>", "p:is(".repeat(100_000)),
        format!("<STYLE>{}</STYLE>", "p:is(".repeat(100_000)),
        filled(1 << 19, "{{ x }}<br>"),
    ] {
        let start = Instant::now();
        let html = format!("<html><head><style>p {{ color: red }}</style></head><body>{body}</body></html>");
        let (_folder, templates) = templates(&html, &[]);
        let shown = templates.render("t", &vars(&json!({"x": "x"})), None).expect("rendered");
        assert!(shown.html.is_some_and(|shown| shown.len() >= html.len() / 8));
        assert!(start.elapsed() < SOON, "{}: {:?}", &body[..40], start.elapsed());
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_contains_itself_or_is_too_large_is_rejected() {
    use std::os::unix::fs::symlink;
    let files = [("t/subject.txt", "s"), ("t/body.html", "b")];
    let load = |folder: &tempfile::TempDir| Templates::load(folder.path()).expect_err("refused").to_string();

    let looping = folder(&files);
    symlink(looping.path(), looping.path().join("t/again")).expect("a link");
    let error = load(&looping);
    assert!(error.contains("t/again: it is a symbolic link to"), "{error}");

    let device = folder(&files);
    symlink("/dev/zero", device.path().join("t/body.pl.html")).expect("a link");
    let error = load(&device);
    assert!(error.contains("body.pl.html: it is not a regular file"), "{error}");

    let itself = folder(&files);
    symlink("body.pl.html", itself.path().join("t/body.pl.html")).expect("a link");
    assert!(load(&itself).contains("body.pl.html"));

    let large = folder(&files);
    fs::write(large.path().join("t/body.pl.html"), "x".repeat(3 << 20)).expect("a file");
    assert!(load(&large).contains("body.pl.html: it has more than 2 MB"));

    let shared = folder(&files);
    fs::create_dir(shared.path().join(".shared")).expect("a folder");
    fs::write(shared.path().join(".shared/x.html"), "x").expect("a file");
    for link in ["a", "b"] {
        symlink(shared.path().join(".shared"), shared.path().join(link)).expect("a link");
    }
    assert_eq!(Templates::load(shared.path()).expect("no loop").names(), ["t"]);
}

#[test]
fn an_invalid_language_is_rejected() {
    let (_folder, templates) = templates("x", &[]);
    for locale in ["x-".repeat(16 << 10).as_str(), "pl PL", "../pl", "pl\n"] {
        let error = templates.render("t", &Map::new(), Some(locale)).expect_err("no language").to_string();
        assert!(error.contains("is not a language; it may be pl or pl-PL") && error.len() < 300, "{error}");
        let mail = Mail { locale: Some(locale.to_owned()), template: Some("t".into()), ..Mail::default() };
        assert_eq!(mail.check_content().expect_err("no language").field, "locale");
    }
}

#[test]
fn the_size_of_variables_is_limited() {
    let (_folder, templates) = templates("{{ x | upper | safe }}", &[]);
    let numbers = json!({"x": 1, "y": vec![0; 2 << 20]});
    let error = templates.render("t", &vars(&numbers), None).expect_err("too many").to_string();
    assert!(error.contains("the variables have 65 MB; the limit is 32 MB"), "{error}");
    let text = templates.render("t", &vars(&json!({"x": "a".repeat(20 << 20)})), None).expect("it fits");
    assert_eq!(text.html.map(|html| html.len()), Some(20 << 20));
}

#[test]
fn only_fast_mails_are_rendered_quickly() {
    let html = "{% for a in xs %}{% for b in xs %}{{ a }}{% endfor %}{% endfor %}";
    let (_folder, templates) = templates(html, &[]);
    let mail = |vars: Value| Mail { template: Some("t".into()), vars: self::vars(&vars), ..Mail::default() };
    let quickly = |mail: &Mail| templates.render_quickly(&Variables::default(), mail);
    let few = mail(json!({"xs": [1, 2]}));
    assert_eq!(quickly(&few).and_then(Result::ok), templates.render_mail(&few).ok());
    assert!(quickly(&mail(json!({"xs": vec![1; 100]}))).is_none(), "10,000 turns");
    assert!(quickly(&mail(json!({"xs": [], "y": "x".repeat(100_000)}))).is_none(), "large variables");
    assert!(quickly(&mail(json!({}))).is_some_and(|rendered| rendered.is_err()), "an error is returned at once");
    let literal = |html: String| Mail { html: Some(html.into()), ..Mail::default() };
    assert!(quickly(&literal("<p>x".repeat(100))).is_some() && quickly(&literal("<p>x".repeat(100_000))).is_none());
}

#[tokio::test]
async fn rendering_stops_when_its_future_is_dropped() {
    let html = "{% for a in xs %}{% for b in xs %}{% for c in xs %}{% if c in ys %}\
        {% endif %}{% endfor %}{% endfor %}{% endfor %}";
    let (_folder, templates) = templates(html, &[]);
    let vars = vars(&json!({"xs": vec![1; 1000], "ys": vec![0; 100_000]}));
    let (ended, result) = std::sync::mpsc::channel();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let work = tokio::spawn(run_blocking(move || {
        let _ = begun.send(());
        let _ = ended.send(templates.render("t", &vars, None).expect_err("it never ends").to_string());
    }));
    begins.await.expect("the work starts");
    work.abort();
    let error = tokio::task::spawn_blocking(move || result.recv_timeout(SOON)).await.expect("no panic");
    let error = error.expect("the work ends");
    assert!(error.contains("cancelled by its caller") || error.contains("more than 5 s"), "{error}");
}
