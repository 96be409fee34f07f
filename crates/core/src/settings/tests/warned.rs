//! Tests of valid settings that cause warnings.

use super::{from_env, from_toml};

const LOGIN: [(&str, &str); 2] = [("SMTP_USERNAME", "ada"), ("SMTP_PASSWORD", "hunter2 is secret")];

#[test]
fn a_password_sent_to_another_machine_without_tls_causes_a_warning() {
    for (host, security, warned) in [
        ("mail.example.org", "none", true),
        ("192.0.2.1", "none", true),
        ("10.0.0.1", "none", true),
        ("localhost.example.org", "none", true),
        ("mail.example.org", "starttls", false),
        ("mail.example.org", "tls", false),
        ("localhost", "none", false),
        ("LocalHost", "none", false),
        ("mail.localhost", "none", false),
        ("127.0.0.1", "none", false),
        ("127.8.8.8", "none", false),
        ("::1", "none", false),
    ] {
        let server = [("SMTP_HOST", host), ("SMTP_SECURITY", security)];
        let warnings = from_env(&[&server[..], &LOGIN].concat()).expect("settings").warnings();
        assert_eq!(warnings.len(), usize::from(warned), "{host} {security}: {warnings:?}");
        for warning in &warnings {
            let words = ["transport default", host, "SMTP_SECURITY", "starttls"];
            assert!(words.iter().all(|word| warning.contains(word)) && !warning.contains("hunter2"), "{warning}");
        }
        assert_eq!(from_env(&server).expect("settings").warnings(), Vec::<String>::new(), "no password");
    }
}

#[test]
fn a_table_with_a_password_and_no_tls_causes_a_warning() {
    let toml = |security: &str| {
        format!(
            "[transport.relay]\nkind = \"smtp\"\nhost = \"mx.example.org\"\nsecurity = \"{security}\"\n\
             username = \"ada\"\n\
             password = \"hunter2\"\n"
        )
    };
    let warnings = from_toml(&toml("none")).expect("settings").warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("transport relay"), "{warnings:?}");
    assert!(from_toml(&toml("tls")).expect("settings").warnings().is_empty());
}

#[test]
fn an_envelope_sender_of_a_provider_without_envelope_causes_a_warning() {
    let sender = ("SMTP_ENVELOPE_FROM", "bounces@example.org");
    let resend = [("MAIL_TRANSPORT", "resend"), ("RESEND_API_KEY", "re_1"), sender];
    let warnings = from_env(&resend).expect("settings").warnings();
    assert_eq!(
        warnings,
        ["SMTP_ENVELOPE_FROM has no effect: transport default sends through Resend, which has no envelope"]
    );
    assert_eq!(from_env(&[("MAIL_TRANSPORT", "capture"), sender]).expect("settings").warnings(), Vec::<String>::new());
}

#[test]
fn a_short_webhook_secret_causes_a_warning() {
    for (secret, length) in [
        ("a", Some(1)),
        ("23 bytes are too few...", Some(23)),
        ("24 bytes are just enough", None),
        ("whsec_aGVsbG8=", Some(5)),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", None),
    ] {
        let warnings = from_env(&[("NOTIFY_WEBHOOK_SECRET", secret)]).expect("settings").warnings();
        let expected = length.map(|length| format!("NOTIFY_WEBHOOK_SECRET has {length} bytes"));
        assert_eq!(warnings.len(), usize::from(expected.is_some()), "{secret}: {warnings:?}");
        assert!(expected.is_none_or(|expected| warnings[0].starts_with(&expected)), "{warnings:?}");
        assert!(secret.len() == 1 || !warnings.concat().contains(secret), "{warnings:?}");
    }
}
