//! The state that the tasks of one worker share, in parts. A task takes the parts that it needs.

use std::{sync::Arc, time::Duration};

use postroom_core::{InvalidInput, Outage, QueueName, Store, settings::Settings, settings::variables};

use crate::{
    alerts::Alerts, in_flight::InFlight, notices::Notices, redis_access::RedisAccess, rendering::Rendering,
    send_stats::SendStats, signals::Signals, transports::Transports,
};

/// Shared state of one worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) settings: Settings,
    pub(crate) redis: RedisAccess,
    pub(crate) rendering: Arc<Rendering>,
    pub(crate) transports: Transports,
    pub(crate) notices: Arc<Notices>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) signals: Signals,
    pub(crate) stats: Arc<SendStats>,
}

/// An alert is cleared when its condition was not seen for this long (it is rechecked every 20 s).
const ALERT_SILENCE: Duration = Duration::from_secs(45);

impl Worker {
    /// Builds the state for the queues of the settings.
    ///
    /// # Errors
    ///
    /// Returns an error if a transport, the webhook CA file or the templates cannot be read.
    pub(crate) fn new(store: Store, settings: Settings, outage: Outage) -> anyhow::Result<Self> {
        let redis = RedisAccess::new(store, outage);
        let signals = Signals::default();
        let alerts = Arc::new(Alerts::new(Arc::clone(&signals.report)));
        let in_flight = Arc::new(InFlight::default());
        let transports = Transports::new(&settings, &redis, &in_flight, &alerts, &signals)?;
        let client = postroom_mail::Webhooks::from_settings(&settings.notify)
            .map_err(|error| InvalidInput::new(variables::NOTIFY_WEBHOOK_CA_FILE.name, error))?;
        let policy = settings.policy_for(&QueueName::emails(), None);
        let notices = Arc::new(Notices::new(&redis, &alerts, client, policy));
        let rendering = Arc::new(Rendering::new(&settings)?);
        let stats = Arc::default();
        Ok(Self { settings, redis, rendering, transports, notices, in_flight, alerts, signals, stats })
    }

    /// Returns the queues that this worker serves.
    pub(crate) fn queues(&self) -> Vec<QueueName> {
        self.settings.serve.iter().map(|(queue, _)| queue.clone()).collect()
    }

    /// Reloads the templates if they have changed on disk, and clears alerts that no longer apply.
    pub(crate) fn reload_templates(&self) {
        self.rendering.reload_templates(&self.alerts);
        self.alerts.clear_ended(ALERT_SILENCE, &self.rendering.templates.names());
    }
}
