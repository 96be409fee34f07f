//! Opens connections with the Redis client.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, ConnectionInfo, aio::MultiplexedConnection, io::tcp::TcpSettings};
use socket2::TcpKeepalive;
use tokio::time::timeout;

use super::redis_error;
use crate::{Error, InvalidInput, Result};

/// Maximum time to open a connection, and for the first reply.
pub(in crate::store) const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Time after which unacknowledged bytes end the connection (Linux only).
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(5);

/// TCP keepalive: time without traffic before the first probe, and time between probes.
const IDLE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));

/// Creates a client with TCP_NODELAY and TCP keepalive.
pub(in crate::store) fn client(info: ConnectionInfo) -> Result<Client> {
    let keepalive = TcpKeepalive::new().with_time(IDLE.0).with_interval(IDLE.1);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED_LIMIT);
    let invalid = |error| InvalidInput::new("REDIS_URL", format!("the URL can't be used: {error}"));
    // The client library would send CLIENT SETINFO, which a user with few rights may not.
    let user = info.redis_settings().clone().set_skip_set_lib_name();
    Ok(Client::open(info.set_tcp_settings(settings).set_redis_settings(user)).map_err(invalid)?)
}

/// Opens a connection without timeouts of the client library; callers set their own.
pub(in crate::store) async fn connect(client: &Client) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    within(CONNECT_LIMIT, "the connection", connecting).await
}

/// Waits for a reply up to a limit.
pub(in crate::store) async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| redis_error::convert(&error)),
        Err(_) => Err(Error::Away(format!("no reply to {what} within {} s", limit.as_secs()))),
    }
}
