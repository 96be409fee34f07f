//! Columns and keys of a row as variables, fields of the mail and headers; notes about doubtful
//! ones.

use postroom_testkit::{FakeSmtp, Received, eventually};
use serde_json::json;

use crate::fixture::{CommandOutput, Fixture, LIMIT};

const NO_REDIS: &str = "redis://127.0.0.1:1";

/// A fixture with the template `t`.
fn with_template(fixture: Fixture, subject: &str, body: &str) -> Fixture {
    fixture.file("templates/t/subject.txt", subject);
    fixture.file("templates/t/body.txt", body);
    fixture
}

/// Sends the rows of a bulk in the foreground; returns the output and the mails.
async fn sent(subject: &str, body: &str, args: &[&str], rows: &str) -> (CommandOutput, Vec<Received>) {
    let server = FakeSmtp::start().await;
    let fixture = with_template(Fixture::at(NO_REDIS).with_smtp(&server), subject, body);
    fixture.file("templates/t/body.pl.txt", "po polsku");
    let ran = fixture.run_with(&[&["bulk", "--sync", "--template", "t"], args].concat(), rows.as_bytes());
    assert!(server.violations().is_empty());
    (ran, server.received())
}

fn body(mail: &Received) -> String {
    mail.text().split_once("\r\n\r\n").map(|(_, body)| body.trim_end().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn columns_are_variables_under_their_names() {
    let rows = "Email,First Name,imie,Number (cm),2nd line\nAnn <ann@example.org>,Ann,Ania,170,b\n";
    let text = "{{ email }}|{{ first_name }}|{{ vars[\"First Name\"] }}|{{ imie }}|{{ number_cm }}|\
                {{ vars[\"Number (cm)\"] }}|{{ _2nd_line }}|{{ vars['2nd line'] }}";
    let (ran, mails) = sent("Hi {{ first_name }}", text, &["--csv", "-"], rows).await;
    assert_eq!((ran.code, mails.len()), (0, 1), "{ran:?}");
    assert_eq!(body(&mails[0]), "ann@example.org|Ann|Ann|Ania|170|170|b|b");
    assert_eq!(mails[0].header("Subject").as_deref(), Some("Hi Ann"));
}

#[tokio::test]
async fn columns_are_fields_of_the_mail() {
    let rows = "to,subject,locale,reply_to,cc,bcc,from,n\n\
                a@example.org,Hello A,,,,,,1\n\
                b@example.org,,pl-PL,Desk <d@example.org>,c@example.org,x@example.org,F <f@example.org>,2\n";
    let (ran, mails) =
        sent("Default {{ n }}", "{{ n }} {{ subject | default(value=\"-\") }}", &["--csv", "-"], rows).await;
    assert_eq!((ran.code, mails.len()), (0, 2), "{ran:?}");
    let header = |at: usize, name: &str| mails[at].header(name).unwrap_or_default();
    assert_eq!((header(0, "Subject"), body(&mails[0])), ("Hello A".to_owned(), "1 Hello A".to_owned()));
    assert_eq!((header(0, "Reply-To"), header(0, "Cc")), (String::new(), String::new()));
    assert_eq!((header(1, "Subject"), body(&mails[1])), ("Default 2".to_owned(), "po polsku".to_owned()));
    assert_eq!(header(1, "Reply-To"), "Desk <d@example.org>");
    assert_eq!((header(1, "Cc"), header(1, "From")), ("c@example.org".to_owned(), "F <f@example.org>".to_owned()));
    assert_eq!(mails[1].rcpt_to, ["b@example.org", "c@example.org", "x@example.org"]);
}

#[tokio::test]
async fn keys_of_json_lines_are_fields_of_the_mail() {
    let rows = json!({
        "to": "a@example.org", "subject": "Own", "locale": "pl", "reply_to": ["d@example.org", "e@example.org"],
        "headers": {"X-Own": "1", "x-shared": "own"}, "n": 1,
        "attachments": [{"filename": "a.txt", "content": "aGk="}],
    });
    let plain = json!({"email": "b@example.org", "vars": {"n": 2, "subject": "a variable"}});
    let args = ["--jsonl", "-", "--header", "X-Shared: all", "--reply-to", "z@example.org"];
    let (ran, mails) = sent("Default", "{{ n }}{{ subject }}", &args, &format!("{rows}\n{plain}\n")).await;
    assert_eq!((ran.code, mails.len()), (0, 2), "{ran:?}");
    let header = |at: usize, name: &str| mails[at].header(name).unwrap_or_default();
    assert_eq!((header(0, "Subject"), header(0, "X-Own")), ("Own".to_owned(), "1".to_owned()));
    assert_eq!(
        (header(0, "X-Shared"), header(0, "Reply-To")),
        ("own".to_owned(), "d@example.org, e@example.org".into())
    );
    assert!(mails[0].text().contains("po polsku") && mails[0].text().contains("filename=\"a.txt\""));
    assert_eq!((header(1, "X-Shared"), header(1, "Reply-To")), ("all".to_owned(), "z@example.org".to_owned()));
    assert_eq!((header(1, "Subject"), body(&mails[1])), ("Default".to_owned(), "2a variable".to_owned()));
}

#[tokio::test]
async fn a_field_that_is_invalid_is_reported_with_its_line() {
    let rows = "to,reply_to,locale\na@example.org,,\nb@example.org,nobody,\nc@example.org,,p l\n";
    let (ran, mails) = sent("s", "x", &["--csv", "-"], rows).await;
    assert_eq!(mails.len(), 1, "{ran:?}");
    ran.mentions(&["line 3: reply_to: ", "nobody", "line 4: locale: "]);
}

/// Two columns with the same name in templates are an error.
#[test]
fn colliding_columns_are_named() {
    let fixture = with_template(Fixture::new(), "s", "x");
    for (header, words) in [
        ("to,First Name,first_name", &["\"First Name\" and \"first_name\" are both first_name"][..]),
        ("to,name,n,Name", &["\"name\" and \"Name\" are both name"]),
        ("to,Größe (cm),größe cm", &["\"Größe (cm)\" and \"größe cm\" are both größe_cm"]),
        ("to,subject,Subject", &["\"subject\" and \"Subject\" are both subject"]),
        ("to,a,a", &["two columns named a"]),
    ] {
        let rows = format!("{header}\na@example.org,1,2,3\n");
        fixture.run_with(&["bulk", "--template", "t", "--csv", "-"], rows.as_bytes()).refused(2, words);
    }
}

#[tokio::test]
async fn a_header_is_rendered_for_each_row() {
    let rows = "to,url\na@example.org,https://example.org/u?a=1&b=2\n\
                b@example.org,\"https://example.org/x>\r\nBcc: <z@example.org\"\n";
    let args = ["--csv", "-", "--header", "List-Unsubscribe: <{{ url }}>", "--header", "X-To: {{ email }}"];
    let (ran, mails) = sent("s", "x", &[&args[..], &["--header", "Precedence: bulk"]].concat(), rows).await;
    assert_eq!((ran.code, mails.len()), (0, 2), "{ran:?}");
    let header = |at: usize, name: &str| mails[at].header(name).unwrap_or_default();
    assert_eq!(header(0, "List-Unsubscribe"), "<https://example.org/u?a=1&b=2>");
    assert_eq!(header(1, "List-Unsubscribe"), "<https://example.org/x%3E%0ABcc:%20%3Cz@example.org>");
    assert_eq!((header(1, "X-To"), header(1, "Precedence")), ("b@example.org".to_owned(), "bulk".to_owned()));
    assert!(!mails[1].rcpt_to.contains(&"z@example.org".to_owned()));
}

#[tokio::test]
async fn a_header_without_a_valid_value_is_reported_with_its_line() {
    let long = "x".repeat(10 << 10);
    let rows = format!("to,url\na@example.org,https://example.org/u\nb@example.org,\nc@example.org,{long}\n");
    let args = ["--csv", "-", "--header", "List-Unsubscribe: <{{ url }}>"];
    let (ran, mails) = sent("s", "x", &args, &rows).await;
    assert_eq!((ran.code, mails.len()), (0, 1), "{ran:?}");
    ran.mentions(&[
        "line 3: headers: List-Unsubscribe: nothing is between < and >",
        "line 4: headers: List-Unsubscribe: the value has 10242 octets; it may have 998",
    ]);
    for (header, words) in [
        ("X-A: {{ nosuch }}", &["line 2: --header: X-A: Variable `nosuch` is not defined", "email, url"][..]),
        ("X-A: {{ url", &["--header: X-A: "]),
        ("Subject: {{ url }}", &["--header: Subject can't be set"]),
    ] {
        let (ran, mails) = sent("s", "x", &["--csv", "-", "--header", header], &rows).await;
        assert_eq!(mails.len(), 0);
        ran.refused(2, words);
    }
}

/// The headers of a template are rendered by the worker, for a bulk and for a single mail.
#[tokio::test]
async fn a_worker_renders_the_headers_of_a_template() {
    let server = FakeSmtp::start().await;
    let fixture = with_template(Fixture::new().with_smtp(&server), "{{ imię }}", "{{ email }} {{ first_name }}");
    fixture.file("templates/t/headers.toml", "List-Unsubscribe = \"<https://example.org/{{ email | urlencode }}>\"");
    let _worker = fixture.worker().await;
    let rows = "to,imię,First Name,subject\na@example.org,Zoë,Zoe,\nb@example.org,Ben,Ben,Own\n";
    fixture.run_with(&["bulk", "--template", "t", "--csv", "-"], rows.as_bytes());
    fixture.ok(&["send", "--to", "c@example.org", "--template", "t", "--var", "imię=C", "--var", "First Name=D"]);
    let mut mails = eventually(LIMIT, "three mails", async || {
        let mails = server.received();
        (mails.len() == 3).then_some(mails)
    })
    .await;
    mails.sort_by_key(|mail| mail.rcpt_to[0].clone());
    let found: Vec<_> =
        mails.iter().map(|mail| (mail.header("Subject"), mail.header("List-Unsubscribe"), body(mail))).collect();
    let expected = [
        ("=?utf-8?b?Wm/Dqw==?=", "<https://example.org/a%40example.org>", "a@example.org Zoe"),
        ("Own", "<https://example.org/b%40example.org>", "b@example.org Ben"),
        ("C", "<https://example.org/c%40example.org>", "c@example.org D"),
    ];
    let expected =
        expected.map(|(subject, url, body)| (Some(subject.to_owned()), Some(url.to_owned()), body.to_owned()));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn doubtful_columns_are_noted() {
    let rows = "to,Subject line,Reply-To,attachment,Cc,priority,text,vip,news\n\
                a@example.org,s,r,f,c,1,t,True,yes\nb@example.org,s,r,f,c,1,t,False,yes\n";
    let template = "{{ text }}{% if vip %}VIP{% endif %}{% if news == \"yes\" %}news{% endif %}";
    for strict in [&[][..], &["--strict"]] {
        let (ran, mails) = sent("s", template, &[&["--csv", "-"], strict].concat(), rows).await;
        assert_eq!((ran.code, mails.len()), (0, 2), "{ran:?}");
        for note in [
            "note: \"Subject line\" is a variable, which the template does not use; a column named subject sets the \
             subject\n",
            "note: \"Reply-To\" is a variable, which the template does not use; a column named reply_to sets",
            "note: \"attachment\" is a variable",
            "note: \"Cc\" is a variable, which the template does not use; a column named cc",
            "note: \"priority\" is a variable",
            "note: the template tests vip as true or false, but its values are texts, and every text but the empty \
             one is true, \"False\" too; write {% if vip == \"True\" %}\n",
        ] {
            assert_eq!(ran.stderr.matches(note).count(), 1, "{note}: {ran:?}");
        }
        assert_eq!(ran.stderr.matches("note: ").count(), 6, "{ran:?}");
    }
    for (values, is_noted) in [
        (["True", "False"], true),
        (["1", "0"], true),
        (["YES", "no"], true),
        (["no", ""], true),
        (["True", "True"], false),
        (["True", ""], false),
        (["no", "maybe"], false),
    ] {
        let rows = format!("to,Is VIP\na@example.org,{}\nb@example.org,{}\n", values[0], values[1]);
        let (ran, _) = sent("s", "{{ \"a\" if not is_vip else \"b\" }}", &["--csv", "-"], &rows).await;
        assert_eq!(ran.stderr.contains("note: the template tests Is VIP"), is_noted, "{values:?}: {ran:?}");
    }
}

#[test]
fn a_header_is_not_made_from_sensitive_variables() {
    let fixture = with_template(Fixture::new(), "s", "x");
    fixture.file("postroom.toml", "[template.t]\nsensitive = true\n");
    let bulk = ["bulk", "--template", "t", "--to", "a@example.org", "--header"];
    fixture.run(&[&bulk[..], &["X-A: {{ email }}"]].concat()).refused(2, &["headers: ", "sensitive", "headers.toml"]);
    assert_eq!(fixture.run(&[&bulk[..], &["X-A: 1"]].concat()).code, 0);
}

#[test]
fn a_repeated_name_is_an_error() {
    let fixture = with_template(Fixture::new(), "s", "x");
    let send = ["send", "--to", "a@example.org", "--template", "t"];
    let bulk = ["bulk", "--to", "a@example.org", "--template", "t"];
    for command in [send, bulk] {
        for (more, words) in [
            (["--var", "a=1", "--var", "a=2"], "--var: the variable a is set twice"),
            (["--var", "a=1", "--var-json", "a=2"], "--var: the variable a is set twice"),
            (["--header", "X-A: 1", "--header", "x-a: 2"], "--header: x-a is set twice"),
        ] {
            fixture.run(&[&command[..], &more].concat()).refused(2, &[words]);
        }
    }
}
