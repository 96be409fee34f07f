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
        ("<p>a<div>b</div>c</p>d", "a\n\nb\nc\n\nd\n"),
        ("<table><td><pre>a  b<td>c  d</table>", "a  b\n\nc d\n"),
        ("<table><td><blockquote>a<td>b</table>", "> a\n\nb\n"),
        ("<table><td><ul><li>a<td>b</table>", "* a\n\nb\n"),
        ("<h2>A</h2><h3></h3>b", "## A\n\nb\n"),
        ("<img alt='A b' src=x> c", "A b c\n"),
        ("x<sup>2</sup>&amp;&copy;&#x17c;", "x2&©ż\n"),
        ("a\u{1}\u{0}b", "ab\n"),
        ("a<a href=u>\u{b}b</a>", "a[b][1]\n\n[1]: u\n"),
        ("<pre>a&#13;b&#12;c</pre>", "abc\n"),
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
fn zero_sizes_hide_text_until_an_element_within_has_a_size() {
    for (html, text) in [
        ("<div style='max-height:0;overflow:hidden'>x</div>a", "a"),
        ("<div style='max-height:0px'>x<img alt=y></div>a", "a"),
        ("<div style='height:0;overflow:hidden'>x</div>a", "a"),
        ("<div style='height:0'>x</div>a", "x\na"),
        ("<span style='width:0;overflow:hidden'>x</span>a", "a"),
        ("<table><td style='max-width:0;overflow:hidden'>x</table>a", "x\na"),
        ("<div style='opacity: 0.0'>x</div>a", "a"),
        ("<div style='opacity:.5'>x</div>a", "x\na"),
        ("<div style='mso-hide:all'>x</div>a", "a"),
        ("<a href=u style='mso-hide:all'>x</a> a", "[x][1] a\n\n[1]: u"),
        ("<div style='font-size:0'>x</div>a", "a"),
        ("<div style='font:0/0 a'>x</div>a", "a"),
        ("<div style='font:bold 0px/1 a'>x</div>a", "a"),
        ("<div style='font:400 14px/1 a'>x</div>a", "x\na"),
        ("<div style='font-size:0px'>x<p style='font-size:13px'>y</p>z</div>a", "y\n\na"),
        ("<div style='font-size:0px'>x<p style='font-size:1.5em'>y<b style='font-size:2rem'>z</b></div>a", "z\n\na"),
        ("<td style='font-size:0'><img alt=Logo></td>a", "Logo\na"),
        ("<div style='visibility:hidden'>x<b style='visibility:visible'>y</b><img alt=z></div>a", "y\na"),
        ("<div style='visibility:collapse'>x</div>a", "a"),
        ("<div style='display:block;display:none!important;display:block'>x</div>a", "a"),
        ("<div style='display:none;display:block'>x</div>a", "x\na"),
        ("<div style='display:none'>x<b style='display:block;font-size:9px;visibility:visible'>y</b></div>a", "a"),
        ("<td><span style='display:none'>x</td><td>a</td>", "a"),
        ("<p hidden>x<div>a</div>", "a"),
        ("<div hidden><p>x</div></p>a", "a"),
        ("&zwnj;&nbsp;&#847; &#8203;&shy;<b>a</b>", "a"),
        ("<a href=u>&zwnj;</a>a", "a"),
        ("Donau&shy;dampf&#8203;schiff", "Donaudampfschiff"),
        ("\u{645}\u{6cc}\u{200c}\u{62e}", "\u{645}\u{6cc}\u{200c}\u{62e}"),
    ] {
        assert_eq!(text_of_html(html).trim_end(), text, "{html}");
    }
}

#[test]
fn no_line_is_cut() {
    let (words, url) = ("word ".repeat(40), format!("https://example.org/{}?a=b", "a".repeat(200)));
    let han = "\u{6b22}\u{8fce}\u{5149}\u{4e34}".repeat(80);
    for (html, text) in [
        (format!("<blockquote><ul><li>{words}{url} tail</ul></blockquote>"), format!("> * {words}{url} tail\n")),
        (format!("<p>{han}</p>"), format!("{han}\n")),
        (format!("<p><a href=\"{url}\">{words}</a>x"), format!("[{words}][1] x\n\n[1]: {url}\n")),
        (format!("<a href='{url}'>{url}</a>"), format!("{url}\n")),
        (format!("<h1>{words}</h1>"), format!("# {}\n", words.trim_end())),
    ] {
        assert_eq!(text_of_html(&html).replace(" ][", "]["), text.replace(" ][", "]["), "{html}");
    }
}

#[test]
fn deep_lists_take_linear_time_and_bounded_indentation() {
    let deep = format!("{}x{}", "<ul><li>a".repeat(30_000), "</li></ul>".repeat(30_000));
    let text = text_of_html(&deep);
    assert_eq!(text.lines().count(), 30_000);
    assert!(text.lines().all(|line| line.trim_start().starts_with("* a") && line.len() < 40), "{}", text.len());
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
