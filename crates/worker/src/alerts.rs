//! What keeps this worker from working: told once when it begins and once when it is over, and meanwhile wherever workers
//! are shown.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use postroom_core::{QueueName, store::Alert};
use tokio::sync::Notify;
use tracing::{error, info};

/// Longer than the longest pause between two tries.
const WEBHOOK_SILENCE: Duration = Duration::from_secs(2 * 3600);

/// What an alert is about: there is one for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    /// A transport that is down.
    Transport(String),
    /// A queue with jobs of a newer protocol.
    Protocol(QueueName),
    /// A queue whose script Redis refused to run.
    Refused(QueueName),
    /// A queue in which damaged records were found.
    Damage(QueueName),
    /// The templates' folder.
    Templates,
    /// A template that mail waits for.
    Template(String),
    /// A URL's server that does not hear of batches.
    Webhook(String),
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(name) => write!(f, "transport:{name}"),
            Self::Protocol(queue) => write!(f, "protocol:{queue}"),
            Self::Refused(queue) => write!(f, "refused:{queue}"),
            Self::Damage(queue) => write!(f, "damage:{queue}"),
            Self::Templates => f.write_str("templates"),
            Self::Template(name) => write!(f, "template:{name}"),
            Self::Webhook(origin) => write!(f, "webhook:{origin}"),
        }
    }
}

/// All alerts of this worker.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    raised: Mutex<BTreeMap<About, Raised>>,
    /// Rung when there is something new to tell of this worker.
    news: Arc<Notify>,
}

#[derive(Debug)]
struct Raised {
    text: String,
    since_ms: i64,
    since: Instant,
    renewed: Instant,
}

impl Alerts {
    /// None yet.
    pub(crate) fn new(news: Arc<Notify>) -> Self {
        Self { news, ..Self::default() }
    }

    /// Something is wrong. It is logged when it is new; later texts about the same replace the first.
    pub(crate) fn raise(&self, about: About, text: String) {
        let now = Instant::now();
        let mut raised = self.lock();
        if let Some(known) = raised.get_mut(&about) {
            known.renewed = now;
            known.text = text;
            return;
        }
        error!("{text}");
        raised.insert(about, Raised { text, since_ms: unix_ms(), since: now, renewed: now });
        self.news.notify_one();
    }

    /// It is over, as `now` says.
    pub(crate) fn clear(&self, about: &About, now: &str) {
        if let Some(raised) = self.lock().remove(about) {
            info!("{now}, after {:.1} s", raised.since.elapsed().as_secs_f64());
            self.news.notify_one();
        }
    }

    /// Templates that are there now, and what nobody has met for a while.
    pub(crate) fn clear_settled(&self, silence: Duration, there: &[String]) {
        let over = |(about, raised): (&About, &Raised)| {
            let silent = raised.renewed.elapsed() > silence;
            let now = match about {
                About::Template(name) if there.contains(name) => format!("template {name} is there"),
                About::Template(name) if silent => format!("no mail waits for template {name} any more"),
                About::Protocol(queue) if silent => format!("{queue} is served again"),
                // It is tried once an hour at least, and maybe by another worker.
                About::Webhook(origin) if raised.renewed.elapsed() > WEBHOOK_SILENCE => {
                    format!("{origin} was not met again")
                }
                About::Refused(queue) if silent => format!("Redis runs the scripts of {queue} again"),
                About::Damage(queue) if silent => format!("no damage was found in {queue} for an hour"),
                About::Template(_)
                | About::Protocol(_)
                | About::Refused(_)
                | About::Damage(_)
                | About::Webhook(_)
                | About::Transport(_)
                | About::Templates => return None,
            };
            Some((about.clone(), now))
        };
        let all: Vec<(About, String)> = self.lock().iter().filter_map(over).collect();
        all.iter().for_each(|(about, now)| self.clear(about, now));
    }

    /// All that is wrong now.
    pub(crate) fn told(&self) -> Vec<Alert> {
        let told = |(about, raised): (&About, &Raised)| Alert {
            about: about.to_string(),
            text: raised.text.clone(),
            since_ms: raised.since_ms,
        };
        self.lock().iter().map(told).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<About, Raised>> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This machine's clock.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(alerts: &Alerts) -> Vec<(String, String)> {
        alerts.told().into_iter().map(|alert| (alert.about, alert.text)).collect()
    }

    #[test]
    fn one_for_each_thing_until_it_is_over() {
        let alerts = Alerts::default();
        let (main, news) = (About::Transport("main".to_owned()), About::Template("news".to_owned()));
        alerts.raise(main.clone(), "main is down".to_owned());
        alerts.raise(news.clone(), "news is missing".to_owned());
        alerts.raise(main.clone(), "main is still down".to_owned());
        let told = |about: &str, text: &str| (about.to_owned(), text.to_owned());
        let both = [told("transport:main", "main is still down"), told("template:news", "news is missing")];
        assert_eq!(texts(&alerts), both);
        alerts.clear_settled(Duration::from_secs(60), &["other".to_owned()]);
        assert_eq!(texts(&alerts), both);
        alerts.clear(&main, "main is up");
        alerts.clear_settled(Duration::from_secs(60), &["news".to_owned()]);
        assert_eq!(texts(&alerts), []);
    }

    #[test]
    fn what_nobody_meets_any_more_is_no_alert() {
        let alerts = Alerts::default();
        alerts.raise(About::Template("news".to_owned()), "missing".to_owned());
        alerts.raise(About::Protocol(QueueName::bulk()), "newer".to_owned());
        alerts.raise(About::Templates, "broken".to_owned());
        alerts.clear_settled(Duration::ZERO, &[]);
        assert_eq!(texts(&alerts), [("templates".to_owned(), "broken".to_owned())]);
    }
}
