//! Time limits of the phases.

use std::time::Duration;

const MEGABYTE: f64 = 1_000_000.0;

/// Time limit for each phase. Exceeding one is an error of that phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// Name lookup and TCP connection, over all addresses of the host.
    pub connect: Duration,
    /// TLS handshake.
    pub tls: Duration,
    /// Greeting of the server.
    pub greeting: Duration,
    /// Each reply to EHLO, STARTTLS, AUTH, MAIL, RCPT and RSET.
    pub command: Duration,
    /// Reply to DATA, and the write of each block of the message.
    pub data: Duration,
    /// Reply to the final dot. A short limit causes duplicates: the server may still be processing
    /// the mail.
    pub dot: Duration,
    /// Added to `dot` for each megabyte of the message.
    pub dot_per_megabyte: Duration,
    /// Maximum of `dot` plus its addition.
    pub dot_max: Duration,
    /// Reply to QUIT.
    pub quit: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            tls: Duration::from_secs(15),
            greeting: Duration::from_secs(30),
            command: Duration::from_secs(60),
            data: Duration::from_secs(60),
            dot: Duration::from_secs(120),
            dot_per_megabyte: Duration::from_secs(60),
            dot_max: Duration::from_secs(600),
            quit: Duration::from_secs(2),
        }
    }
}

impl TimeLimits {
    /// Limit for the reply to the final dot of a message of this size.
    #[must_use]
    pub fn after_dot(&self, bytes: usize) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a rough share of a megabyte is enough")]
        let megabytes = bytes as f64 / MEGABYTE;
        let most = self.dot_max.max(self.dot);
        Duration::try_from_secs_f64(self.dot_per_megabyte.as_secs_f64() * megabytes)
            .ok()
            .and_then(|extra| self.dot.checked_add(extra))
            .map_or(most, |limit| limit.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_after_the_dot_grows_with_the_message_up_to_a_maximum() {
        let limits = TimeLimits::default();
        assert_eq!(limits.after_dot(0), Duration::from_secs(120));
        assert_eq!(limits.after_dot(2_000_000), Duration::from_secs(240));
        assert_eq!(limits.after_dot(50_000_000), Duration::from_secs(600));
        assert_eq!(limits.after_dot(usize::MAX), Duration::from_secs(600));
    }
}
