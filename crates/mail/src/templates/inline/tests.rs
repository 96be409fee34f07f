use super::*;

fn sources(files: &[(&str, &str)]) -> TemplateSources {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn inlined(files: &[(&str, &str)], name: &str) -> String {
    let mut inlined = with_inlined_css(&sources(files)).expect("sound files");
    inlined.sources.remove(name).expect("the file")
}

/// Content of the body of a page with this CSS and this content.
fn body(css: &str, content: &str) -> String {
    let (before, after) = (format!("<html><head><style>{css}</style></head><body>"), "</body></html>");
    let html = inlined(&[("t.html", &format!("{before}{content}{after}"))], "t.html");
    let body = html.strip_prefix(&before).and_then(|html| html.strip_suffix(after));
    body.unwrap_or_else(|| panic!("more than the content changed:\n{html}")).to_owned()
}

#[track_caller]
fn check(css: &str, content: &str, expected: &str) {
    assert_eq!(body(css, content), expected, "{css}");
}

/// Checks that a rule for `.x` selects exactly the elements with an `@`, in a content without
/// styles.
#[track_caller]
fn check_selected(selector: &str, content: &str) {
    let plain = content.replace(" @", "");
    let expected = content.replace(" @", " style=\"a: b;\"");
    assert_eq!(body(&format!("{selector}{{a:b}}"), &plain), expected, "{selector}");
}

#[test]
fn an_attribute_is_added_after_the_others() {
    for (tag, expected) in [
        ("<p>", "<p style=\"a: b;\">"),
        ("<P\n>", "<P style=\"a: b;\"\n>"),
        ("<p class=x >", "<p class=x style=\"a: b;\" >"),
        ("<p class='x'/>", "<p class='x' style=\"a: b;\"/>"),
        ("<p hidden\tid = \"y\">", "<p hidden\tid = \"y\" style=\"a: b;\">"),
        ("<p title='>'>", "<p title='>' style=\"a: b;\">"),
        ("<p title='{{ \"'>\" }}'>", "<p title='{{ \"'>\" }}' style=\"a: b;\">"),
        ("<p {% if x > 1 %}hidden{% endif %}>", "<p style=\"a: b;\" {% if x > 1 %}hidden{% endif %}>"),
        ("<p{%- if x %} id=y{%- endif -%} >", "<p style=\"a: b;\"{%- if x %} id=y{%- endif -%} >"),
        ("<p {# > #} id=y>", "<p style=\"a: b;\" {# > #} id=y>"),
    ] {
        check("p{a:b}", tag, expected);
    }
}

#[test]
fn an_attribute_that_exists_keeps_its_text_and_wins() {
    let css = "p{a:b;margin:0}p{c:d!important}";
    for (tag, expected) in [
        ("<p style=\"e:f\">", "<p style=\"a: b;margin: 0;e:f;c: d;\">"),
        ("<p style='e:\"f\"; '>", "<p style='a: b;margin: 0;e:\"f\"; ;c: d;'>"),
        ("<p style=e:f id=x>", "<p style=\"a: b;margin: 0;e:f;c: d;\" id=x>"),
        ("<p style=''>", "<p style='a: b;margin: 0;;c: d;'>"),
        ("<p style>", "<p style=\"a: b;margin: 0;c: d;\">"),
        ("<p STYLE = \"{{ x }}\">", "<p STYLE = \"a: b;margin: 0;{{ x }};c: d;\">"),
        // The rendered code may contain a style attribute.
        ("<p style={{ x }}>", "<p style={{ x }}>"),
        ("<p {% if x %}style='e:f'{% endif %}>", "<p {% if x %}style='e:f'{% endif %}>"),
        ("<p {{ attributes }}>", "<p {{ attributes }}>"),
        ("<p data-{{ x }}=y>", "<p data-{{ x }}=y>"),
        ("<p data-css-inline=\"ignore\">", "<p data-css-inline=\"ignore\">"),
    ] {
        check(css, tag, expected);
    }
}

#[test]
fn values_are_written_as_an_attribute_needs_them() {
    for (value, tag, expected) in [
        ("\"A B\", 'C'", "<p>", "<p style=\"a: &quot;A B&quot;, 'C';\">"),
        ("\"A B\"", "<p>", "<p style=\"a: 'A B';\">"),
        ("'A B'", "<p style=''>", "<p style='a: \"A B\";'>"),
        ("\"it's\"", "<p style=''>", "<p style='a: \"it&#39;s\";'>"),
        ("url(x?a&b)", "<p>", "<p style=\"a: url(x?a&amp;b);\">"),
        ("1px /* two */\n 2px", "<p>", "<p style=\"a: 1px 2px;\">"),
        ("b!IMPORTANT", "<p>", "<p style=\"a: b;\">"),
    ] {
        check(&format!("p{{a:{value}}}"), tag, expected);
    }
}

#[test]
fn the_cascade_is_that_of_a_browser() {
    let p = "<p id=\"i\" class=\"c d\">";
    for (css, style) in [
        ("p{a:1}p{a:2}", "a: 2;"),
        (".c{a:1}p{a:2}", "a: 1;"),
        ("#i{a:1}.c.d{a:2}", "a: 1;"),
        ("p.c{a:1}.c{a:2}.d{b:3}", "b: 3;a: 1;"),
        ("p{a:1!important}#i{a:2}", "a: 1;"),
        ("p{a:1!important}#i{a:2!important}", "a: 2;"),
        ("#i{margin:0}p{margin-left:5px}", "margin-left: 5px;margin: 0;"),
        ("p{margin:0}#i{margin-left:5px}", "margin: 0;margin-left: 5px;"),
        ("p{a:1;a:2}", "a: 1;a: 2;"),
        ("p{a:f(1);b:2}p{a:f(2)}", "a: f(1);b: 2;a: f(2);"),
        ("p{display:block}p{display:flex}", "display: block;display: flex;"),
        (".e,.c{a:1}p,.e{a:2}", "a: 1;"),
        ("body .c{a:1}.c{a:2}", "a: 1;"),
        (":is(p, #x){a:1}.c.d{a:2}", "a: 1;"),
        (":where(p, #i){a:1}p{a:2}", "a: 2;"),
        ("body > *{a:1}", "a: 1;"),
        ("p:not(#x){a:1}p.c{a:2}", "a: 1;"),
        ("p{a:1}a:b:c,p{a:2}", "a: 1;"),
    ] {
        check(css, p, &p.replace('>', &format!(" style=\"{style}\">")));
    }
}

#[test]
fn selectors_select_as_in_a_browser() {
    let rows = "<table><tr><td></td><td @></td></tr><tr><td></td><td @></td></tr></table>";
    for (selector, content) in [
        ("P", "<p @></p><div></div>"),
        (".x", "<p class=\"x\" @></p><p class=X></p><p class=xy></p><p class='y x' @></p>"),
        ("p.x.y", "<p class=x></p><p class='y x' @></p><b class='x y'></b>"),
        ("div p", "<p></p><div><b><p @></p></b></div>"),
        ("div > p", "<div><b><p></p></b><p @></p></div>"),
        ("body > p", "<p @></p><div><p></p></div>"),
        ("h1 + p", "<h1></h1><p @></p><p></p>"),
        ("h1 ~ p", "<p></p><h1></h1><p @></p><p @></p>"),
        ("td + td", rows),
        ("td:last-child", rows),
        ("tr td:nth-child(2n)", rows),
        ("table > tbody > tr > td:not(:first-child)", rows),
        ("td:not(:nth-child(odd), .x)", "<table><td></td></table>"),
        ("tr:first-child > td", "<table><tr><td @></td></tr><tr><td></td></tr></table>"),
        (":is(h1, p.x)", "<h1 @></h1><p class=x @></p><p></p>"),
        ("div:where(.x) b", "<div class=x><b @></b></div><div><b></b></div>"),
        ("li:only-child", "<ul><li @><ul><li><li></ul></ul>"),
        ("li li", "<ul><li>a<li>b<ul><li @>c<li @>d</ul></ul>"),
        ("p p", "<p>a<p>b"),
        ("[title]", "<p title @></p><p TITLE=x @></p><p></p>"),
        ("[title=\"a b\"]", "<p title='a b' @></p><p title=a></p>"),
        ("[title~=b]", "<p title='a b' @></p><p title=ab></p>"),
        ("[lang|=en]", "<p lang=EN-GB @></p><p lang=eng></p>"),
        ("a[href^='http:']", "<a href=http://x @></a><a href=https://x></a>"),
        ("a[href$=\".pdf\" i]", "<a href=x.PDF @></a><a href=pdf></a>"),
        ("td[align=center]", "<table><td align=CENTER @></td></table>"),
        ("div[style*='margin: 16px 0'] p", "<div><p></p></div>"),
        ("a:link", "<a href=x @></a><a name=x></a>"),
        ("#a\\:b", "<p id='a:b' @></p><p id=a></p>"),
        ("o\\:p", "<o:p @></o:p><p></p>"),
        (".é", "<p class=é @></p>"),
    ] {
        check_selected(selector, content);
    }
}

#[test]
fn what_can_not_be_inlined_is_left_to_the_style_sheet() {
    let p = "<p class=\"c\"><a href=\"x\"></a></p>";
    for css in [
        "@media print{p{a:b}}",
        "@media screen{p{a:b}}",
        "@font-face{font-family:x;src:url(y)}",
        "@import url(x);",
        "@supports (a:b){p{a:b}}",
        "p:hover{a:b}a:visited{a:b}",
        "p::before{a:b}p:after{a:b}",
        "p:first-of-type{a:b}",
        "p:has(a){a:b}",
        "p:frobnicate,p{a:b}",
        "svg|p{a:b}",
        "p > > a{a:b}",
        "p{&:hover{a:b}}",
        "head,style,title{a:b}",
    ] {
        check(css, p, p);
    }
    for (attributes, is_inlined) in [
        ("", true),
        (" type='text/css' media='screen'", true),
        (" media=ALL", true),
        (" media='screen, print'", true),
        (" media=print", false),
        (" media='(max-width:480px)'", false),
        (" media='screen and (max-width:480px)'", false),
        (" media='{{ x }}'", false),
        (" type='text/less'", false),
        (" data-css-inline='ignore'", false),
    ] {
        let page = format!("<html><style{attributes}>p{{a:b}}</style><p></p></html>");
        let expected = if is_inlined { page.replace("<p>", "<p style=\"a: b;\">") } else { page.clone() };
        assert_eq!(inlined(&[("t.html", &page)], "t.html"), expected);
    }
}

#[test]
fn a_rule_that_may_apply_keeps_weaker_declarations_out() {
    for (css, content, expected) in [
        // Classes that depend on variables.
        ("p{a:1;b:2}.x{a:3}", "<p class=\"{{ y }}\">", "<p class=\"{{ y }}\" style=\"b: 2;\">"),
        (
            "p{a:1}.hot{a:2}.b{a:3}",
            "<p class=\"{% if y %}hot{% endif %}\"><p class=\"{% if y %}cold{% endif %}\">",
            "<p class=\"{% if y %}hot{% endif %}\"><p class=\"{% if y %}cold{% endif %}\" style=\"a: 1;\">",
        ),
        (
            "p{a:1}.hot{a:2}.b{a:3}",
            "<p class=\"b {% if y %}hot{% endif %}\">",
            "<p class=\"b {% if y %}hot{% endif %}\" style=\"a: 3;\">",
        ),
        ("p{margin:0}.x{margin-top:1px}", "<p class='{{ y }}'>", "<p class='{{ y }}'>"),
        (".x{a:1}p{a:2}", "<p class='{{ y }}'>", "<p class='{{ y }}'>"),
        ("p{a:1}.x{a:2!important}", "<p class='{{ y }}'>", "<p class='{{ y }}' style=\"a: 1;\">"),
        // Positions in a loop.
        (
            "td{a:1}td:first-child{a:2}",
            "<table><tr>{% for x in y %}<td>{% endfor %}</table>",
            "<table><tr>{% for x in y %}<td>{% endfor %}</table>",
        ),
        (
            "tr{a:1;b:2}tr:first-child{a:2}",
            "<table>{% for x in y %}<tr>{% endfor %}</table>",
            "<table>{% for x in y %}<tr style=\"b: 2;\">{% endfor %}</table>",
        ),
        (
            "td{a:1}tr td:first-child{a:2}li a{b:3}",
            "<table>{% if x %}<tr>{% endif %}<td></table><ul>{% for x in y %}<li><a></a>{% endfor %}",
            "<table>{% if x %}<tr>{% endif %}<td></table><ul>{% for x in y %}<li><a style=\"b: 3;\"></a>{% endfor %}",
        ),
        ("p + p{a:1}", "{% if x %}<p>{% endif %}<p>", "{% if x %}<p>{% endif %}<p>"),
        // Elements of one branch.
        (
            ".x p{a:1}p{b:2}",
            "{% if y %}<div class=x>{% else %}<div>{% endif %}<p></p></div>",
            "{% if y %}<div class=x>{% else %}<div>{% endif %}<p style=\"b: 2;\"></p></div>",
        ),
        (".x > p{a:1}", "<div class=x>{% if y %}</div><div>{% endif %}<p></p></div>", ""),
        // Selectors that are not decided here.
        ("p{a:1}p:has(.x){a:2}", "<p>", "<p>"),
        ("p{color-scheme:dark}p:has(.x){color:red}", "<p>", "<p style=\"color-scheme: dark;\">"),
        ("p{a:1}p:first-of-type{c:2}", "<p>", "<p style=\"a: 1;\">"),
    ] {
        check(css, content, if expected.is_empty() { content } else { expected });
    }
}

#[test]
fn a_sheet_that_may_differ_keeps_weaker_declarations_out() {
    for (styles, style) in [
        ("<style>p{a:1;b:2}.c{b:{{ x }}}</style>", ""),
        ("<style>p{a:1;b:2}</style><style>.c{b:{{ x }}}</style>", "a: 1;"),
        ("<style>p{a:1;b:2}</style>{% if x %}<style>p{b:3}</style>{% endif %}", "a: 1;"),
        ("<style>p{a:1;b:2}</style><style media=\"{{ x }}\">p{b:3}</style>", "a: 1;"),
        ("<style>{% raw %}@media x{#a{b:c}}p{a:1}{% endraw %}</style>", "a: 1;"),
        ("<style>p{a:1}{# p{a:2} #}</style>", "a: 1;"),
        ("<style>p{a:1;b:2}{% raw %}.c{b:{{ x }}}.c{b:{%}{% endraw %}</style>", "a: 1;"),
        ("<!--[if mso]><style>p{a:2}</style><![endif]--><style>p{a:1}</style>", "a: 1;"),
        ("<script>'<style>p{a:2}</style>'</script><style>p{a:1}</style>", "a: 1;"),
    ] {
        let page = format!("<html>{styles}<p class=c></p></html>");
        let expected = match style {
            "" => page.clone(),
            style => page.replace("<p class=c>", &format!("<p class=c style=\"{style}\">")),
        };
        assert_eq!(inlined(&[("t.html", &page)], "t.html"), expected);
    }
}

#[test]
fn files_get_the_css_of_what_they_extend_and_include() {
    let layout = "<html><style>p{a:1}.x p{b:2}</style>{% block css %}<style>p{c:3}</style>{% endblock %}\
        {% include 'more.html' %}<p></p><div class=x>{% block main %}{% endblock %}</div></html>";
    let more = "<style>p{d:4}</style><p></p>";
    let page = "{% extends \"base.html\" %}{% block main %}<p></p>{% endblock %}";
    let own = "{% extends \"base.html\" %}{% block css %}<style>p{c:5;a:6}</style>{% endblock %}\
        {% block main %}<p></p>{% endblock %}";
    let with = |files: &[(&str, &str)], name: &str| {
        let html = inlined(&[&[("base.html", layout), ("more.html", more)], files].concat(), name);
        html.split("<p").skip(1).map(|p| p.split('>').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let style = |style: &str| format!(" style=\"{style}\"");
    assert_eq!(with(&[], "base.html"), [style("a: 1;c: 3;d: 4;")]);
    assert_eq!(with(&[("page.html", page)], "page.html"), [style("a: 1;c: 3;d: 4;")]);
    // A page that replaces the block: its layout must not have what the page overrides.
    assert_eq!(with(&[("own.html", own)], "base.html"), [style("d: 4;")]);
    assert_eq!(with(&[("own.html", own)], "own.html"), [style("d: 4;c: 5;a: 6;")]);
    // An included file gets its own CSS only, and not where that of a page is stronger.
    assert_eq!(with(&[("page.html", page)], "more.html"), [style("d: 4;")]);
}

#[test]
fn everything_but_styles_stays() {
    let page = "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0\" 'x>y'>\r\n<html\n lang=en><head><STYLE>p{a:b}</STYLE>\
        <body bgcolor=#fff topmargin=0>\u{feff}<![if !mso]><p>&nbsp;&amp<![endif]><!--[if mso]><p><![endif]-->\
        <!--><p><!-- --!><p><!doctype x><?xml <p> ?></ p><table>{% for x in y %}<tr><td><p>{{ x }}{% endfor %}</table>\
        {% raw %}{{ <p> }}{% endraw %}{# <p> #}{{ '<p>' | safe }}<title><p></title><textarea><p></textarea>\
        {% if x %}</div>{% endif %}<p\n\n>< p><3 <p";
    let html = inlined(&[("t.html", page)], "t.html");
    assert_eq!(html.replace(" style=\"a: b;\"", ""), page);
    assert_eq!(html.matches(" style=\"a: b;\"").count(), 6, "{html}");
}

#[test]
fn a_comment_that_swallows_css_is_refused_or_reported() {
    let error = |css: &str| {
        let page = format!("<html>\n<style>\n{css}</style><p>x</p> #}} </html>");
        with_inlined_css(&sources(&[("t/body.html", &page)])).map(|inlined| inlined.warnings)
    };
    let cure = "write `{ #`, or put the CSS between {% raw %} and {% endraw %}";
    for css in ["@media screen{#a{b:c}}", "@media screen{\n}@media x{#a{b:c}}"] {
        let line = 2 + css.lines().count();
        assert_eq!(
            error(css).expect_err(css).to_string(),
            format!(
                "t/body.html, line {line}: `{{#` in <style> starts a template comment, which swallows the end of the \
                 style sheet; {cure}"
            )
        );
    }
    let page = "<style>@media x{#a{b:c}}</style>";
    let error_at_end = with_inlined_css(&sources(&[("t.html", page)])).expect_err("it has no end").to_string();
    assert!(error_at_end.starts_with("t.html, line 1: `{#` in <style>"), "{error_at_end}");
    assert_eq!(
        error("@media x{#a{b:c}#}").expect("sound"),
        [format!("t/body.html, line 3: `{{#` in <style> starts a template comment, which hides CSS; {cure}")]
    );
    assert_eq!(error("{# a comment #}p{a:b}").expect("sound"), [""; 0]);
    assert_eq!(error("@media x{ #a{b:c}}{% raw %}@media x{#a{b:c}}{% endraw %}").expect("sound"), [""; 0]);
    let hidden = "{# <style>p{a:b}</style> #}<p>";
    assert_eq!(inlined(&[("t.html", hidden)], "t.html"), hidden);
}

#[test]
fn a_rule_with_a_condition_that_loses_is_reported() {
    let warnings = |css: &str| {
        let page = format!("<html><style>{css}</style>\n<p class=c><a href=x></a></html>");
        with_inlined_css(&sources(&[("t.html", &page)])).expect("sound").warnings
    };
    let message = |rule: &str, property: &str, name: &str| {
        format!(
            "t.html, line 2: `{rule}` has no effect on `{property}` of <{name}>, whose CSS is inlined; add !important \
             to it"
        )
    };
    for (css, expected) in [
        ("p{a:1}@media print{p{a:2}}", vec![message("p in @media print", "a", "p")]),
        ("p{margin:1px}@media x{.c{margin-left:2px}}", vec![message(".c in @media x", "margin-left", "p")]),
        ("a{color:red}a:hover{color:blue}", vec![message("a:hover", "color", "a")]),
        ("p{a:1}@media print{p{a:2!important}}", vec![]),
        (".c{a:1}@media print{p{a:2}}", vec![]),
        ("@media print{p{a:2}}p{a:1}", vec![]),
        ("p{a:1}@media print{p{b:2}}", vec![]),
    ] {
        assert_eq!(warnings(css), expected, "{css}");
    }
}

#[test]
fn depth_and_work_are_bounded() {
    let page = |content: &str| format!("<html>\n<style>p{{a:b}}</style>\n{content}</html>");
    let nested = |number: usize| format!("{}{}", "<div>".repeat(number), "</div>".repeat(number));
    for (content, is_sound) in [
        (nested(500), true),
        (nested(3_000), false),
        ("<b>".repeat(3_000), false),
        ("<p>x".repeat(3_000), true),
        (format!("<table>{}</table>", "<tr><td>x".repeat(3_000)), true),
        (format!("{}{}", "<ul><li>".repeat(300), "</ul>".repeat(300)), false),
    ] {
        let result = with_inlined_css(&sources(&[("t.html", &page(&content))]));
        match result {
            Ok(_) => assert!(is_sound, "{content}"),
            Err(error) => assert!(
                !is_sound
                    && error.to_string()
                        == "t.html, line 3: elements are nested more than 512 levels deep here; close elements where \
                            they end",
                "{error}"
            ),
        }
    }
    let without_css = nested(3_000);
    assert_eq!(inlined(&[("t.html", &without_css)], "t.html"), without_css);
    let rules: String = (0..20_000).map(|number| format!("p:nth-child({number}n){{a:b}}")).collect();
    let many = format!("<html><style>{rules}</style>{}", "<p>".repeat(20_000));
    let result = with_inlined_css(&sources(&[("t.html", &many)])).expect("sound");
    assert_eq!(result.sources["t.html"], many);
    assert_eq!(result.warnings, ["t.html: CSS is not inlined: there are too many elements and rules for it"]);
}
