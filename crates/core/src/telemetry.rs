//! Log lines, to standard error.

use std::io::{self, IsTerminal};

use tracing::{Level, Subscriber};
use tracing_subscriber::{
    Registry,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
};

use crate::settings::{LogFormat, LogSettings};

/// Writes log lines to standard error from now on. Once a process: what is there already stays.
pub fn init(log: &LogSettings) {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // An error only says that one is installed already, as in a test that builds a program twice.
    let _ = tracing::subscriber::set_global_default(subscriber(log, io::stderr, colour));
}

fn subscriber<W>(log: &LogSettings, writer: W, colour: bool) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let registry = Registry::default().with(filter(log.level));
    let lines = fmt::layer().with_writer(writer).with_ansi(colour);
    match log.format {
        LogFormat::Text => Box::new(registry.with(lines)),
        LogFormat::Json => Box::new(registry.with(lines.json().flatten_event(true).with_current_span(false))),
    }
}

/// Our own crates at the level, those of others at warnings and worse.
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
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("the lines").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: Level, format: LogFormat) -> String {
        let lines = Lines::default();
        let copy = lines.clone();
        let subscriber = subscriber(&LogSettings { level, format }, move || copy.clone(), false);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "postroom_worker::claim", queue = "emails", "claimed");
            tracing::debug!(target: "postroom_core", "detail");
            tracing::info!(target: "hyper", "noise");
            tracing::warn!(target: "rustls", "trouble");
        });
        let bytes = lines.0.lock().expect("the lines").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn our_crates_at_the_level_and_others_at_warnings() {
        for (level, expected) in [
            (Level::TRACE, vec!["claimed", "detail", "trouble"]),
            (Level::INFO, vec!["claimed", "trouble"]),
            (Level::WARN, vec!["trouble"]),
            (Level::ERROR, vec![]),
        ] {
            let text = logged(level, LogFormat::Text);
            let seen: Vec<_> =
                ["claimed", "detail", "noise", "trouble"].into_iter().filter(|word| text.contains(word)).collect();
            assert_eq!(seen, expected, "{level}: {text}");
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
