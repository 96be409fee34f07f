//! Settings of every process: flag before environment before `.env` before `postroom.toml`.

mod base_url;
mod ca_file;
mod concurrency;
mod envelope;
mod file;
mod hello;
mod layer;
mod layers;
mod limits;
mod log;
mod network;
mod notify;
mod process;
mod queue;
mod redis;
mod resend;
mod schedule;
mod sentinel;
mod sources;
mod template;
#[cfg(test)]
mod tests;
mod text_file;
mod toml_file;
mod transport;
mod trust;
pub(crate) mod value;
pub mod variables;
mod warnings;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

use chrono_tz::Tz;
use secrecy::SecretString;

pub use self::{
    concurrency::Concurrency,
    log::{LogFormat, LogSettings},
    network::Network,
    notify::NotifySettings,
    queue::QueueSettings,
    redis::RedisSettings,
    resend::ResendSettings,
    schedule::ScheduleSettings,
    sources::Sources,
    template::TemplateSettings,
    transport::{Security, SmtpSettings, SmtpTimeouts, TransportSettings},
    variables::Variable,
    warnings::LEAST_MONITOR_PASSWORD,
};
use self::{envelope::EnvelopeSettings, file::RawTables, layers::Layers};
pub(crate) use self::{redis::RedisLocation, sentinel::WatchedRedis};
use crate::{EnvelopePattern, InvalidInput, LimitName, Mailbox, Policy, QueueName, Quota, Rate, bounds::check_name};

/// Validated settings of a process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Location of Redis.
    pub redis: RedisSettings,
    /// Sender of mails that name none.
    pub sender: Option<Mailbox>,
    /// Folder with the templates.
    pub templates_dir: PathBuf,
    /// All queues: built-in, configured and served ones.
    pub queues: BTreeMap<QueueName, QueueSettings>,
    /// Queues that a worker serves, each with its weight. If all weights are 0, none was configured
    /// and the order applies.
    pub serve: Vec<(QueueName, u32)>,
    /// All transports; the transport of the environment is named `default`.
    pub transports: BTreeMap<String, TransportSettings>,
    /// Envelope senders of transports, for mails that name none.
    pub envelope_senders: BTreeMap<String, EnvelopePattern>,
    /// Configured rates of transports, queues, domains and templates. A rate set at runtime
    /// overrides them.
    pub limits: BTreeMap<LimitName, Rate>,
    /// Quotas of transports and queues per calendar window.
    pub quotas: BTreeMap<LimitName, Quota>,
    /// Maximum number of connections to each transport, over all workers.
    pub connections: BTreeMap<String, u32>,
    /// Settings of single templates.
    pub templates: BTreeMap<String, TemplateSettings>,
    /// Scheduled mail.
    pub schedules: Vec<ScheduleSettings>,
    /// Number of mails that a worker sends at the same time.
    pub concurrency: Concurrency,
    /// Address to listen on.
    pub bind: IpAddr,
    /// Port of the monitor: `PORT`, or else `MONITOR_PORT`.
    pub monitor_port: u16,
    /// Port of the health endpoint of worker and beat, if any.
    pub health_port: Option<u16>,
    /// Password of the monitor.
    pub monitor_password: Option<SecretString>,
    /// Reverse proxies whose forwarding headers the monitor trusts.
    pub trusted_proxies: Vec<Network>,
    /// Maximum size of a message, in bytes.
    pub max_message_size: u64,
    /// Retention of results, unless the queue has its own.
    pub retention: Option<Duration>,
    /// Time zone of schedules that name none.
    pub timezone: Tz,
    /// Time that a stopping worker allows for deliveries in progress.
    pub shutdown_timeout: Duration,
    /// Settings of webhooks for finished batches.
    pub notify: NotifySettings,
    /// Settings of the log.
    pub log: LogSettings,
}

impl Settings {
    /// Loads the settings of this process. `flags` are the values of its command line, as in
    /// `&[(variables::QUEUES, "emails:5".to_owned())]`.
    ///
    /// # Errors
    /// Returns the first invalid setting, with its source.
    pub fn load(flags: &[(Variable, String)]) -> Result<Self, InvalidInput> {
        Self::from_sources(&Sources::of_process(flags)?)
    }

    /// Builds the settings from `sources`. Reads only files that they name.
    ///
    /// # Errors
    /// Returns the first invalid setting, with its source.
    pub fn from_sources(sources: &Sources) -> Result<Self, InvalidInput> {
        Self::build(&Layers::new(sources)?, file::tables(sources)?).map_err(|problem| file::located(sources, problem))
    }

    /// Returns the transports of a queue with their names, in order; at least one.
    ///
    /// # Errors
    /// Returns an error if a transport of the queue is not configured.
    pub fn transports_of(&self, queue: &QueueName) -> Result<Vec<(&str, &TransportSettings)>, InvalidInput> {
        let named = self.queues.get(queue).map(|queue| queue.transports.as_slice());
        let default = [transport::DEFAULT.to_owned()];
        let find = |name: &String| {
            let found = self.transports.get_key_value(name).map(|(name, transport)| (name.as_str(), transport));
            found.ok_or_else(|| self.no_transport(queue))
        };
        named.unwrap_or(&default).iter().map(find).collect()
    }

    /// Returns the policy of a new job: the queue's, with the template's overrides.
    #[must_use]
    pub fn policy_for(&self, queue: &QueueName, template: Option<&str>) -> Policy {
        let settings = self.queues.get(queue).cloned();
        let policy = settings.unwrap_or_else(|| QueueSettings::default_for(queue, self.retention)).policy;
        match template.and_then(|name| self.templates.get(name)) {
            Some(template) => template.over(&policy),
            None => policy,
        }
    }

    fn no_transport(&self, queue: &QueueName) -> InvalidInput {
        let remedy = "set SMTP_HOST or MAIL_TRANSPORT (smtp, resend, file:DIR, capture or discard), or add one to \
                    postroom.toml as";
        if self.transports.is_empty() {
            return InvalidInput::new("transport", format!("none is configured; {remedy} [transport.default]"));
        }
        let known: Vec<&str> = self.transports.keys().map(String::as_str).collect();
        let known = known.join(", ");
        InvalidInput::new(
            "transport",
            format!(
                "queue {queue} uses the transport named default, which is not configured; {remedy} \
                 [transport.default], or name another in [queue.{queue}] transports (known: {known})"
            ),
        )
    }

    fn build(layers: &Layers, tables: RawTables) -> Result<Self, InvalidInput> {
        let sender = sender(layers)?;
        let timezone = layers.read_or_default(&variables::TIMEZONE, value::timezone)?;
        let retention = layers.read_or_default(&variables::RETENTION, value::retention)?;
        let limits = limits::read_all(&tables)?;
        let (quotas, connections) = (limits::quotas(&tables, timezone)?, limits::connections(&tables)?);
        let envelopes = EnvelopeSettings::read(layers, &tables)?;
        let transports = transport::read_all(layers, tables.transport, sender.as_ref())?;
        let served = layers.read(&variables::QUEUES, |text| queue::served(text, &tables.queue))?;
        let queues = queue::read_all(tables.queue, served.as_deref().unwrap_or_default(), retention, &transports)?;
        let templates = templates(tables.template)?;
        let monitor_port = layers.read_or_default(&variables::MONITOR_PORT, value::own_port)?;
        Ok(Self {
            redis: RedisSettings::read(layers)?,
            sender,
            templates_dir: layers.read_or_default(&variables::TEMPLATES_DIR, |text| Ok(PathBuf::from(text)))?,
            serve: served.unwrap_or_else(|| queue::all_in_order(&queues)),
            envelope_senders: envelopes.checked(&queues)?,
            queues,
            transports,
            limits,
            quotas,
            connections,
            schedules: schedule::read_all(tables.schedule, timezone, &templates)?,
            templates,
            concurrency: layers.read_or_default(&variables::CONCURRENCY, str::parse)?,
            bind: layers.read_or_default(&variables::BIND, value::ip)?,
            monitor_port: layers.read(&variables::PORT, value::own_port)?.unwrap_or(monitor_port),
            health_port: layers.read_or_default(&variables::HEALTH_PORT, value::own_port_or_off)?,
            monitor_password: layers.secret(&variables::MONITOR_PASSWORD)?,
            trusted_proxies: layers.read(&variables::TRUSTED_PROXIES, network::networks)?.unwrap_or_default(),
            max_message_size: layers.read_or_default(&variables::MAX_MESSAGE_SIZE, value::message_size)?,
            retention,
            timezone,
            shutdown_timeout: layers.read_or_default(&variables::SHUTDOWN_TIMEOUT, crate::parse_span)?,
            notify: NotifySettings::read(layers)?,
            log: LogSettings::read(layers)?,
        })
    }
}

fn templates(raw: BTreeMap<String, file::RawTemplate>) -> Result<BTreeMap<String, TemplateSettings>, InvalidInput> {
    raw.into_iter().map(|(name, raw)| TemplateSettings::read(&name, raw).map(|template| (name, template))).collect()
}

fn sender(layers: &Layers) -> Result<Option<Mailbox>, InvalidInput> {
    let sender = layers.read(&variables::SMTP_MAIL_FROM, str::parse::<Mailbox>)?;
    let Some(name) = layers.find(&variables::SMTP_FROM_NAME)? else { return Ok(sender) };
    check_name(&name.field, "the name", &name.text)?;
    match sender {
        Some(sender) => Ok(Some(Mailbox { name: Some(name.text), ..sender })),
        None => Err(InvalidInput::new(name.field, "the name requires an address: SMTP_MAIL_FROM is not set")),
    }
}
