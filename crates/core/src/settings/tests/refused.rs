use super::{assert_says, from_env, from_toml, refusal};

#[test]
fn invalid_values_are_reported_with_what_they_may_be() {
    for (name, value, may_be) in [
        ("REDIS_URL", "http://localhost", "redis://"),
        ("REDIS_URL", "redis://host:port", "redis://"),
        ("REDIS_URL", "redis://host/zero", "redis://"),
        ("REDIS_TLS_INSECURE", "yes", "true or false"),
        ("POSTROOM_PREFIX", "a{b}", "no braces"),
        ("POSTROOM_PREFIX", "a b", "a-z"),
        ("SMTP_HOST", "smtp://mail", "without scheme"),
        ("SMTP_PORT", "0", "1 to 65535"),
        ("SMTP_PORT", "smtp", "1 to 65535"),
        ("SMTP_SECURITY", "ssl", "tls, starttls or none"),
        ("SMTP_HELLO_NAME", "a b", "host name"),
        ("SMTP_MAIL_FROM", "nobody", "no @"),
        ("SMTP_MAIL_FROM", "a@example.org, b@example.org", "two addresses"),
        ("SMTP_FROM_NAME", "Nobody", "SMTP_MAIL_FROM"),
        ("SMTP_ENVELOPE_FROM", "nobody", "an address or <>"),
        ("SMTP_ENVELOPE_FROM", "bounces+{job}@example.org", "{id}"),
        (
            "SMTP_ENVELOPE_FROM",
            "a-long-name-for-bounces-of-mail-{id}@example.org",
            "longer than 64 characters (queue default)",
        ),
        ("SMTP_USERNAME", "ann", "password is missing"),
        ("MAIL_TRANSPORT", "pigeon", "smtp, resend, file:DIR, capture or discard"),
        ("MAIL_TRANSPORT", "file:", "file:DIR"),
        ("MAIL_TRANSPORT", "smtp", "SMTP_HOST"),
        ("MAIL_TRANSPORT", "resend", "RESEND_API_KEY"),
        ("QUEUES", "E mails", "a-z"),
        ("QUEUES", "emails:0", "1 to 1000"),
        ("QUEUES", "emails:many", "1 to 1000"),
        ("QUEUES", "emails,emails:2", "twice"),
        ("CONCURRENCY", "10-3", "3-10"),
        ("BIND", "everywhere", "0.0.0.0"),
        ("MONITOR_PORT", "99999", "65535"),
        ("HEALTH_PORT", "on", "off"),
        ("PORT", "web", "65535"),
        ("MAX_MESSAGE_SIZE", "huge", "25MB"),
        ("RETENTION", "30", "unit"),
        ("TIMEZONE", "Mars/Base", "Europe/Warsaw"),
        ("SHUTDOWN_TIMEOUT", "25", "unit"),
        ("LOG_LEVEL", "3", "error, warn, info, debug or trace"),
        ("LOG_FORMAT", "xml", "text or json"),
    ] {
        let message = refusal(from_env(&[(name, value)]));
        assert_says(&message, &[may_be]);
        assert_says(&message, &[if name == "SMTP_USERNAME" { "SMTP_PASSWORD" } else { name }]);
    }
}

#[test]
fn a_user_name_and_a_password_require_each_other() {
    assert_says(&refusal(from_env(&[("SMTP_PASSWORD", "x")])), &["SMTP_USERNAME: the user name is missing"]);
    let table = "[transport.main]\nkind = 'smtp'\nhost = 'mail'\n";
    for (line, missing) in [("username = 'a'", "password: the password"), ("password = 'a'", "username: the user name")]
    {
        let message = refusal(from_toml(&format!("{table}{line}")));
        assert_says(&message, &[&format!("[transport.main] {missing} is missing")]);
    }
}

#[test]
fn secrets_appear_in_no_message() {
    for message in [
        refusal(from_env(&[("REDIS_URL", "redis://me:hunter2@host:port")])),
        refusal(from_env(&[("REDIS_URL", "hunter2")])),
        refusal(from_toml("[transport.main]\nkind = 'smtp'\npassword = 8472")),
        refusal(from_toml("smtp_password = hunter2")),
        refusal(from_toml("smtp_password = 'hunter2")),
    ] {
        assert!(!message.contains("hunter2") && !message.contains("8472"), "{message}");
    }
}

#[test]
fn unknown_variables_with_our_prefix_are_refused_and_others_are_not() {
    let message = refusal(from_env(&[("POSTROOM_PREFIKS", "x")]));
    assert_says(&message, &["POSTROOM_PREFIKS", "unknown setting", "POSTROOM_PREFIX", "POSTROOM_CONFIG"]);
    assert!(from_env(&[("PATH", "/bin"), ("SERVE_PORT", "1"), ("postroom_x", "1")]).is_ok());
}

#[test]
fn unknown_toml_keys_are_refused_with_line_and_known_keys() {
    for (text, words) in [
        ("\nretenton = '30d'", vec!["postroom.toml, line 2", "\"retenton\"", "did you mean retention?"]),
        ("[provider.x]\nrate = '20/s'", vec!["line 1", "\"provider\"", "transport"]),
        ("[[trigger]]\non = 'x'", vec!["line 1", "\"trigger\"", "schedule"]),
        ("port = 80", vec!["\"port\"", "monitor_port"]),
        ("postroom_config = 'x'", vec!["\"postroom_config\""]),
        ("max_message_size_file = 'x'", vec!["\"max_message_size_file\""]),
        ("[queue.bulk]\nattempts = 3\nspeed = '1/s'", vec!["line 3", "speed", "rate"]),
        ("[transport.x]\nkind = 'smtp'\nhost = 'h'\nsockets = 3", vec!["line 4", "sockets", "connections"]),
        ("[transport.x]\nkind = 'smtp'\nhost = 'h'\ntimeouts = { quit = '1s' }", vec!["line 4", "quit", "dot"]),
        ("[domain.'x.org']\nspeed = 'x'", vec!["line 2", "speed", "rate"]),
        ("[template.x]\nsubject = 'x'", vec!["line 2", "subject", "sensitive"]),
        ("[[schedule]]\nname = 'x'\nto = []\nbulk = true", vec!["line 4", "bulk", "each"]),
        ("a = = b", vec!["postroom.toml, line 1"]),
        ("retention = ['30d']", vec!["line 1", "retention", "a text in quotes"]),
        ("concurrency = 0x10", vec!["line 1", "concurrency", "a text in quotes"]),
    ] {
        assert_says(&refusal(from_toml(text)), &words);
    }
}

#[test]
fn quotas_and_connections_are_checked() {
    for (text, words) in [
        ("[transport.x]\nkind = 'capture'\nquota = 0\nper = 'day'", vec!["[transport.x] quota", "above 0"]),
        ("[transport.x]\nkind = 'capture'\nquota = 5", vec!["[transport.x] per", "hour, day or month"]),
        ("[transport.x]\nkind = 'capture'\nquota = 5\nper = 'week'", vec!["[transport.x] per", "\"week\"", "month"]),
        ("[transport.x]\nkind = 'capture'\nper = 'day'", vec!["[transport.x] per", "quota"]),
        ("[transport.x]\nkind = 'capture'\nquota = 5\nper = 'day'\nover = 'x'", vec!["over", "wait or next"]),
        ("[queue.bulk]\nquota = 5\nper = 'day'\ntimezone = 'x'", vec!["[queue.bulk] timezone", "\"x\""]),
        ("[queue.bulk]\nquota = 5\nper = 'day'\nover = 'next'", vec!["[queue.bulk] over", "wait"]),
        ("[transport.x]\nkind = 'smtp'\nhost = 'h'\nconnections = 0", vec!["[transport.x] connections", "10000"]),
        (
            "[transport.x]\nkind = 'capture'\nenvelope_from = 'x'",
            vec!["[transport.x] envelope_from", "an address or <>"],
        ),
        ("[transport.x]\nkind = 'discard'\nenvelope_from = '<>'", vec!["[transport.x] envelope_from", "discard"]),
        (
            "[transport.x]\nkind = 'capture'\nenvelope_from = 'bounces-{id}@x.org'\n\
             [queue.a-queue-with-a-name-of-32-letter]\ntransports = ['x']",
            vec!["[transport.x] envelope_from", "longer than 64", "a-queue-with-a-name-of-32-letter"],
        ),
        ("[transport.x]\nkind = 'capture'\nconnections = 1", vec!["[transport.x] connections", "capture"]),
    ] {
        assert_says(&refusal(from_toml(text)), &words);
    }
}
