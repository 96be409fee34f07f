//! Where the server is that takes writes, and opening a connection to it.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, ConnectionInfo, aio::MultiplexedConnection, io::tcp::TcpSettings};
use socket2::TcpKeepalive;
use tokio::time::timeout;

use super::{info::Info, run::RunId, sentinel::Sentinels, trouble};
use crate::{
    Error, InvalidInput, Result,
    settings::{RedisLocation, RedisSettings},
};

/// Within which a connection is open and its server has answered.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// After which bytes that nobody has acknowledged end the connection, where the system can do that.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(5);

/// After which silence the system asks whether the other side is still there, and how often.
const IDLE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));

/// The server that takes writes, wherever it is now.
pub(super) enum Server {
    /// It is always at the same place.
    Fixed(Client),
    /// Others know where it is.
    Watched(Sentinels),
}

/// An open connection, and whom it speaks to.
pub(super) struct Opened {
    pub(super) connection: MultiplexedConnection,
    pub(super) run: RunId,
    /// For further connections to the same server.
    pub(super) client: Client,
}

impl Server {
    pub(super) fn new(settings: &RedisSettings) -> Result<Self> {
        Ok(match settings.server()? {
            RedisLocation::Fixed(info) => Self::Fixed(client(info)?),
            RedisLocation::Watched(watched) => Self::Watched(Sentinels::new(watched)),
        })
    }

    /// Asks where it is if need be, opens a connection and makes sure that it takes writes.
    pub(super) async fn open(&self) -> Result<Opened> {
        match self {
            Self::Fixed(client) => open(client.clone()).await,
            Self::Watched(sentinels) => open(client(sentinels.master().await?)?).await,
        }
    }

    /// Whether another server may take over.
    pub(super) fn is_watched(&self) -> bool {
        matches!(self, Self::Watched(_))
    }
}

/// A client for that place, on connections that send at once.
pub(super) fn client(info: ConnectionInfo) -> Result<Client> {
    let keepalive = TcpKeepalive::new().with_time(IDLE.0).with_interval(IDLE.1);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED_LIMIT);
    let unfit = |error| InvalidInput::new("REDIS_URL", format!("it can't be used: {error}"));
    // The client would name itself by CLIENT SETINFO, which a user with few rights may not.
    let user = info.redis_settings().clone().set_skip_set_lib_name();
    Ok(Client::open(info.set_tcp_settings(settings).set_redis_settings(user)).map_err(unfit)?)
}

/// A further connection. Its calls have no limits of their own: whoever makes them sets one.
pub(super) async fn connect(client: &Client) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    within(CONNECT_LIMIT, "the connection", connecting).await
}

/// Waits for an answer of the client, but not for ever.
pub(super) async fn within<T>(
    limit: Duration,
    what: &str,
    asking: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T> {
    match timeout(limit, asking).await {
        Ok(answer) => answer.map_err(|error| trouble::told(&error)),
        Err(_) => Err(Error::Away(format!("no answer to {what} within {} s", limit.as_secs()))),
    }
}

/// Opens a connection there and makes sure that it takes writes.
pub(super) async fn open(client: Client) -> Result<Opened> {
    let connection = connect(&client).await?;
    let user = client.get_connection_info().redis_settings().username().unwrap_or("default");
    let run = within(CONNECT_LIMIT, "the first question", ask_who(&connection)).await;
    let run = run.map_err(|error| trouble::asked(error, user, || "PING".to_owned()))?;
    match run {
        Some(run) => Ok(Opened { connection, run, client }),
        None => {
            Err(Error::Away(format!("{} is a replica, which takes no writes", client.get_connection_info().addr())))
        }
    }
}

/// Which run it is; none when it is a replica. One that is still loading, or too busy to answer, is not open yet. INFO may
/// be refused to us: then the server has no name.
async fn ask_who(connection: &MultiplexedConnection) -> redis::RedisResult<Option<RunId>> {
    let info = async |section: &str| {
        let text = redis::cmd("INFO").arg(section).query_async::<String>(&mut connection.clone()).await;
        match text {
            Err(error) if trouble::ends_connection(&error) => Err(error),
            text => Ok(Info::new(text.unwrap_or_default())),
        }
    };
    redis::cmd("PING").query_async::<()>(&mut connection.clone()).await?;
    let (server, replication) = tokio::join!(info("server"), info("replication"));
    let (server, replication) = (server?, replication?);
    let run = RunId::new(server.fact("run_id"), replication.fact("master_replid"));
    Ok((replication.fact("role") != "slave").then_some(run))
}
