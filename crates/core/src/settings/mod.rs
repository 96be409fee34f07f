//! What every process is set up with: flag before environment before `.env` before `postroom.toml`.

mod base_url;
mod ca_file;
mod concurrency;
mod file;
mod layers;
mod limits;
mod log;
mod nearest;
mod network;
mod notify;
mod queue;
mod redis;
mod resend;
mod schedule;
mod sentinel;
mod sources;
mod template;
#[cfg(test)]
mod tests;
mod transport;
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
    schedule::{Missed, ScheduleSettings, Timing},
    sources::Sources,
    template::TemplateSettings,
    transport::{Security, SmtpSettings, SmtpTimeouts, TransportSettings},
    variables::Variable,
};
use self::{file::RawTables, layers::Layers};
pub(crate) use self::{redis::RedisPlace, sentinel::WatchedPlace};
use crate::{InvalidInput, LimitName, Mailbox, Policy, QueueName, Quota, Rate, bounds::check_name};

/// What a process is set up with, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where Redis is.
    pub redis: RedisSettings,
    /// The sender of mails that name none.
    pub sender: Option<Mailbox>,
    /// The folder of templates.
    pub templates_dir: PathBuf,
    /// All queues: the built-in, the configured and the served.
    pub queues: BTreeMap<QueueName, QueueSettings>,
    /// The queues that a worker serves, each with its weight. Where all are 0, none was given and the order counts.
    pub serve: Vec<(QueueName, u32)>,
    /// All transports; the one that the environment describes is named `default`.
    pub transports: BTreeMap<String, TransportSettings>,
    /// How fast mail may go by transports, from queues, to domains and from templates, unless something else was set since.
    pub limits: BTreeMap<LimitName, Rate>,
    /// How much may go by transports and from queues in a calendar window.
    pub quotas: BTreeMap<LimitName, Quota>,
    /// How many connections all workers together may have to a transport.
    pub connections: BTreeMap<String, u32>,
    /// What is set for single templates.
    pub templates: BTreeMap<String, TemplateSettings>,
    /// Mail that is sent by the clock.
    pub schedules: Vec<ScheduleSettings>,
    /// How many mails a worker sends at once.
    pub concurrency: Concurrency,
    /// The address to listen on.
    pub bind: IpAddr,
    /// The monitor's port: `PORT`, or else `MONITOR_PORT`.
    pub monitor_port: u16,
    /// The port where worker and beat tell how they are, if any.
    pub health_port: Option<u16>,
    /// The monitor's password.
    pub monitor_password: Option<SecretString>,
    /// The reverse proxies whose word on the client is taken by the monitor.
    pub trusted_proxies: Vec<Network>,
    /// The largest message that is sent, in bytes.
    pub max_message_size: u64,
    /// For how long results are kept, unless the queue says otherwise.
    pub retention: Option<Duration>,
    /// The time zone of schedules that name none.
    pub timezone: Tz,
    /// For how long a stopping worker lets mails under way come to their end.
    pub shutdown_timeout: Duration,
    /// How URLs are told of a batch's end.
    pub notify: NotifySettings,
    /// What is logged, and how.
    pub log: LogSettings,
}

impl Settings {
    /// Reads the settings of this process; `flags` are what its command line said, as in
    /// `&[(variables::QUEUES, "emails:5".to_owned())]`.
    pub fn load(flags: &[(Variable, String)]) -> Result<Self, InvalidInput> {
        Self::from_sources(&Sources::of_process(flags)?)
    }

    /// Reads the settings from these sources. Only files that they name are looked at.
    pub fn from_sources(sources: &Sources) -> Result<Self, InvalidInput> {
        Self::build(&Layers::new(sources)?, file::tables(sources)?)
    }

    /// The transports that a queue's mail leaves by, in their order, each with its name; never none.
    pub fn transports_of(&self, queue: &QueueName) -> Result<Vec<(&str, &TransportSettings)>, InvalidInput> {
        let named = self.queues.get(queue).map(|queue| queue.transports.as_slice());
        let usual = [transport::DEFAULT.to_owned()];
        let find = |name: &String| {
            let found = self.transports.get_key_value(name).map(|(name, transport)| (name.as_str(), transport));
            found.ok_or_else(|| self.no_transport(queue))
        };
        named.unwrap_or(&usual).iter().map(find).collect()
    }

    /// What a job of this queue is promised, with what its template changes.
    #[must_use]
    pub fn policy_for(&self, queue: &QueueName, template: Option<&str>) -> Policy {
        let settings = self.queues.get(queue).cloned();
        let policy = settings.unwrap_or_else(|| QueueSettings::usual(queue, self.retention)).policy;
        match template.and_then(|name| self.templates.get(name)) {
            Some(template) => template.over(&policy),
            None => policy,
        }
    }

    fn no_transport(&self, queue: &QueueName) -> InvalidInput {
        let ways = "set SMTP_HOST or MAIL_TRANSPORT (smtp, resend, file:DIR, capture or discard), or describe one in postroom.toml as";
        if self.transports.is_empty() {
            return InvalidInput::new("transport", format!("none is configured; {ways} [transport.default]"));
        }
        let known: Vec<&str> = self.transports.keys().map(String::as_str).collect();
        let known = known.join(", ");
        InvalidInput::new(
            "transport",
            format!(
                "queue {queue} leaves by the transport named default, which is not configured; {ways} \
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
        let transports = transport::read_all(layers, tables.transport, sender.as_ref())?;
        let served = layers.read(&variables::QUEUES, queue::served)?;
        let queues = queue::read_all(tables.queue, served.as_deref().unwrap_or_default(), retention, &transports)?;
        let templates = templates(tables.template)?;
        let monitor_port = layers.read_or_default(&variables::MONITOR_PORT, value::own_port)?;
        Ok(Self {
            redis: RedisSettings::read(layers)?,
            sender,
            templates_dir: layers.read_or_default(&variables::TEMPLATES_DIR, |text| Ok(PathBuf::from(text)))?,
            serve: served.unwrap_or_else(|| queue::all_in_order(&queues)),
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
            max_message_size: layers.read_or_default(&variables::MAX_MESSAGE_SIZE, value::size)?,
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
        None => Err(InvalidInput::new(name.field, "it needs an address: SMTP_MAIL_FROM is not set")),
    }
}
