//! Limits that all workers share: how fast mail may go by a transport, from a queue, to a domain, or made from a template.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use chrono::Utc;

use super::{
    WorkerId,
    connection::{Args, Store},
    reply::{Fields, Words, unexpected},
};
use crate::{EmailAddress, InvalidInput, QueueName, Quota, Rate, Result};

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

/// What a limit allows, as it is set: a rate, a quota, both, or nothing but what was learned from the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measure {
    /// The time from one mail to the next.
    pub spacing: Option<Duration>,
    /// How many in a calendar window.
    pub quota: Option<Quota>,
}

/// The answer to a request for leave to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// So many may go, the first after a moment, the others at this spacing.
    Granted(Given),
    /// None may go yet; asking again is of no use before that.
    Wait(Duration),
    /// None may go for longer: a quota is used up, ours (`quota`) or one that the server told of, or the server takes nothing.
    Shut(Duration, String),
    /// There is no limit any more.
    Free,
}

/// Leave that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// How many.
    pub number: usize,
    /// From now to the first.
    pub first_in: Duration,
    /// How far they lie apart.
    pub spacing: Duration,
    /// When the next after them might go, by Redis's clock, in microseconds; 0 without a rate.
    until_us: u64,
    /// When the quota's window began; 0 without one.
    window_ms: i64,
}

/// What a server said of how much it takes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard<'a> {
    /// It refused a mail because it came too fast.
    pub refused: bool,
    /// How many it accepted lately from this worker, a second.
    pub accepted_a_second: f64,
    /// The spacing that is set.
    pub spacing: Option<Duration>,
    /// It takes nothing for that long, and why.
    pub pause: Option<(Duration, &'a str)>,
    /// The spacing that it tells of.
    pub told: Option<Duration>,
}

impl Given {
    /// The same mails as far as their quota goes: what was not sent costs nothing of it, though its time has passed.
    #[must_use]
    pub fn of_quota(&self) -> Option<Self> {
        (self.window_ms != 0).then(|| Self { until_us: 0, ..self.clone() })
    }
}

fn micros(span: Option<Duration>) -> u128 {
    span.map_or(0, |span| span.as_micros().max(1))
}

impl Store {
    /// Asks for leave to send up to `want` mails. Of several that ask, the one of the lowest class goes first.
    pub async fn take_leave(&self, limit: &LimitName, class: u8, want: usize, measure: &Measure) -> Result<Leave> {
        let mut args = Args::default();
        args.push(class).push(want).push(micros(measure.spacing));
        args.push(measure.quota.map_or(0, |quota| quota.number));
        for start in measure.quota.map_or([0; 4], |quota| quota.windows(Utc::now().timestamp_millis())) {
            args.push(start);
        }
        let mut reply = Words::new(self.call_at("limit_take", self.keys.limit(limit), args).await?);
        match reply.next::<String>()?.as_str() {
            "granted" => Ok(Leave::Granted(Given {
                number: reply.next()?,
                first_in: Duration::from_micros(reply.next()?),
                until_us: reply.next()?,
                spacing: Duration::from_micros(reply.next()?),
                window_ms: reply.next()?,
            })),
            "wait" => Ok(Leave::Wait(Duration::from_millis(reply.next()?))),
            "shut" => Ok(Leave::Shut(Duration::from_millis(reply.next()?), reply.next()?)),
            "free" => Ok(Leave::Free),
            other => Err(unexpected(other)),
        }
    }

    /// Gives back the last `unused` mails of a leave. What is given back to its quota alone may be any of them.
    pub async fn give_back_leave(&self, limit: &LimitName, given: &Given, unused: usize) -> Result<()> {
        let mut args = Args::default();
        args.push(unused).push(given.until_us).push(given.spacing.as_micros()).push(given.window_ms);
        match self.call_at::<Vec<String>>("limit_give_back", self.keys.limit(limit), args).await?.first() {
            Some(word) if word == "given" || word == "late" => Ok(()),
            other => Err(unexpected(other.map_or("", String::as_str))),
        }
    }

    /// Tells all workers what a server said of how much it takes; answers the spacing that it asks for by now.
    pub async fn limit_heard(
        &self,
        limit: &LimitName,
        worker: &WorkerId,
        heard: &Heard<'_>,
    ) -> Result<Option<Duration>> {
        let (pause, why) = heard.pause.map_or((None, "-"), |(pause, why)| (Some(pause), why));
        let mut args = Args::default();
        args.push(worker).push(u8::from(heard.refused)).push(heard.accepted_a_second);
        args.push(micros(heard.spacing)).push(micros(pause)).push(why).push(micros(heard.told));
        let mut reply = Words::new(self.call_at("limit_heard", self.keys.limit(limit), args).await?);
        match reply.next::<String>()?.as_str() {
            "heard" => Ok(Some(Duration::from_micros(reply.next()?)).filter(|spacing| !spacing.is_zero())),
            other => Err(unexpected(other)),
        }
    }

    /// Whether a transport's server was heard to ask for less, lately.
    pub async fn is_limited(&self, transport: &LimitName) -> Result<bool> {
        let state = format!("{}:state", self.keys.limit(transport));
        let said = redis::cmd("HMGET").arg(state).arg(&["good_us", "told_us", "shut_until_us"]).to_owned();
        let said: Vec<Option<String>> = self.run(&said).await?;
        Ok(said.iter().any(Option::is_some))
    }

    /// The rates that were set while it runs; `None` lifts what is configured.
    pub async fn live_limits(&self) -> Result<BTreeMap<LimitName, Option<Rate>>> {
        let all: Fields = self.run(redis::cmd("HGETALL").arg(self.keys.system("limits"))).await?;
        // What a newer version has set is not this one's to hold.
        let known = |(name, rate): (String, String)| {
            let rate = if rate == "none" { None } else { Some(rate.parse().ok()?) };
            Some((name.parse().ok()?, rate))
        };
        Ok(all.into_inner().into_iter().filter_map(known).collect())
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
