//! Rate limits reported by a server or provider.

use std::time::Duration;

/// Rate limits that a server or provider reported with its reply. Usually empty.
///
/// An acceptance may carry one too: a provider sends its limits with each answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hint {
    /// Kind of limit that was exceeded, if the verdict is `throttled` or `nothing_sent`.
    pub scope: Scope,
    /// Time to wait before the next mail, as in `Retry-After`. For a quota: time until it is reset.
    pub retry_after: Option<Duration>,
    /// Maximum number of requests per second.
    pub limit: Option<u32>,
}

/// Kind of limit that was exceeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// Rate of mails.
    #[default]
    Rate,
    /// Concurrent connections: a further one was refused.
    Connections,
    /// Rate of new connections: no mail was begun.
    NewConnections,
    /// Mails or errors on one connection: another connection has its own limit.
    Session,
    /// Number of mails in a calendar period, such as `"daily"` or `"monthly"`; no mail is accepted
    /// before the period ends.
    Quota(&'static str),
}
