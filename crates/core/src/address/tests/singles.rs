//! Texts that are one mailbox.

use super::single;

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(single(text), *expected, "{text:?}");
    }
}

#[test]
fn bare_addresses() {
    check(&[
        ("ann@example.org", "ann@example.org"),
        ("Ann.Lee+news@EXAMPLE.org", "Ann.Lee+news@example.org"),
        ("o'brien@example.org", "o'brien@example.org"),
        ("a.b-c_d/e@xn--80ak6aa92e.com", "a.b-c_d/e@xn--80ak6aa92e.com"),
        ("x+y=z!#$%&'*/?^_`{|}~@sub.example.co.uk", "x+y=z!#$%&'*/?^_`{|}~@sub.example.co.uk"),
        ("root@localhost", "root@localhost"),
        ("ann@under_score.example", "ann@under_score.example"),
        ("ann@a-b.example", "ann@a-b.example"),
        ("1@2.example", "1@2.example"),
        ("<ann@example.org>", "ann@example.org"),
        ("< ann@example.org >", "ann@example.org"),
        ("ann @ example.org", "ann@example.org"),
        ("ann@ example.org", "ann@example.org"),
        ("\t ann@example.org \r\n", "ann@example.org"),
        ("ann@example.org.", "ann@example.org"),
        ("<ann@example.org.>", "ann@example.org"),
    ]);
}

#[test]
fn other_scripts() {
    check(&[
        ("info@żółw.pl", "info@xn--w-uga1v8h.pl"),
        ("info@ŻÓŁW.PL", "info@xn--w-uga1v8h.pl"),
        ("z\u{307}@example.org", "ż@example.org"),
        ("żółć@example.org", "żółć@example.org"),
        ("李雷@例え.jp", "李雷@xn--r8jz45g.jp"),
        ("a@例え。jp", "a@xn--r8jz45g.jp"),
        ("a@straße.de", "a@xn--strae-oqa.de"),
        ("Żaneta Ёлка <z@example.org>", "Żaneta Ёлка|z@example.org"),
        ("山田\u{3000}太郎 <taro@example.jp>", "山田\u{3000}太郎|taro@example.jp"),
        ("👩\u{200d}👩\u{200d}👧 <f@example.org>", "👩\u{200d}👩\u{200d}👧|f@example.org"),
        ("Shop ❤\u{fe0f} <s@example.org>", "Shop ❤\u{fe0f}|s@example.org"),
        ("דוד <d@example.org>", "דוד|d@example.org"),
        ("a@نامه\u{200c}ای.com", "a@xn--mgba3gch31f060k.com"),
    ]);
}

#[test]
fn names() {
    check(&[
        ("Ann <ann@example.org>", "Ann|ann@example.org"),
        ("Ann<ann@example.org>", "Ann|ann@example.org"),
        ("Ann Lee <ann@example.org>", "Ann Lee|ann@example.org"),
        ("Ann   Lee <ann@example.org>", "Ann Lee|ann@example.org"),
        ("Ann\tLee <ann@example.org>", "Ann Lee|ann@example.org"),
        ("Ann Lee\r\n <ann@example.org>", "Ann Lee|ann@example.org"),
        ("\"Ann Lee\" <ann@example.org>", "Ann Lee|ann@example.org"),
        ("\"Acme, Inc.\" <info@example.org>", "Acme, Inc.|info@example.org"),
        ("\"O'Brien, \\\"Bob\\\"\" <b@example.org>", "O'Brien, \"Bob\"|b@example.org"),
        ("\"back\\\\slash\" <b@example.org>", "back\\slash|b@example.org"),
        ("\" Ann\u{a0}\" <a@example.org>", " Ann\u{a0}|a@example.org"),
        ("\"a  b\" <a@example.org>", "a  b|a@example.org"),
        ("Ann \"the boss\" Lee <ann@example.org>", "Ann the boss Lee|ann@example.org"),
        ("\"Ann\" Lee <ann@example.org>", "Ann Lee|ann@example.org"),
        ("\"ann@example.org\" <ann@example.org>", "ann@example.org|ann@example.org"),
        ("\"\" <ann@example.org>", "ann@example.org"),
        ("Dr. Ann Lee <ann@example.org>", "Dr. Ann Lee|ann@example.org"),
        ("O'Brien & Sons <b@example.org>", "O'Brien & Sons|b@example.org"),
        ("[Example] News <news@example.org>", "[Example] News|news@example.org"),
        ("DOMAIN\\ann <ann@example.org>", "DOMAIN\\ann|ann@example.org"),
        ("Ann! <ann@example.org>", "Ann!|ann@example.org"),
        ("ann@example.org <ann@example.org>", "ann@example.org"),
        ("Ann@Example.org <ann@example.org>", "ann@example.org"),
    ]);
}

#[test]
fn names_with_a_comma_or_colon_but_without_quotes() {
    check(&[
        ("Acme, Inc. <info@example.org>", "Acme, Inc.|info@example.org"),
        ("Lee, Ann <ann@example.org>", "Lee, Ann|ann@example.org"),
        ("Lee,Ann <ann@example.org>", "Lee,Ann|ann@example.org"),
        ("Lee, Ann, \"Dr., MD\" <ann@example.org>", "Lee, Ann, Dr., MD|ann@example.org"),
        ("Acme: News <news@example.org>", "Acme: News|news@example.org"),
        ("10:30 Club, The <club@example.org>", "10:30 Club, The|club@example.org"),
    ]);
}

#[test]
fn comments() {
    check(&[
        ("ann@example.org (Ann Lee)", "Ann Lee|ann@example.org"),
        ("ann@example.org (Ann (the boss) Lee)", "Ann (the boss) Lee|ann@example.org"),
        ("ann@example.org (a \\) b)", "a ) b|ann@example.org"),
        ("ann@example.org (=?utf-8?q?=C5=BBaneta?= Lee)", "Żaneta Lee|ann@example.org"),
        ("ann@example.org ()", "ann@example.org"),
        ("Ann (Sales) <ann@example.org>", "Ann|ann@example.org"),
        ("Ann (Sales) Lee <ann@example.org> (work)", "Ann Lee|ann@example.org"),
        ("(work) ann@example.org", "ann@example.org"),
        ("ann(work)@example.org", "ann@example.org"),
        ("ann@(work)example.org", "ann@example.org"),
        ("<(work)ann@example.org>", "ann@example.org"),
        ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete|pete@silly.test"),
    ]);
}

#[test]
fn encoded_names() {
    check(&[
        ("=?utf-8?q?=C5=BB=C3=B3=C5=82=C4=87?= <z@example.org>", "Żółć|z@example.org"),
        ("=?UTF-8?B?xbvDs8WCxIc=?= <z@example.org>", "Żółć|z@example.org"),
        ("=?UTF-8?B?xbvDs8WCxIc?= <z@example.org>", "Żółć|z@example.org"),
        ("=?utf-8?q?Ann_Lee?= <ann@example.org>", "Ann Lee|ann@example.org"),
        ("=?utf-8?q?Ann?= =?utf-8?q?Lee?= <ann@example.org>", "AnnLee|ann@example.org"),
        ("=?utf-8?q?=C5?= =?utf-8?q?=BB?= <z@example.org>", "Ż|z@example.org"),
        ("=?utf-8?q?Ann?= Lee <ann@example.org>", "Ann Lee|ann@example.org"),
        ("=?iso-8859-1?q?Andr=E9?= <a@example.org>", "André|a@example.org"),
        ("=?iso-8859-1*fr?q?Andr=E9?= <a@example.org>", "André|a@example.org"),
        ("=?iso-8859-1?q?Andr=E9?= =?utf-8?q?=C5=BB?= <a@example.org>", "AndréŻ|a@example.org"),
        ("=?utf-8?q?Acme,_Inc.?= <info@example.org>", "Acme, Inc.|info@example.org"),
        ("=?utf-8?q?a=zz?= <a@example.org>", "a=zz|a@example.org"),
        ("\"=?utf-8?q?Ann?=\" <ann@example.org>", "=?utf-8?q?Ann?=|ann@example.org"),
        ("=?utf-8?x?Ann?= <ann@example.org>", "=?utf-8?x?Ann?=|ann@example.org"),
        ("=?utf-8 Ann <ann@example.org>", "=?utf-8 Ann|ann@example.org"),
    ]);
}

#[test]
fn quoted_local_parts_and_address_literals() {
    check(&[
        ("\"ann lee\"@example.org", "\"ann lee\"@example.org"),
        ("\"ann\"@example.org", "ann@example.org"),
        ("\"ann.lee\"@example.org", "ann.lee@example.org"),
        ("\"ann..lee\"@example.org", "\"ann..lee\"@example.org"),
        ("\"ann@home\"@example.org", "\"ann@home\"@example.org"),
        ("\"a, b\"@example.org", "\"a, b\"@example.org"),
        ("\"say \\\"hi\\\"\"@example.org", "\"say \\\"hi\\\"\"@example.org"),
        ("\"a\\b\"@example.org", "ab@example.org"),
        ("\" \"@example.org", "\" \"@example.org"),
        ("ann.\"lee b\"@example.org", "\"ann.lee b\"@example.org"),
        ("\"ann\".lee@example.org", "ann.lee@example.org"),
        ("Ann <\"ann lee\"@example.org>", "Ann|\"ann lee\"@example.org"),
        ("\"ż ó\"@example.org", "\"ż ó\"@example.org"),
        ("ann@[192.0.2.5]", "ann@[192.0.2.5]"),
        ("ann@[IPv6:2001:DB8::1]", "ann@[IPv6:2001:db8::1]"),
        ("ann@[ipv6:2001:db8:0:0::1]", "ann@[IPv6:2001:db8::1]"),
        ("ann@[2001:db8::1]", "ann@[IPv6:2001:db8::1]"),
        ("Ann <\"ann lee\"@[192.0.2.5]>;", "Ann|\"ann lee\"@[192.0.2.5]"),
    ]);
}

#[test]
fn prefixes_and_stray_characters() {
    check(&[
        ("mailto:ann@example.org", "ann@example.org"),
        ("MAILTO:ann@example.org", "ann@example.org"),
        ("mailto: ann@example.org", "ann@example.org"),
        ("<mailto:ann@example.org>", "ann@example.org"),
        ("Ann <mailto:ann@example.org>", "Ann|ann@example.org"),
        ("ann@example.org<mailto:ann@example.org>", "ann@example.org"),
        ("mailto:ann@example.org?subject=Hi", "ann@example.org"),
        ("mailto:ann%2Bnews@example.org", "ann+news@example.org"),
        ("mailto:ann%40example.org", "ann@example.org"),
        ("mailto:%C5%BC@example.org", "ż@example.org"),
        ("mailto:50%off@example.org", "50%off@example.org"),
        ("smtp:ann@example.org", "ann@example.org"),
        ("SMTP:ann@example.org", "ann@example.org"),
        ("ann@example.org;", "ann@example.org"),
        ("ann@example.org,", "ann@example.org"),
        ("ann@example.org ; ", "ann@example.org"),
        (";ann@example.org", "ann@example.org"),
        ("ann@example.org., ;", "ann@example.org"),
        ("Ann <ann@example.org>;", "Ann|ann@example.org"),
        ("Ann <ann@example.org>.", "Ann|ann@example.org"),
        ("Ann <ann@example.org>,", "Ann|ann@example.org"),
        ("ann@[192.0.2.5].", "ann@[192.0.2.5]"),
        ("Team: ann@example.org;", "ann@example.org"),
        ("<@a.example,@b.example:ann@example.org>", "ann@example.org"),
    ]);
}

#[test]
fn characters_at_the_ends_that_are_not_seen() {
    check(&[
        ("\u{feff}ann@example.org", "ann@example.org"),
        ("\u{feff}\u{feff}ann@example.org\u{200b}", "ann@example.org"),
        ("ann@example.org\u{a0}", "ann@example.org"),
        ("\u{3000}ann@example.org\u{2009}", "ann@example.org"),
        ("\u{202a}ann@example.org\u{202c}", "ann@example.org"),
        ("\u{200e}ann@example.org\u{200f}", "ann@example.org"),
        ("ann@example.org\u{ad}", "ann@example.org"),
        ("ann@example.org\u{200b};", "ann@example.org"),
        ("<\u{200b}ann@example.org\u{200b}>", "ann@example.org"),
        ("Ann\u{a0}<ann@example.org>", "Ann|ann@example.org"),
        ("\u{200b}Ann\u{200b} <ann@example.org>\u{200b}", "Ann|ann@example.org"),
        ("\u{200b} <ann@example.org>", "ann@example.org"),
        ("mailto:ann@example.org\u{a0}", "ann@example.org"),
        ("\u{3164}ann@example.org\u{2800}", "ann@example.org"),
    ]);
}
