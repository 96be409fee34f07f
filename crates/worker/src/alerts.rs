//! Conditions that keep this worker from working. Each is logged when it begins and when it ends,
//! and shown with the worker meanwhile.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use postroom_core::{QueueName, store::Alert};
use tokio::sync::Notify;
use tracing::{error, info};

/// Time without failures after which a webhook alert ends; longer than the longest pause between
/// two calls.
const WEBHOOK_SILENCE: Duration = Duration::from_secs(2 * 3600);

/// Time without mail that lacks a sender after which its alert ends; longer than its delay.
const SENDER_SILENCE: Duration = Duration::from_secs(150);

/// Subject of an alert: at most one alert exists for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AlertSubject {
    /// A transport that is down.
    Transport(String),
    /// A queue with jobs of a newer protocol.
    Protocol(QueueName),
    /// A queue whose script Redis refused to run.
    Refused(QueueName),
    /// A queue in which damaged records were found.
    Damage(QueueName),
    /// The templates folder.
    Templates,
    /// Mail without a sender, while the settings have none.
    Sender,
    /// A missing template.
    Template(String),
    /// A webhook server whose calls fail.
    Webhook(String),
}

impl fmt::Display for AlertSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(name) => write!(f, "transport:{name}"),
            Self::Protocol(queue) => write!(f, "protocol:{queue}"),
            Self::Refused(queue) => write!(f, "refused:{queue}"),
            Self::Damage(queue) => write!(f, "damage:{queue}"),
            Self::Templates => f.write_str("templates"),
            Self::Sender => f.write_str("sender"),
            Self::Template(name) => write!(f, "template:{name}"),
            Self::Webhook(origin) => write!(f, "webhook:{origin}"),
        }
    }
}

/// All alerts of this worker.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    raised: Mutex<BTreeMap<AlertSubject, ActiveAlert>>,
    /// Notified when the set of alerts changes.
    report: Arc<Notify>,
}

#[derive(Debug)]
struct ActiveAlert {
    text: String,
    since_ms: i64,
    since: Instant,
    renewed: Instant,
}

impl Alerts {
    /// Creates an empty set.
    pub(crate) fn new(report: Arc<Notify>) -> Self {
        Self { report, ..Self::default() }
    }

    /// Raises an alert. It is logged when it is new; later texts on the same subject replace the
    /// first.
    pub(crate) fn raise(&self, subject: AlertSubject, text: String) {
        let now = Instant::now();
        let mut raised = self.lock();
        if let Some(active) = raised.get_mut(&subject) {
            active.renewed = now;
            active.text = text;
            return;
        }
        error!("{text}");
        raised.insert(subject, ActiveAlert { text, since_ms: unix_ms(), since: now, renewed: now });
        self.report.notify_one();
    }

    /// Ends an alert; `now` describes the present state.
    pub(crate) fn clear(&self, subject: &AlertSubject, now: &str) {
        if let Some(raised) = self.lock().remove(subject) {
            info!("{now}, after {:.1} s", raised.since.elapsed().as_secs_f64());
            self.report.notify_one();
        }
    }

    /// Ends alerts of templates that exist now, and alerts whose condition was not seen for
    /// `silence`.
    pub(crate) fn clear_ended(&self, silence: Duration, existing: &[String]) {
        let ended = |(subject, active): (&AlertSubject, &ActiveAlert)| {
            let is_silent = active.renewed.elapsed() > silence;
            let now = match subject {
                AlertSubject::Template(name) if existing.contains(name) => format!("template {name} exists"),
                AlertSubject::Sender if active.renewed.elapsed() > SENDER_SILENCE => {
                    "no mail waits for a sender".to_owned()
                }
                AlertSubject::Template(name) if is_silent => format!("no mail waits for template {name}"),
                AlertSubject::Protocol(queue) if is_silent => format!("{queue} is served again"),
                // Called once an hour at least, maybe by another worker.
                AlertSubject::Webhook(origin) if active.renewed.elapsed() > WEBHOOK_SILENCE => {
                    format!("webhook calls to {origin} no longer fail")
                }
                AlertSubject::Refused(queue) if is_silent => format!("Redis runs the scripts of {queue} again"),
                AlertSubject::Damage(queue) if is_silent => {
                    format!("no damaged records were found in {queue} for an hour")
                }
                AlertSubject::Template(_)
                | AlertSubject::Protocol(_)
                | AlertSubject::Refused(_)
                | AlertSubject::Damage(_)
                | AlertSubject::Webhook(_)
                | AlertSubject::Transport(_)
                | AlertSubject::Sender
                | AlertSubject::Templates => return None,
            };
            Some((subject.clone(), now))
        };
        let all: Vec<(AlertSubject, String)> = self.lock().iter().filter_map(ended).collect();
        all.iter().for_each(|(subject, now)| self.clear(subject, now));
    }

    /// Returns all alerts.
    pub(crate) fn list(&self) -> Vec<Alert> {
        let alert = |(subject, active): (&AlertSubject, &ActiveAlert)| Alert {
            about: subject.to_string(),
            text: active.text.clone(),
            since_ms: active.since_ms,
        };
        self.lock().iter().map(alert).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AlertSubject, ActiveAlert>> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the time by this machine's clock.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(alerts: &Alerts) -> Vec<(String, String)> {
        alerts.list().into_iter().map(|alert| (alert.about, alert.text)).collect()
    }

    #[test]
    fn each_subject_has_one_alert_until_it_ends() {
        let alerts = Alerts::default();
        let (main, news) = (AlertSubject::Transport("main".to_owned()), AlertSubject::Template("news".to_owned()));
        alerts.raise(main.clone(), "main is down".to_owned());
        alerts.raise(news.clone(), "news is missing".to_owned());
        alerts.raise(main.clone(), "main is still down".to_owned());
        let alert = |about: &str, text: &str| (about.to_owned(), text.to_owned());
        let both = [alert("transport:main", "main is still down"), alert("template:news", "news is missing")];
        assert_eq!(texts(&alerts), both);
        alerts.clear_ended(Duration::from_secs(60), &["other".to_owned()]);
        assert_eq!(texts(&alerts), both);
        alerts.clear(&main, "main is up");
        alerts.clear_ended(Duration::from_secs(60), &["news".to_owned()]);
        assert_eq!(texts(&alerts), []);
    }

    #[test]
    fn an_alert_ends_when_its_condition_is_not_seen_again() {
        let alerts = Alerts::default();
        alerts.raise(AlertSubject::Template("news".to_owned()), "missing".to_owned());
        alerts.raise(AlertSubject::Protocol(QueueName::bulk()), "newer".to_owned());
        alerts.raise(AlertSubject::Templates, "broken".to_owned());
        alerts.clear_ended(Duration::ZERO, &[]);
        assert_eq!(texts(&alerts), [("templates".to_owned(), "broken".to_owned())]);
    }
}
