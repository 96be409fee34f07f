//! Limits of a listening port.

use std::time::Duration;

/// Limits of a listening port.
#[derive(Debug, Clone, Copy)]
pub struct ListenerLimits {
    /// Name of the port in the log.
    pub name: &'static str,
    /// Maximum number of connections; fewer if the process may not open enough files.
    pub connections: usize,
    /// Time limit of each wait for a client.
    pub wait: Duration,
    /// Maximum number of response bytes that clients have not read.
    pub unread_bytes: u64,
}
