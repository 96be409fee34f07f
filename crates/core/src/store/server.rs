//! Locates the server that accepts writes and opens connections to it.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, ConnectionInfo, aio::MultiplexedConnection, io::tcp::TcpSettings};
use socket2::TcpKeepalive;
use tokio::time::timeout;

use super::{info::Info, redis_error, run::RunId, sentinel::Sentinels};
use crate::{
    Error, InvalidInput, Result,
    settings::{RedisPlace, RedisSettings},
};

/// Maximum time to open a connection, and for the first reply.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Time after which unacknowledged bytes end the connection (Linux only).
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(5);

/// TCP keepalive: time without traffic before the first probe, and time between probes.
const IDLE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));

/// The server that accepts writes.
pub(super) enum Server {
    /// A server with a fixed address.
    Fixed(Client),
    /// A server whose address Sentinels report.
    Watched(Sentinels),
}

/// An open connection and its server run.
pub(super) struct NewConnection {
    pub(super) handle: MultiplexedConnection,
    pub(super) run: RunId,
    /// Client that opens further connections to the same server.
    pub(super) client: Client,
}

impl Server {
    pub(super) fn new(settings: &RedisSettings) -> Result<Self> {
        Ok(match settings.server()? {
            RedisPlace::Fixed(info) => Self::Fixed(client(info)?),
            RedisPlace::Watched(watched) => Self::Watched(Sentinels::new(watched)),
        })
    }

    /// Locates the server, opens a connection and checks that the server accepts writes.
    pub(super) async fn open(&self) -> Result<NewConnection> {
        match self {
            Self::Fixed(client) => open(client.clone()).await,
            Self::Watched(sentinels) => open(client(sentinels.master().await?)?).await,
        }
    }

    /// Whether Sentinels may promote another server.
    pub(super) fn is_watched(&self) -> bool {
        matches!(self, Self::Watched(_))
    }
}

/// Creates a client with TCP_NODELAY and TCP keepalive.
pub(super) fn client(info: ConnectionInfo) -> Result<Client> {
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
pub(super) async fn connect(client: &Client) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    within(CONNECT_LIMIT, "the connection", connecting).await
}

/// Waits for a reply up to a limit.
pub(super) async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| redis_error::convert(&error)),
        Err(_) => Err(Error::Away(format!("no reply to {what} within {} s", limit.as_secs()))),
    }
}

/// Opens a connection and checks that the server accepts writes.
pub(super) async fn open(client: Client) -> Result<NewConnection> {
    let handle = connect(&client).await?;
    let user = client.get_connection_info().redis_settings().username().unwrap_or("default");
    let run = within(CONNECT_LIMIT, "the first command", identify(&handle)).await;
    let run = run.map_err(|error| redis_error::name_denied_call(error, user, || "PING".to_owned()))?;
    match run {
        Some(run) => Ok(NewConnection { handle, run, client }),
        None => {
            Err(Error::Away(format!("{} is a replica, which accepts no writes", client.get_connection_info().addr())))
        }
    }
}

/// Returns the server run, or `None` for a replica.
///
/// A server that is loading or busy is an error. If INFO is denied, the run has no name.
async fn identify(handle: &MultiplexedConnection) -> redis::RedisResult<Option<RunId>> {
    let info = async |section: &str| {
        let text = redis::cmd("INFO").arg(section).query_async::<String>(&mut handle.clone()).await;
        match text {
            Err(error) if redis_error::ends_connection(&error) => Err(error),
            text => Ok(Info::new(text.unwrap_or_default())),
        }
    };
    redis::cmd("PING").query_async::<()>(&mut handle.clone()).await?;
    let (server, replication) = tokio::join!(info("server"), info("replication"));
    let (server, replication) = (server?, replication?);
    let run = RunId::new(server.field("run_id"), replication.field("master_replid"));
    Ok((replication.field("role") != "slave").then_some(run))
}
