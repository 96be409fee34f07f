use std::{net::Ipv4Addr, path::Path, time::Duration};

use secrecy::ExposeSecret;

use super::{assert_says, env, from_env, from_toml, toml};
use crate::{
    QueueName,
    settings::{Security, Settings, SmtpSettings, TransportSettings},
};

fn smtp(pairs: &[(&str, &str)]) -> SmtpSettings {
    let settings = from_env(pairs).expect("settings");
    match settings.transports_of(&QueueName::emails()).expect("a transport").as_slice() {
        [("default", TransportSettings::Smtp(smtp))] => smtp.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_apply_when_nothing_is_set() {
    let settings = from_env(&[]).expect("settings");
    assert_eq!(settings.redis.url.expose_secret(), "redis://127.0.0.1:6379/0");
    assert_eq!(settings.redis.prefix, "postroom");
    assert_eq!(settings.templates_dir, Path::new("templates"));
    assert_eq!((settings.bind, settings.monitor_port, settings.health_port), (Ipv4Addr::LOCALHOST.into(), 5555, None));
    assert_eq!((settings.concurrency.min, settings.concurrency.max), (10, 10));
    assert_eq!(settings.max_message_size, 25_000_000);
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(25));
    assert_eq!(settings.timezone, chrono_tz::UTC);
    let served: Vec<_> = settings.serve.iter().map(|(queue, weight)| (queue.as_str(), *weight)).collect();
    assert_eq!(served, [("emails", 0), ("default", 0), ("bulk", 0)]);
    let message = settings.transports_of(&QueueName::emails()).expect_err("none").to_string();
    assert_says(&message, &["SMTP_HOST", "MAIL_TRANSPORT", "[transport."]);
}

#[test]
fn port_and_security_default_to_each_other() {
    for (pairs, port, security) in [
        (vec![], 587, Security::StartTls),
        (vec![("SMTP_PORT", "465")], 465, Security::Tls),
        (vec![("SMTP_PORT", "2465")], 2465, Security::Tls),
        (vec![("SMTP_PORT", "2525")], 2525, Security::StartTls),
        (vec![("SMTP_SECURITY", "tls")], 465, Security::Tls),
        (vec![("SMTP_SECURITY", "none")], 25, Security::None),
        (vec![("SMTP_SECURITY", "starttls"), ("SMTP_PORT", "465")], 465, Security::StartTls),
    ] {
        let smtp = smtp(&[&[("SMTP_HOST", "mail")], pairs.as_slice()].concat());
        assert_eq!((smtp.port, smtp.security), (port, security), "{pairs:?}");
    }
}

#[test]
fn a_relay_on_this_machine_needs_only_its_host() {
    let login = [("SMTP_USERNAME", "a"), ("SMTP_PASSWORD", "b")];
    for host in ["localhost", "127.0.0.1", "::1"] {
        for (pairs, port, security) in [
            (&[][..], 25, Security::None),
            (&[("SMTP_PORT", "1025")], 1025, Security::StartTls),
            (&[("SMTP_SECURITY", "starttls")], 587, Security::StartTls),
            (&login, 587, Security::StartTls),
        ] {
            let smtp = smtp(&[&[("SMTP_HOST", host)], pairs].concat());
            assert_eq!((smtp.port, smtp.security), (port, security), "{host} {pairs:?}");
        }
    }
}

#[test]
fn a_mail_server_is_read_from_the_environment() {
    let smtp = smtp(&[
        ("SMTP_HOST", "mail.example.org"),
        ("SMTP_USERNAME", "ann"),
        ("SMTP_PASSWORD", "hunter2"),
        ("SMTP_CA_FILE", "/ca.pem"),
        ("SMTP_HELLO_NAME", "app.example.org"),
    ]);
    let (user, password) = smtp.credentials.clone().expect("a login");
    assert_eq!((user.as_str(), password.expose_secret()), ("ann", "hunter2"));
    assert_eq!(smtp.ca_file.as_deref(), Some(Path::new("/ca.pem")));
    assert_eq!(smtp.hello_name, "app.example.org");
    assert!(!format!("{smtp:?}").contains("hunter2"));
}

#[test]
fn mail_transport_overrides_smtp_host() {
    let host = ("SMTP_HOST", "mail");
    let settings = |word| from_env(&[host, ("MAIL_TRANSPORT", word)]).expect("settings").transports["default"].clone();
    assert!(matches!(settings("smtp"), TransportSettings::Smtp(_)));
    assert!(matches!(settings("capture"), TransportSettings::Capture));
    assert!(matches!(settings("discard"), TransportSettings::Discard));
    assert!(matches!(settings("file:a b"), TransportSettings::File(path) if path == Path::new("a b")));
}

#[test]
fn a_provider_needs_only_its_key() {
    let settings = from_env(&[("MAIL_TRANSPORT", "resend"), ("RESEND_API_KEY", "re_1")]).expect("settings");
    let TransportSettings::Resend(resend) = &settings.transports["default"] else { panic!("{settings:?}") };
    assert_eq!((resend.url.to_string().as_str(), resend.api_key.expose_secret()), ("https://api.resend.com", "re_1"));
    let refused = from_env(&[("MAIL_TRANSPORT", "resend"), ("RESEND_API_KEY", "re 1")]);
    assert_says(&super::refusal(refused), &["RESEND_API_KEY", "a space"]);
}

#[test]
fn the_environment_replaces_the_default_transport_of_the_toml() {
    let mut sources = toml("[transport.default]\nkind = 'discard'");
    let transport = |sources: &_| Settings::from_sources(sources).expect("settings").transports["default"].clone();
    assert!(matches!(transport(&sources), TransportSettings::Discard));
    sources.env = env(&[("MAIL_TRANSPORT", "capture")]);
    assert!(matches!(transport(&sources), TransportSettings::Capture));
}

#[test]
fn a_transport_has_an_envelope_sender() {
    let table = "[transport.main]\nkind = 'capture'\nenvelope_from = 'bounces+{id}@Example.org'\n";
    let settings = from_toml(table).expect("settings");
    assert_eq!(settings.envelope_senders["main"].to_string(), "bounces+{id}@example.org");
    let settings = from_env(&[("SMTP_HOST", "mail"), ("SMTP_ENVELOPE_FROM", "<>")]).expect("settings");
    assert_eq!(settings.envelope_senders["default"].to_string(), "<>");
}

#[test]
fn the_sender_has_an_address_and_a_name() {
    for (address, name, expected) in [
        ("a@example.org", None, "a@example.org"),
        ("Ann <a@example.org>", None, "Ann <a@example.org>"),
        ("Ann <a@example.org>", Some("Żółw"), "Żółw <a@example.org>"),
    ] {
        let mut pairs = vec![("SMTP_MAIL_FROM", address)];
        pairs.extend(name.map(|name| ("SMTP_FROM_NAME", name)));
        let sender = from_env(&pairs).expect("settings").sender.expect("a sender");
        assert_eq!(sender.to_string(), expected);
    }
}

#[test]
fn served_queues_exist() {
    let settings = from_env(&[("QUEUES", "reports:5, emails")]).expect("settings");
    let served: Vec<_> = settings.serve.iter().map(|(queue, weight)| (queue.as_str(), *weight)).collect();
    assert_eq!(served, [("reports", 5), ("emails", 1)]);
    let known: Vec<_> = settings.queues.keys().map(QueueName::as_str).collect();
    assert_eq!(known, ["bulk", "default", "emails", "reports"]);
}

#[test]
fn the_platform_port_overrides_the_monitor_port() {
    for (pairs, port) in [(vec![("MONITOR_PORT", "1")], 1), (vec![("MONITOR_PORT", "1"), ("PORT", "2")], 2)] {
        assert_eq!(from_env(&pairs).expect("settings").monitor_port, port);
    }
    assert_eq!(from_env(&[("HEALTH_PORT", "0")]).expect("settings").health_port, Some(0));
}

#[test]
fn the_location_of_redis_is_shown_without_secrets() {
    for (url, shown) in [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("rediss://ann:p%40ss@host:1/2#insecure", "rediss://host:1/2"),
        ("redis://:secret@host", "redis://host"),
        ("redis+unix:///run/redis.sock?db=1&pass=secret", "redis+unix:///run/redis.sock"),
        ("redis+sentinel://ann:secret@one:1,two/mail/2", "redis+sentinel://one:1,two/mail/2"),
    ] {
        let settings = from_env(&[("REDIS_URL", url)]).expect(url);
        assert_eq!(settings.redis.redacted_url(), shown);
        assert!(!format!("{settings:?}").contains("secret"), "{settings:?}");
    }
}

#[test]
fn any_certificate_is_accepted_only_on_request() {
    for (url, variable, expected) in [
        ("rediss://host", "", false),
        ("rediss://host", "true", true),
        ("rediss://host#insecure", "", true),
        ("rediss://host#insecure", "false", true),
    ] {
        let settings = from_env(&[("REDIS_URL", url), ("REDIS_TLS_INSECURE", variable)]).expect(url);
        assert_eq!(settings.redis.insecure_tls, expected, "{url} {variable}");
        assert_eq!(settings.redis.url.expose_secret(), "rediss://host");
    }
}

/// A file without a certificate.
const NO_PEM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

#[test]
fn certificate_authorities_are_read_only_with_tls() {
    let file = ("REDIS_CA_FILE", "/nowhere/ca.pem");
    for (url, words) in [
        ("rediss://host", vec!["REDIS_CA_FILE: /nowhere/ca.pem can't be read"]),
        ("rediss+sentinel://one/mail", vec!["REDIS_CA_FILE: /nowhere/ca.pem can't be read"]),
        ("rediss://host#insecure", vec!["REDIS_CA_FILE: ", "REDIS_TLS_INSECURE", "remove one"]),
    ] {
        assert_says(&super::refusal(from_env(&[("REDIS_URL", url), file])), &words);
    }
    let refused = from_env(&[("REDIS_URL", "rediss://host"), ("REDIS_CA_FILE", NO_PEM)]);
    assert_says(&super::refusal(refused), &["REDIS_CA_FILE: ", NO_PEM, "no certificate", "PEM"]);
    from_env(&[("REDIS_URL", "redis://host"), file]).expect("the file is ignored");
}

#[test]
fn weak_protection_of_redis_causes_warnings() {
    for (pairs, word) in [
        (vec![("REDIS_URL", "rediss://host")], ""),
        (vec![("REDIS_URL", "redis://host"), ("REDIS_TLS_INSECURE", "true")], ""),
        (vec![("REDIS_URL", "rediss://host"), ("REDIS_TLS_INSECURE", "true")], "REDIS_TLS_INSECURE: "),
        (vec![("REDIS_URL", "rediss+sentinel://one/mail"), ("REDIS_TLS_INSECURE", "true")], "REDIS_TLS_INSECURE: "),
        (vec![("REDIS_URL", "rediss://host#insecure")], "REDIS_TLS_INSECURE: "),
        (vec![("REDIS_URL", "redis://host"), ("REDIS_CA_FILE", "/ca.pem")], "REDIS_CA_FILE is ignored"),
    ] {
        let warnings = from_env(&pairs).expect("settings").redis.warnings().join("\n");
        assert!(warnings.starts_with(word) && warnings.is_empty() == word.is_empty(), "{pairs:?}: {warnings}");
    }
}
