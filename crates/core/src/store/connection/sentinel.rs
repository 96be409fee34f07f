//! Queries Sentinels for the address of the primary server.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult};

use super::client;
use crate::{Error, InvalidInput, Result, settings::WatchedRedis};

/// Maximum time for one Sentinel, after which the next one is queried.
const QUERY_LIMIT: Duration = Duration::from_secs(1);

/// Sentinels of one primary.
pub(in crate::store) struct Sentinels {
    place: WatchedRedis,
    /// Index of the Sentinel that replied last. It is queried first.
    first: AtomicUsize,
}

impl Sentinels {
    pub(in crate::store) fn new(place: WatchedRedis) -> Self {
        Self { place, first: AtomicUsize::new(0) }
    }

    /// Returns the address of the primary from the first Sentinel that knows it.
    pub(in crate::store) async fn master(&self) -> Result<ConnectionInfo> {
        let number = self.place.sentinels.len();
        let first = self.first.load(Ordering::Relaxed);
        let (mut problems, mut invalid) = (Vec::new(), Vec::new());
        for index in (first..first + number).map(|index| index % number) {
            match self.query(index).await {
                Ok(Some((host, port))) => {
                    self.first.store(index, Ordering::Relaxed);
                    return self.place.server_at(&host, port);
                }
                Ok(None) => problems.push(format!("{} knows no master {}", self.name(index), self.place.master)),
                Err(Error::Invalid(problem)) => invalid.push(problem),
                Err(error) => problems.push(format!("{}: {error}", self.name(index))),
            }
        }
        if problems.is_empty()
            && let Some(problem) = invalid.pop()
        {
            return Err(problem.into());
        }
        problems.extend(invalid.iter().map(ToString::to_string));
        Err(Error::Away(format!("no Sentinel reports the primary: {}", problems.join("; "))))
    }

    /// Retries with the credentials of the servers if the Sentinel requires a password.
    async fn query(&self, index: usize) -> Result<Option<(String, u16)>> {
        match self.query_as(index, RedisConnectionInfo::default()).await {
            Err(error) if error.to_string().contains("NOAUTH") => {
                self.query_as(index, self.place.user.clone().set_db(0)).await
            }
            answer => answer,
        }
    }

    async fn query_as(&self, index: usize, user: RedisConnectionInfo) -> Result<Option<(String, u16)>> {
        let (host, port) = &self.place.sentinels[index];
        let invalid = |error| Error::Invalid(InvalidInput::new("REDIS_URL", format!("{host}:{port}: {error}")));
        let info = ConnectionAddr::Tcp(host.clone(), *port).into_connection_info().map_err(invalid)?;
        let client = client::client(info.set_redis_settings(user))?;
        client::within(QUERY_LIMIT, "the query", query_master(&client, &self.place.master)).await
    }

    fn name(&self, index: usize) -> String {
        let (host, port) = &self.place.sentinels[index];
        format!("{host}:{port}")
    }
}

async fn query_master(client: &Client, name: &str) -> RedisResult<Option<(String, u16)>> {
    let config = redis::AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).query_async(&mut connection).await
}
