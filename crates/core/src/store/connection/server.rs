//! Locates the server that accepts writes and opens connections to it.

use redis::{Client, aio::MultiplexedConnection};

use super::{
    client::{CONNECT_LIMIT, client, connect, within},
    info::Info,
    redis_error,
    run::RunId,
    sentinel::Sentinels,
};
use crate::{
    Error, Result,
    settings::{RedisLocation, RedisSettings},
};

/// The server that accepts writes.
pub(in crate::store) enum Server {
    /// A server with a fixed address.
    Fixed(Client),
    /// A server whose address Sentinels report.
    Watched(Sentinels),
}

/// An open connection and its server run.
pub(in crate::store) struct NewConnection {
    pub(in crate::store) handle: MultiplexedConnection,
    pub(in crate::store) run: RunId,
    /// Client that opens further connections to the same server.
    pub(in crate::store) client: Client,
}

impl Server {
    pub(in crate::store) fn new(settings: &RedisSettings) -> Result<Self> {
        Ok(match settings.server()? {
            RedisLocation::Fixed(info) => Self::Fixed(client(info)?),
            RedisLocation::Watched(watched) => Self::Watched(Sentinels::new(watched)),
        })
    }

    /// Locates the server, opens a connection and checks that the server accepts writes.
    pub(in crate::store) async fn open(&self) -> Result<NewConnection> {
        match self {
            Self::Fixed(client) => open(client.clone()).await,
            Self::Watched(sentinels) => open(client(sentinels.master().await?)?).await,
        }
    }

    /// Whether Sentinels may promote another server.
    pub(in crate::store) fn is_watched(&self) -> bool {
        matches!(self, Self::Watched(_))
    }
}

/// Opens a connection and checks that the server accepts writes.
pub(in crate::store) async fn open(client: Client) -> Result<NewConnection> {
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
