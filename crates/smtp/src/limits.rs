//! How long each phase may take.

use std::time::Duration;

const MEGABYTE: f64 = 1_000_000.0;

/// A time limit for each phase; running into one is an error of that phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// Name lookup and TCP connection, over all addresses of the host.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// The server's greeting.
    pub greeting: Duration,
    /// Each reply to EHLO, STARTTLS, AUTH, MAIL, RCPT and RSET.
    pub command: Duration,
    /// The reply to DATA, and each block of the body to be taken.
    pub data: Duration,
    /// The reply to the final dot. Too short makes duplicates: the server may be at work on the mail.
    pub dot: Duration,
    /// What is added to `dot` for each megabyte of the message.
    pub dot_per_megabyte: Duration,
    /// The most that `dot` and its addition come to.
    pub dot_max: Duration,
    /// The reply to QUIT, which nobody needs.
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
    /// The limit of the reply to the final dot of a message of so many bytes.
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
    fn the_limit_after_the_dot_grows_with_the_message_up_to_its_end() {
        let limits = TimeLimits::default();
        assert_eq!(limits.after_dot(0), Duration::from_secs(120));
        assert_eq!(limits.after_dot(2_000_000), Duration::from_secs(240));
        assert_eq!(limits.after_dot(50_000_000), Duration::from_secs(600));
        assert_eq!(limits.after_dot(usize::MAX), Duration::from_secs(600));
    }
}
