//! Limits that all workers share: how fast mail may go by a transport, from a queue, to a domain, or made from a template.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use super::{
    connection::{Args, Store},
    reply::{Words, unexpected},
};
use crate::{EmailAddress, InvalidInput, QueueName, Rate, Result};

/// What a limit is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitName {
    /// A transport, whichever queues use it.
    Transport(String),
    /// A queue.
    Queue(QueueName),
    /// The domain of those whom mail is to, in its normal form.
    Domain(String),
    /// A template.
    Template(String),
}

impl LimitName {
    /// Whether single mails of a queue are under it, rather than all that leave it by a transport.
    #[must_use]
    pub fn is_on_mail(&self) -> bool {
        match self {
            Self::Domain(_) | Self::Template(_) => true,
            Self::Transport(_) | Self::Queue(_) => false,
        }
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(name) => write!(f, "transport.{name}"),
            Self::Queue(name) => write!(f, "queue.{name}"),
            Self::Domain(name) => write!(f, "domain.{name}"),
            Self::Template(name) => write!(f, "template.{name}"),
        }
    }
}

impl FromStr for LimitName {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        match text.split_once('.') {
            Some(("transport", name)) if !name.is_empty() => Ok(Self::Transport(name.to_owned())),
            Some(("queue", name)) => Ok(Self::Queue(name.parse()?)),
            Some(("domain", name)) => Ok(Self::Domain(domain(name)?)),
            Some(("template", name)) if is_template(name) => Ok(Self::Template(name.to_owned())),
            _ => Err(InvalidInput::new(
                "limit",
                format!(
                    "{text:?} has no limit; it may be transport.NAME, queue.NAME, domain.NAME or template.NAME, as in \
                     transport.default or domain.example.org"
                ),
            )),
        }
    }
}

/// A domain as addresses have it.
fn domain(text: &str) -> Result<String, InvalidInput> {
    match format!("x@{text}").parse::<EmailAddress>() {
        Ok(address) => Ok(address.domain().to_owned()),
        Err(_) => Err(InvalidInput::new("limit", format!("{text:?} is no domain; it may be one as in example.org"))),
    }
}

fn is_template(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_whitespace)
}

/// The answer to a request for leave to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// So many may go, the first after a moment, the others at the limit's spacing.
    Granted {
        /// How many.
        number: usize,
        /// From now to the first.
        first_in: Duration,
        /// When the next after them might go, by Redis's clock, in microseconds.
        until_us: u64,
    },
    /// None may go yet; asking again is of no use before that.
    Wait(Duration),
}

impl Store {
    /// Asks for leave to send up to `want` mails. Of several that ask, the one of the lowest class goes first.
    pub async fn take_leave(&self, limit: &LimitName, class: u8, want: usize, spacing: Duration) -> Result<Leave> {
        let mut args = Args::default();
        args.push(class).push(want).push(spacing.as_micros().max(1));
        let mut reply = Words::new(self.call_at("limit_take", self.keys.limit(limit), args).await?);
        match reply.next::<String>()?.as_str() {
            "granted" => Ok(Leave::Granted {
                number: reply.next()?,
                first_in: Duration::from_micros(reply.next()?),
                until_us: reply.next()?,
            }),
            "wait" => Ok(Leave::Wait(Duration::from_millis(reply.next()?))),
            other => Err(unexpected(other)),
        }
    }

    /// Gives back the last `unused` mails of a leave that ended at `until_us`.
    pub async fn give_back_leave(
        &self,
        limit: &LimitName,
        until_us: u64,
        unused: usize,
        spacing: Duration,
    ) -> Result<()> {
        let mut args = Args::default();
        args.push(until_us).push(spacing.as_micros().max(1) * unused as u128);
        match self.call_at::<Vec<String>>("limit_give_back", self.keys.limit(limit), args).await?.first() {
            Some(word) if word == "given" || word == "late" => Ok(()),
            other => Err(unexpected(other.map_or("", String::as_str))),
        }
    }

    /// The rates that were set while it runs; `None` lifts what is configured.
    pub async fn live_limits(&self) -> Result<BTreeMap<LimitName, Option<Rate>>> {
        let all: BTreeMap<String, String> = self.run(redis::cmd("HGETALL").arg(self.keys.system("limits"))).await?;
        // What a newer version has set is not this one's to hold.
        let known = |(name, rate): (String, String)| {
            let rate = if rate == "none" { None } else { Some(rate.parse().ok()?) };
            Some((name.parse().ok()?, rate))
        };
        Ok(all.into_iter().filter_map(known).collect())
    }

    /// Sets a rate while it runs, in place of what is configured; `None` lifts that.
    pub async fn set_live_limit(&self, limit: &LimitName, rate: Option<Rate>) -> Result<()> {
        let rate = rate.map_or_else(|| "none".to_owned(), |rate| rate.to_string());
        self.run(redis::cmd("HSET").arg(self.keys.system("limits")).arg(limit.to_string()).arg(rate)).await
    }

    /// Goes back to what is configured; answers whether anything else was set.
    pub async fn unset_live_limit(&self, limit: &LimitName) -> Result<bool> {
        self.run(redis::cmd("HDEL").arg(self.keys.system("limits")).arg(limit.to_string())).await
    }
}
