//! The store: a handle on the shared connection that sends commands.

use std::{fmt, sync::Arc, time::Duration};

use redis::{Arg, Cmd, FromRedisValue, Pipeline, RedisResult, aio::MultiplexedConnection};

use super::{
    redis_error,
    run::RunId,
    server::Server,
    shared::{REPLY_LIMIT, RedisConnection, SharedConnection},
};
use crate::{Error, Outage, Result, settings::RedisSettings, store::keys::Keys};

/// Jobs, batches, queues and processes in Redis.
#[derive(Clone)]
pub struct Store {
    pub(in crate::store) shared: Arc<SharedConnection>,
    filter: RunFilter,
    pub(in crate::store) keys: Keys,
}

/// Server runs to which calls may be sent.
#[derive(Debug, Clone)]
enum RunFilter {
    /// Any run.
    Any,
    /// Runs that were marked as synced.
    Synced,
    /// This run only.
    Only(RunId),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("keys", &self.keys).field("filter", &self.filter).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects to Redis. A connection that is lost later is reopened automatically.
    ///
    /// # Errors
    /// [`Error::Away`] if Redis can't be reached, [`Error::Invalid`] for a wrong setting.
    pub async fn connect(settings: &RedisSettings) -> Result<Self> {
        let shared = Arc::new(SharedConnection::new(Server::new(settings)?));
        shared.connection().await?;
        Ok(Self { shared, filter: RunFilter::Any, keys: Keys::new(&settings.prefix) })
    }

    /// Connects, retrying every 500 ms while Redis is away.
    ///
    /// # Errors
    /// Only errors that are not transient, such as [`Error::Invalid`].
    pub async fn connect_with_retry(settings: &RedisSettings, outage: &Outage) -> Result<Self> {
        loop {
            match Self::connect(settings).await {
                Err(error) if error.is_transient() => outage.note(&error),
                connected => {
                    outage.end();
                    return connected;
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Sends PING and waits for the reply.
    pub async fn ping(&self) -> Result<()> {
        self.run::<String>(&redis::cmd("PING")).await.map(|_| ())
    }

    /// Returns the server run of the current connection, if there is one.
    #[must_use]
    pub fn run_id(&self) -> Option<RunId> {
        self.shared.current().map(|connection| connection.run().clone())
    }

    /// Returns the server run of the current connection, after connecting if necessary.
    pub async fn connected_run(&self) -> Result<RunId> {
        Ok(self.shared.connection().await?.run().clone())
    }

    /// Returns a store whose calls fail with [`Error::NotSynced`] while the current server run
    /// was not [marked as synced](Self::mark_synced).
    ///
    /// The check and the call use the same connection.
    #[must_use]
    pub fn synced_only(&self) -> Self {
        Self { filter: RunFilter::Synced, ..self.clone() }
    }

    /// Returns a store whose calls fail with [`Error::NotSynced`] on any other server run.
    #[must_use]
    pub fn only_run(&self, run: &RunId) -> Self {
        Self { filter: RunFilter::Only(run.clone()), ..self.clone() }
    }

    /// Returns a store that sends calls to any server run, as the resync itself must.
    #[must_use]
    pub fn any_run(&self) -> Self {
        Self { filter: RunFilter::Any, ..self.clone() }
    }

    /// Waits until the store is connected to a server run that was not marked as synced, and
    /// returns that run.
    ///
    /// Connects if necessary. The first run after the start is unsynced. A synced run becomes
    /// unsynced again once another run was connected in between.
    pub async fn unsynced_run(&self) -> RunId {
        self.shared.unsynced_run().await
    }

    /// Marks this run as synced. Does nothing if the store is connected to another run by now.
    pub fn mark_synced(&self, run: &RunId) {
        self.shared.mark_synced(run);
    }

    /// Waits until the current server run is marked as synced.
    pub async fn until_synced(&self) {
        self.shared.until_synced().await;
    }

    /// Sends one command.
    pub(in crate::store) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        match self.run_once(command).await {
            Err(Error::WrongType(_)) => {
                Box::pin(self.mend(std::iter::once(command))).await?;
                self.run_once(command).await
            }
            answer => answer,
        }
    }

    async fn run_once<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let send = |mut handle| async move { command.query_async(&mut handle).await };
        self.send(send, || command_and_key(command)).await
    }

    /// Sends several commands in one pipeline.
    pub(in crate::store) async fn run_all<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T> {
        match self.run_all_once(pipeline).await {
            Err(Error::WrongType(_)) => {
                Box::pin(self.mend(pipeline.cmd_iter())).await?;
                self.run_all_once(pipeline).await
            }
            answer => answer,
        }
    }

    async fn run_all_once<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T> {
        let send = |mut handle| async move { pipeline.query_async(&mut handle).await };
        self.send(send, || pipeline.cmd_iter().map(command_and_key).collect::<Vec<_>>().join(", ")).await
    }

    /// Sends a call and waits for its reply. `describe` names the call in errors.
    pub(in crate::store) async fn send<T, F>(
        &self,
        call: impl FnOnce(MultiplexedConnection) -> F,
        describe: impl FnOnce() -> String,
    ) -> Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let connection = self.connection().await?;
        // Boxed because the future is large and many tasks may wait for Redis at the same time.
        let reply = Box::pin(self.shared.await_reply(&connection, REPLY_LIMIT, call(connection.handle()))).await;
        reply.map_err(|error| redis_error::name_denied_call(error, connection.user(), describe))
    }

    /// Returns the connection for one call. The filter is checked on the connection that the call
    /// then uses.
    async fn connection(&self) -> Result<Arc<RedisConnection>> {
        let connection = self.shared.connection().await?;
        let is_allowed = match &self.filter {
            RunFilter::Any => true,
            RunFilter::Synced => self.shared.is_synced(connection.run()),
            RunFilter::Only(run) => connection.run() == run,
        };
        if is_allowed { Ok(connection) } else { Err(Error::NotSynced) }
    }
}

/// Returns the command and its key, for messages.
fn command_and_key(command: &Cmd) -> String {
    let word = |arg: Arg<&[u8]>| match arg {
        Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    command.args_iter().take(2).map(word).collect::<Vec<_>>().join(" ")
}
