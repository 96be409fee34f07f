//! Log output to standard error.

use std::{
    fmt::Debug,
    io::{self, IsTerminal},
};

use tracing::{Level, Subscriber, field::Field};
use tracing_subscriber::{
    Registry,
    field::MakeExt,
    filter::Targets,
    fmt::{self, FormatFields, MakeWriter, format},
    layer::SubscriberExt,
};

use crate::{
    Escaped,
    settings::{LogFormat, LogSettings},
};

/// Installs the log subscriber for standard error. Only the first call in a process has an effect.
pub fn init(log: &LogSettings) {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Installing fails only if a subscriber is installed already, as in a test.
    let _ = tracing::subscriber::set_global_default(subscriber(log, io::stderr, colour));
}

fn subscriber<W>(log: &LogSettings, writer: W, colour: bool) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let registry = Registry::default().with(filter(log.level));
    let lines = fmt::layer().with_writer(writer).with_ansi(colour);
    match log.format {
        LogFormat::Text => Box::new(registry.with(lines.fmt_fields(escaped_fields()))),
        LogFormat::Json => Box::new(registry.with(lines.json().flatten_event(true).with_current_span(false))),
    }
}

/// Formats fields in one line, with control characters escaped. The JSON format escapes them
/// itself.
fn escaped_fields() -> impl for<'a> FormatFields<'a> + Send + Sync + 'static {
    let write = |writer: &mut format::Writer<'_>, field: &Field, value: &dyn Debug| match field.name() {
        "message" => write!(writer, "{}", Escaped(format_args!("{value:?}"))),
        name => write!(writer, "{name}={}", Escaped(format_args!("{value:?}"))),
    };
    format::debug_fn(write).delimited(" ")
}

/// Selects the configured level for our crates, and at most warnings for all others.
fn filter(level: Level) -> Targets {
    Targets::new().with_default(level.min(Level::WARN)).with_target("postroom", level)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct LogBuffer(Arc<Mutex<Vec<u8>>>);

    impl Write for LogBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("the lines").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: Level, format: LogFormat) -> String {
        let lines = LogBuffer::default();
        let copy = lines.clone();
        let subscriber = subscriber(&LogSettings { level, format }, move || copy.clone(), false);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "postroom_worker::claim", queue = "emails", "claimed");
            tracing::debug!(target: "postroom_core", "detail");
            tracing::info!(target: "hyper", "noise");
            tracing::warn!(target: "rustls", "failure");
        });
        let bytes = lines.0.lock().expect("the lines").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn our_crates_log_at_the_level_and_others_at_warnings() {
        for (level, expected) in [
            (Level::TRACE, vec!["claimed", "detail", "failure"]),
            (Level::INFO, vec!["claimed", "failure"]),
            (Level::WARN, vec!["failure"]),
            (Level::ERROR, vec![]),
        ] {
            let text = logged(level, LogFormat::Text);
            let seen: Vec<_> =
                ["claimed", "detail", "noise", "failure"].into_iter().filter(|word| text.contains(word)).collect();
            assert_eq!(seen, expected, "{level}: {text}");
        }
    }

    #[test]
    fn control_characters_never_break_a_log_line() {
        let subscriber = |lines: &LogBuffer, format| {
            let lines = lines.clone();
            subscriber(&LogSettings { level: Level::INFO, format }, move || lines.clone(), false)
        };
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = LogBuffer::default();
            let text = "no\u{1b}[2J\u{9b}1m\u{202e}\u{7f}\nERROR all is lost";
            tracing::subscriber::with_default(subscriber(&lines, format), || {
                tracing::warn!(target: "postroom_worker", reply = text, host = %text, "the server sent {text}");
            });
            let text = String::from_utf8(lines.0.lock().expect("the lines").clone()).expect("text");
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
            if matches!(format, LogFormat::Text) {
                let shown = r"no\u{1b}[2J\u{9b}1m\u{202e}\u{7f}\nERROR all is lost";
                let fields = format!("the server sent {shown} reply=\"{shown}\" host={shown}\n");
                assert!(text.ends_with(&fields), "{text:?} {fields:?}");
            }
        }
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged(Level::INFO, LogFormat::Json);
        let first = text.lines().next().expect("a line");
        let line: serde_json::Value = serde_json::from_str(first).expect("JSON");
        assert_eq!(line["message"], "claimed");
        assert_eq!(line["queue"], "emails");
        assert_eq!(line["level"], "INFO");
    }
}
