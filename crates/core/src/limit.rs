//! Limits shared by all workers, on transports, queues, domains and templates.

use std::{fmt, str::FromStr, time::Duration};

use crate::{InvalidInput, QueueName, Quota, Result, address::normal_domain};

/// Name of a limit: the transport, queue, domain or template that it applies to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitName {
    /// A transport, whichever queues use it.
    Transport(String),
    /// A queue.
    Queue(QueueName),
    /// The domain of the recipients, in normal form.
    Domain(String),
    /// A template.
    Template(String),
}

impl LimitName {
    /// Whether the limit applies to single mails of a queue rather than to all mail of a transport
    /// or queue.
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
                    "{text:?} is not a limit; it may be transport.NAME, queue.NAME, domain.NAME or template.NAME, \
                     such as transport.default or domain.example.org"
                ),
            )),
        }
    }
}

/// Normalises a domain in the same way as addresses.
fn domain(text: &str) -> Result<String, InvalidInput> {
    match normal_domain(text) {
        Ok(domain) => Ok(domain.into_owned()),
        Err(_) => {
            let problem = format!("{text:?} is not a domain; it may be a name such as example.org");
            Err(InvalidInput::new("limit", problem))
        }
    }
}

fn is_template(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_whitespace)
}

/// Configured rate and quota of a limit. With neither, only what was learned from the server
/// applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measure {
    /// Time between two mails.
    pub spacing: Option<Duration>,
    /// Number of mails per calendar window.
    pub quota: Option<Quota>,
}
