use std::fs;

use secrecy::{ExposeSecret, SecretString};

use super::{assert_says, env, from_env, refusal, toml};
use crate::settings::{Settings, Sources, variables};

fn prefix(sources: &Sources) -> String {
    Settings::from_sources(sources).expect("settings").redis.prefix
}

#[test]
fn flag_before_environment_before_dotenv_before_toml() {
    let mut sources = Sources::default();
    assert_eq!(prefix(&sources), "postroom");
    sources.file = toml("prefix = 'toml'").file;
    assert_eq!(prefix(&sources), "toml");
    sources.dotenv = Some("POSTROOM_PREFIX=dotenv".to_owned());
    assert_eq!(prefix(&sources), "dotenv");
    sources.env = env(&[("POSTROOM_PREFIX", "env")]);
    assert_eq!(prefix(&sources), "env");
    sources.flags = vec![(variables::POSTROOM_PREFIX, "flag".to_owned())];
    assert_eq!(prefix(&sources), "flag");
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let mut sources = toml("prefix = 'toml'");
    sources.env =
        env(&[("POSTROOM_PREFIX", ""), ("PORT", ""), ("SMTP_PASSWORD_FILE", ""), ("POSTROOM_UNHEARD_OF", "")]);
    sources.dotenv = Some("POSTROOM_PREFIX=\n".to_owned());
    assert_eq!(prefix(&sources), "toml");
}

#[test]
fn a_problem_names_the_source_of_the_value() {
    let value = "never".to_owned();
    for (sources, source) in [
        (Sources { flags: vec![(variables::LOG_LEVEL, value.clone())], ..Sources::default() }, "--log-level: "),
        (Sources { env: env(&[("LOG_LEVEL", &value)]), ..Sources::default() }, "LOG_LEVEL: "),
        (Sources { dotenv: Some(format!("LOG_LEVEL={value}")), ..Sources::default() }, "LOG_LEVEL in .env: "),
        (toml(&format!("bind = '::1'\nlog_level = '{value}'")), "postroom.toml, line 2, log_level: "),
    ] {
        let message = refusal(Settings::from_sources(&sources));
        assert!(message.starts_with(source), "{message}");
        assert_says(&message, &["error, warn, info, debug or trace"]);
    }
}

#[test]
fn dotenv_supports_comments_exports_and_quotes() {
    let sources = Sources {
        dotenv: Some("# comment\nexport POSTROOM_PREFIX=first\nOTHERS=x\nPOSTROOM_PREFIX='la.st' # why\n".to_owned()),
        ..Sources::default()
    };
    assert_eq!(prefix(&sources), "la.st");
}

#[test]
fn a_bad_line_of_dotenv_is_reported_by_number_only() {
    let sources =
        Sources { dotenv: Some("BIND=::1\nSMTP_PASSWORD=hunter2 and more\n".to_owned()), ..Sources::default() };
    let message = refusal(Settings::from_sources(&sources));
    assert_says(&message, &[".env, line 2", "NAME=value", "quotes"]);
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn secrets_may_be_in_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    fs::write(&path, "pass word \n").expect("a file");
    let path = path.to_str().expect("a path");
    let shown = |secret: Option<SecretString>| secret.map(|secret| secret.expose_secret().to_owned());

    let settings = from_env(&[("MONITOR_PASSWORD_FILE", path)]).expect("settings");
    assert_eq!(shown(settings.monitor_password).as_deref(), Some("pass word "));
    let settings = Settings::from_sources(&toml(&format!("monitor_password_file = {path:?}"))).expect("settings");
    assert_eq!(shown(settings.monitor_password).as_deref(), Some("pass word "));

    fs::write(path, "redis://elsewhere:1\r\n").expect("a file");
    let settings = from_env(&[("REDIS_URL_FILE", path)]).expect("settings");
    assert_eq!(settings.redis.url.expose_secret(), "redis://elsewhere:1");

    let message = refusal(from_env(&[("SMTP_PASSWORD", "x"), ("SMTP_PASSWORD_FILE", path)]));
    assert_says(&message, &["SMTP_PASSWORD:", "SMTP_PASSWORD_FILE", "one of them"]);
    fs::write(path, "\n").expect("a file");
    assert_says(&refusal(from_env(&[("REDIS_URL_FILE", path)])), &["REDIS_URL_FILE", "is empty"]);
    let message = refusal(from_env(&[("REDIS_URL_FILE", "/nowhere/secret")]));
    assert_says(&message, &["REDIS_URL_FILE", "/nowhere/secret", "can't be read"]);
}

#[test]
fn a_value_overrides_the_secret_file_of_a_lower_source() {
    let sources = Sources {
        env: env(&[("MONITOR_PASSWORD", "env")]),
        dotenv: Some("MONITOR_PASSWORD_FILE=/nowhere".to_owned()),
        ..Sources::default()
    };
    let password = Settings::from_sources(&sources).expect("settings").monitor_password.expect("a password");
    assert_eq!(password.expose_secret(), "env");
}
