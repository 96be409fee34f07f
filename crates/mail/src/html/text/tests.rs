use super::*;

#[test]
fn a_page_becomes_readable_text() {
    let html = "<html><head><style>p { color: red }</style><title>T</title></head><body><table><tr><td>\
        <h1>Cześć</h1><p>O&#39;Brien &amp; &lt;b&gt;, <a href=\"https://example.org/x?a=1&amp;b=2\">click here</a>.</p>\
        </td></tr><tr><td>Bye</td></tr></table></body></html>";
    let text = "# Cześć\n\nO'Brien & <b>, [click here][1].\n\nBye\n\n[1]: https://example.org/x?a=1&b=2\n";
    assert_eq!(text_of_html(html), text);
}

#[test]
fn each_element_has_its_text_form() {
    for (html, text) in [
        ("", ""),
        ("<p>&nbsp;</p><div></div>", ""),
        ("plain  text\n here", "plain text here\n"),
        ("a<b>b</b> c <i> d</i>e", "ab c de\n"),
        ("<p>a<p>b<br>c<br><br><br>d", "a\n\nb\nc\n\nd\n"),
        ("<ul><li>one</li><li>two <ul><li>in</li></ul></li></ul>x", "* one\n* two\n  * in\n\nx\n"),
        ("<ol start=3><li>a<li>b<p>c</ol>", "3. a\n4. b\n\n   c\n"),
        ("<blockquote>q<br>r<p>s</blockquote>t", "> q\n> r\n>\n> s\n\nt\n"),
        ("<pre>a  b\n   c</pre>x<hr>y", "a  b\n   c\n\nx\n\ny\n"),
        ("<table><tr><td>a<td>b<tr><td>c</table>", "a\nb\nc\n"),
        ("<dl><dt>t<dd>d<dt>u</dl>v", "t\n  d\nu\n\nv\n"),
        ("<h2>A</h2><h3></h3>b", "## A\n\nb\n"),
        ("<img alt='A b' src=x> c", "A b c\n"),
        ("x<sup>2</sup>&amp;&copy;&#x17c;", "x2&©ż\n"),
        ("a\u{1}\u{0}b", "ab\n"),
    ] {
        assert_eq!(text_of_html(html), text, "{html}");
    }
}

#[test]
fn links_are_listed_once_each() {
    for (html, text) in [
        ("<a href='u'>a</a> <a href='u'>b</a> <a href=v><div>c</div></a>", "[a][1] [b][1]\n[c][2]\n\n[1]: u\n[2]: v\n"),
        ("see<a href='u'> a </a>b", "see [a][1] b\n\n[1]: u\n"),
        ("<a href='https://e.org'>https://e.org</a> <a href='mailto:a@b.c'>a@b.c</a>", "https://e.org a@b.c\n"),
        ("<a name=x>a</a> <a href='#x'>b</a> <a href=' javascript:x'>c</a> <a href=''>d</a>", "a b c d\n"),
        ("<a href=u></a><a href=v><img src=x></a>", ""),
        ("<a href=u>a <a href=v>b", "[a][1] [b][2]\n\n[1]: u\n[2]: v\n"),
        ("<a href='a\nb c'>x</a>", "[x][1]\n\n[1]: ab%20c\n"),
    ] {
        assert_eq!(text_of_html(html), text, "{html}");
    }
}

#[test]
fn hidden_content_is_omitted() {
    for html in [
        "<div style='color: red; DISPLAY : none !important'>x<div>y</div>z</div>shown",
        "<span hidden>x</span><p style=visibility:hidden>y<p>shown",
        "<table><tr hidden><td>x<tr><td>shown</table>",
        "<table><tr><td hidden>x<td>shown</table>",
        "<ul><li hidden>x<ul><li>y</ul><li>shown</ul>".replace("<li>shown", "</ul>shown").as_str(),
        "<script>x</script><style>y</style><title>z</title><svg><text>x</text></svg><template>y</template>shown",
        "<!-- x --><!DOCTYPE y><iframe>z</iframe><object>x</object>shown",
        "shown<div hidden>x",
        "<img hidden alt=''>shown",
    ] {
        assert_eq!(text_of_html(html).trim(), "shown", "{html}");
    }
}

#[test]
fn lines_wrap_between_words_and_words_are_never_split() {
    let (words, url) = ("word ".repeat(40), format!("https://example.org/{}", "a".repeat(200)));
    let text = text_of_html(&format!("<blockquote><ul><li>{words}{url} tail</ul></blockquote>"));
    assert!(text.contains(&url), "{text}");
    for line in text.lines().filter(|line| !line.contains(&url)) {
        assert!(line.chars().count() <= 78 && line.starts_with("> "), "{line}");
    }
    assert!(text.lines().nth(1).is_some_and(|line| line.starts_with(">   word")), "{text}");
}

#[test]
fn a_very_long_text_is_truncated() {
    let text = text_of_html(&"<p>word <a href=u>x</a>".repeat(200_000));
    assert!(text.len() < 2 * MOST_BYTES && text.contains(CUT) && text.ends_with("[1]: u\n"), "{}", text.len());
    let text =
        text_of_html(&(0..200_000).map(|n| format!("<a href=https://example.org/{n}>x</a>")).collect::<String>());
    assert!(text.len() < 3 * MOST_BYTES && text.contains(CUT), "{}", text.len());
    let text = text_of_html(&"x".repeat(5 * MOST_BYTES));
    assert!(text.len() < 2 * MOST_BYTES, "{}", text.len());
}
