use std::{path::Path, time::Duration};

use chrono_tz::Tz;
use secrecy::ExposeSecret;
use serde_json::json;

use super::{assert_says, from_toml, refusal};
use crate::{
    Backoff, OnUnknown, Policy, Priority, QueueName,
    schedule::{Missed, Timing},
    settings::{Security, TransportSettings},
};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn queue(name: &str) -> QueueName {
    name.parse().expect("a queue name")
}

#[test]
fn top_level_values_set_variables() {
    let settings = from_toml("monitor_port = 6_000\nconcurrency = 7\nredis_tls_insecure = true\nsmtp_host = 'mail'")
        .expect("settings");
    assert_eq!((settings.monitor_port, settings.concurrency.max, settings.redis.insecure_tls), (6000, 7, true));
    assert!(matches!(&settings.transports["default"], TransportSettings::Smtp(smtp) if smtp.host == "mail"));
}

#[test]
fn queue_tables_are_read() {
    let settings = from_toml(
        "retention = '7d'
        [queue.bulk]
        on_unknown = 'fail'
        attempts = 2
        backoff = '10s'
        backoff_max = '20s'
        lease = '30s'
        max_age = '1h'
        retention = '0s'
        [queue.mine]
        backoff = 'fixed:10m'
        [queue.slow]
        backoff = '5m'",
    )
    .expect("settings");
    let exponential = |base, max| Backoff::Exponential { base: seconds(base), max: seconds(max) };
    let bulk = Policy {
        attempts: 2,
        backoff: exponential(10, 20),
        lease: seconds(30),
        max_age: seconds(3600),
        on_unknown: OnUnknown::Fail,
        retention: None,
    };
    assert_eq!(settings.policy_for(&queue("bulk"), None), bulk);
    let default = Policy { retention: Some(seconds(7 * 86_400)), ..Policy::of_queue("emails") };
    assert_eq!(settings.policy_for(&queue("emails"), None), default);
    assert_eq!(settings.policy_for(&queue("unheard-of"), Some("unheard-of")), default);
    assert_eq!(settings.policy_for(&queue("mine"), None).backoff, Backoff::Fixed(seconds(600)));
    assert_eq!(settings.policy_for(&queue("slow"), None).backoff, exponential(300, 1800));
    let names: Vec<&str> = settings.serve.iter().map(|(queue, _)| queue.as_str()).collect();
    assert_eq!(names, ["emails", "default", "mine", "slow", "bulk"]);
}

#[test]
fn templates_override_the_policy_of_the_queue() {
    let settings = from_toml(
        "[queue.emails]
        backoff = '2s'
        [template.reset]
        queue = 'emails'
        priority = 1
        expires_in = '1h'
        attempts = 9
        backoff_max = '5s'
        sensitive = true
        [template.news]
        backoff = 'fixed:1m'",
    )
    .expect("settings");
    let reset = &settings.templates["reset"];
    assert_eq!(reset.queue, Some(QueueName::emails()));
    assert_eq!(reset.priority.map(Priority::get), Some(1));
    assert_eq!((reset.expires_in, reset.sensitive), (Some(seconds(3600)), true));
    let emails = queue("emails");
    let plain = settings.policy_for(&emails, None);
    let backoff = Backoff::Exponential { base: seconds(2), max: seconds(5) };
    assert_eq!(settings.policy_for(&emails, Some("reset")), Policy { attempts: 9, backoff, ..plain.clone() });
    let backoff = Backoff::Fixed(seconds(60));
    assert_eq!(settings.policy_for(&emails, Some("news")), Policy { backoff, ..plain });
}

#[test]
fn transport_tables_are_read() {
    let settings = from_toml(
        "[transport.main]
        kind = 'smtp'
        host = 'mail.example.org'
        port = 465
        username = 'ann'
        password = 'hunter2'
        ca_file = '/ca.pem'
        hello_name = 'app.example.org'
        timeouts = { connect = '3s', dot = '1m', dot_per_megabyte = '5s', dot_max = '2m' }
        [transport.folder]
        kind = 'file'
        path = 'out'
        [transport.captured]
        kind = 'capture'
        [transport.discarded]
        kind = 'discard'
        [queue.emails]
        transports = ['main']
        [queue.reports]
        transports = ['main', 'folder']",
    )
    .expect("settings");
    let (name, main) = settings.transports_of(&QueueName::emails()).expect("a transport")[0];
    let TransportSettings::Smtp(main) = main else { panic!("{main:?}") };
    assert_eq!((name, main.host.as_str(), main.port, main.security), ("main", "mail.example.org", 465, Security::Tls));
    assert_eq!(main.ca_file.as_deref(), Some(Path::new("/ca.pem")));
    assert_eq!(main.hello_name, "app.example.org");
    assert_eq!(
        (main.timeouts.connect, main.timeouts.dot, main.timeouts.tls),
        (Some(seconds(3)), Some(seconds(60)), None)
    );
    assert_eq!((main.timeouts.dot_per_megabyte, main.timeouts.dot_max), (Some(seconds(5)), Some(seconds(120))));
    assert!(matches!(&settings.transports["folder"], TransportSettings::File(path) if path == Path::new("out")));
    assert!(matches!(settings.transports["captured"], TransportSettings::Capture));
    assert!(matches!(settings.transports["discarded"], TransportSettings::Discard));
    assert!(!format!("{settings:?}").contains("hunter2"));
    let reports: QueueName = "reports".parse().expect("a name");
    let both: Vec<_> =
        settings.transports_of(&reports).expect("two").into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(both, ["main", "folder"], "in order");
    let message = settings.transports_of(&QueueName::bulk()).expect_err("no default").to_string();
    assert_says(
        &message,
        &["queue bulk", "SMTP_HOST", "MAIL_TRANSPORT", "[transport.default]", "captured, discarded, folder, main"],
    );
}

#[test]
fn a_provider_table_is_read() {
    let settings = from_toml(
        "resend_api_key = 're_top'
        [transport.main]
        kind = 'resend'
        api_key = 're_hunter2'
        url = 'https://proxy.example.org/resend'
        timeout = '5s'
        ca_file = '/ca.pem'
        rate = '2/s'
        [transport.plain]
        kind = 'resend'",
    )
    .expect("settings");
    let of = |name: &str| match &settings.transports[name] {
        TransportSettings::Resend(resend) => resend.clone(),
        other => panic!("{other:?}"),
    };
    let (main, plain) = (of("main"), of("plain"));
    assert_eq!((main.url.to_string().as_str(), main.timeout), ("https://proxy.example.org/resend", seconds(5)));
    assert_eq!((main.api_key.expose_secret(), main.ca_file.as_deref()), ("re_hunter2", Some(Path::new("/ca.pem"))));
    assert_eq!((plain.url.to_string().as_str(), plain.timeout), ("https://api.resend.com", seconds(30)));
    assert_eq!(plain.api_key.expose_secret(), "re_top");
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("re_top"), "{shown}");
}

#[test]
fn schedule_tables_are_read() {
    let settings = from_toml(
        "timezone = 'Europe/Warsaw'
        [template.report]
        queue = 'default'
        priority = 2
        expires_in = '2h'
        [[schedule]]
        name = 'daily'
        cron = '0 8 * * *'
        template = 'report'
        locale = 'pl'
        to = ['Ann <ann@example.org>', 'ben@example.org']
        vars = { title = 'Żółć', n = 3, day = 2026-01-02, deep = { x = [1.5, true] } }
        [[schedule]]
        name = 'ping'
        every = '1s'
        subject = 'Ping'
        text = 'Pong'
        to = ['ann@example.org']
        each = true
        missed = 'skip'
        enabled = false
        [[schedule]]
        name = 'other'
        cron = '@daily'
        timezone = 'Asia/Tokyo'
        template = 'report'
        to = ['ann@example.org']
        queue = 'mine'
        priority = 9
        expires_in = '1m'
        missed = 'run'
        grace = '5m'",
    )
    .expect("settings");
    let [daily, ping, other] = settings.schedules.as_slice() else { panic!("three schedules") };
    assert_eq!(daily.timing, Timing::Cron { expression: "0 8 * * *".to_owned(), timezone: Tz::Europe__Warsaw });
    assert_eq!((daily.queue.as_str(), daily.priority.get(), daily.expires_in), ("default", 2, Some(seconds(7200))));
    assert_eq!((daily.enabled, daily.each, daily.missed), (true, false, Missed::Run { grace: seconds(3600) }));
    let vars = json!({"title": "Żółć", "n": 3, "day": "2026-01-02", "deep": {"x": [1.5, true]}});
    assert_eq!(serde_json::Value::Object(daily.mail.vars.clone()), vars);
    assert_eq!(daily.mail.to.len(), 2);
    assert_eq!(daily.mail.locale.as_deref(), Some("pl"));
    assert_eq!(ping.timing, Timing::Every(seconds(1)));
    assert_eq!((ping.queue.as_str(), ping.priority, ping.missed), ("bulk", Priority::NORMAL, Missed::Skip));
    assert_eq!((ping.enabled, ping.each), (false, true));
    assert_eq!(other.timing, Timing::Cron { expression: "@daily".to_owned(), timezone: Tz::Asia__Tokyo });
    assert_eq!((other.queue.as_str(), other.priority.get(), other.expires_in), ("mine", 9, Some(seconds(60))));
    assert_eq!(other.missed, Missed::Run { grace: seconds(300) });
}

#[test]
fn invalid_tables_are_refused() {
    let schedule = |line: &str| format!("[[schedule]]\nname = 'x'\nto = ['a@b.c']\ntemplate = 't'\n{line}");
    let smtp = |line: &str| format!("[transport.x]\nkind = 'smtp'\n{line}");
    let resend = |line: &str| format!("[transport.x]\nkind = 'resend'\n{line}");
    for (text, words) in [
        ("[queue.'A b']".to_owned(), vec!["[queue.A b]", "a-z"]),
        ("[queue.bulk]\nlease = '15'".to_owned(), vec!["[queue.bulk] lease", "unit"]),
        ("[queue.bulk]\nlease = '10ms'".to_owned(), vec!["[queue.bulk] lease", "1s or more"]),
        ("[queue.bulk]\nattempts = 0".to_owned(), vec!["[queue.bulk] attempts", "1 to 100"]),
        ("[queue.bulk]\nrate = '100'".to_owned(), vec!["[queue.bulk] rate", "100/m"]),
        ("[domain.'a b']\nrate = '1/s'".to_owned(), vec!["[domain.a b]", "not a domain"]),
        (
            "[domain.'X.org']\nrate = '1/s'\n[domain.'x.org']\nrate = '2/s'".to_owned(),
            vec!["[domain.x.org]", "same domain"],
        ),
        ("[template.'a b']\nrate = '1/s'".to_owned(), vec!["[template.a b]", "template.NAME"]),
        ("[queue.bulk]\nattempts = 'two'".to_owned(), vec!["line 2", "0 to 4294967295"]),
        ("[queue.bulk]\non_unknown = 'guess'".to_owned(), vec!["[queue.bulk] on_unknown", "resend, hold or fail"]),
        ("[queue.bulk]\nbackoff = '3'".to_owned(), vec!["[queue.bulk] backoff", "unit"]),
        ("[queue.bulk]\nbackoff = '3m'\nbackoff_max = '3s'".to_owned(), vec!["backoff_max", "less than backoff"]),
        ("[queue.bulk]\nbackoff = 'fixed:3m'\nbackoff_max = '3s'".to_owned(), vec!["backoff_max", "fixed"]),
        (
            smtp("host = 'h'\n[queue.bulk]\ntransports = ['x', 'b']"),
            vec!["[queue.bulk] transports", "\"b\"", "default, x"],
        ),
        (
            smtp("host = 'h'\n[queue.bulk]\ntransports = ['x', 'default', 'x']"),
            vec!["[queue.bulk] transports", "\"x\" is listed twice"],
        ),
        ("[queue.bulk]\ntransports = []".to_owned(), vec!["[queue.bulk] transports", "empty"]),
        (smtp("host = 'h'\n[queue.bulk]\ntransports = ['y']"), vec!["[queue.bulk] transports", "\"y\"", "default, x"]),
        ("[transport.'X Y']\nkind = 'capture'".to_owned(), vec!["[transport.X Y]", "a-z"]),
        (
            "[transport.x]\nkind = 'pigeon'".to_owned(),
            vec!["[transport.x] kind", "smtp, resend, file, capture or discard"],
        ),
        ("[transport.x]\nhost = 'h'".to_owned(), vec!["line 1", "kind"]),
        ("[transport.x]\nkind = 'file'".to_owned(), vec!["[transport.x] path", "missing"]),
        ("[transport.x]\nkind = 'file'\npath = 'p'\nport = 25".to_owned(), vec!["[transport.x] port", "\"file\""]),
        ("[transport.x]\nkind = 'capture'\npath = 'p'".to_owned(), vec!["[transport.x] path", "\"capture\""]),
        (resend(""), vec!["[transport.x] api_key", "missing", "RESEND_API_KEY"]),
        (resend("api_key = 're 1'"), vec!["[transport.x] api_key", "re_"]),
        (resend("api_key = 'a'\napi_key_file = 'b'"), vec!["[transport.x] api_key_file", "one of them"]),
        (resend("api_key_file = '/nowhere'"), vec!["[transport.x] api_key_file", "/nowhere"]),
        (resend("api_key = 'a'\nhost = 'h'"), vec!["[transport.x] host", "\"resend\""]),
        (resend("api_key = 'a'\nurl = 'api.resend.com'"), vec!["[transport.x] url", "https://"]),
        (resend("api_key = 'a'\nurl = 'http://api.resend.com'"), vec!["[transport.x] url", "TLS"]),
        (resend("api_key = 'a'\ntimeout = '10'"), vec!["[transport.x] timeout", "unit"]),
        (smtp("host = 'h'\napi_key = 'a'"), vec!["[transport.x] api_key", "\"smtp\""]),
        (smtp(""), vec!["[transport.x] host", "missing"]),
        (smtp("host = 'h'\npath = 'p'"), vec!["[transport.x] path", "\"smtp\""]),
        (smtp("host = 'h'\nport = 0"), vec!["[transport.x] port", "65535"]),
        (smtp("host = 'h:25'"), vec!["[transport.x] host", "without scheme or port"]),
        (smtp("host = 'h'\nsecurity = 'ssl'"), vec!["[transport.x] security", "starttls"]),
        (smtp("host = 'h'\nhello_name = 'a b'"), vec!["[transport.x] hello_name"]),
        (smtp("host = 'h'\ntimeouts = { dot = '60' }"), vec!["[transport.x] timeouts.dot", "unit"]),
        (smtp("host = 'h'\nusername = 'a'\npassword = 'b'\npassword_file = 'c'"), vec!["password_file", "one of them"]),
        (
            smtp("host = 'h'\nusername = 'a'\npassword_file = '/nowhere'"),
            vec!["[transport.x] password_file", "/nowhere"],
        ),
        ("smtp_host = 'a'\n[transport.default]\nkind = 'capture'".to_owned(), vec!["[transport.default]", "smtp_host"]),
        ("[template.t]\npriority = 10".to_owned(), vec!["[template.t] priority", "9"]),
        ("[template.t]\nqueue = 'A'".to_owned(), vec!["[template.t] queue"]),
        ("[template.t]\nexpires_in = '1'".to_owned(), vec!["[template.t] expires_in", "unit"]),
        ("[template.t]\nbackoff = 'x'".to_owned(), vec!["[template.t] backoff"]),
        (schedule(""), vec!["[[schedule]] x: cron", "every"]),
        (schedule("cron = '* * * * *'\nevery = '1m'"), vec!["[[schedule]] x: every", "one of them"]),
        (schedule("every = '10ms'"), vec!["[[schedule]] x: every", "1s or more"]),
        (schedule("every = '1m'\ntimezone = 'UTC'"), vec!["[[schedule]] x: timezone", "cron"]),
        (schedule("cron = '* * * * *'\ntimezone = 'Mars'"), vec!["[[schedule]] x: timezone", "Europe/Warsaw"]),
        (schedule("every = '1m'\ntext = 'x'"), vec!["[[schedule]] x: template", "not both"]),
        (schedule("every = '1m'\nmissed = 'panic'"), vec!["[[schedule]] x: missed", "run or skip"]),
        (schedule("every = '1m'\nmissed = 'skip'\ngrace = '1m'"), vec!["[[schedule]] x: grace"]),
        (schedule("every = '1m'\nqueue = 'A'"), vec!["[[schedule]] x: queue"]),
        (schedule("every = '1m'\npriority = 11"), vec!["[[schedule]] x: priority"]),
        (schedule("every = '1m'\nvars = { x = inf }"), vec!["[[schedule]] x: vars"]),
        (schedule(&format!("every = '1m'\n{}", schedule("every = '1m'"))), vec!["[[schedule]] x: name", "same name"]),
        ("[[schedule]]\nname = 'x'\nevery = '1m'\nto = ['nobody']\ntemplate = 't'".to_owned(), vec!["x: to", "no @"]),
        ("[[schedule]]\nname = 'x'\nevery = '1m'\nto = []\ntemplate = 't'".to_owned(), vec!["x: to", "no recipient"]),
        ("[[schedule]]\nname = 'x'\nevery = '1m'\nto = ['a@b.c']".to_owned(), vec!["x: text", "template"]),
        ("[[schedule]]\nname = 'x'\nevery = '1m'\nto = ['a@b.c']\ntext = 't'".to_owned(), vec!["x: subject"]),
        ("[[schedule]]\nname = 'X Y'\nevery = '1m'\nto = ['a@b.c']\ntemplate = 't'".to_owned(), vec!["name", "a-z"]),
        ("[[schedule]]\nto = ['a@b.c']\ntemplate = 't'".to_owned(), vec!["line 1", "name"]),
    ] {
        assert_says(&refusal(from_toml(&text)), &words);
    }
}
