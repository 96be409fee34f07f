//! What a server says of how much it takes.

use std::time::Duration;

/// What a server or provider said of how much it takes, beside what it said of the mail. Usually nothing.
///
/// It may come with an acceptance too: a provider tells in each answer what it allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hint {
    /// What there was too much of, where the verdict is `throttled`.
    pub scope: Scope,
    /// Nothing is taken before that long has passed, as in `Retry-After`. With a quota: until it begins anew.
    pub retry_after: Option<Duration>,
    /// At most so many are taken a second.
    pub limit: Option<u32>,
}

/// What a throttling is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// Mails in a short time.
    #[default]
    Rate,
    /// Connections at the same time: one more was refused.
    Connections,
    /// Mails in a calendar window, as in `"daily"` or `"monthly"`: nothing more goes before it ends.
    Quota(&'static str),
}
