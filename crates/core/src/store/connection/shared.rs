//! The connection shared by all clones of a store; reopened when it is lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Client, RedisResult, aio::MultiplexedConnection};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    redis_error,
    rounds::DurabilityRounds,
    run::RunId,
    server::{NewConnection, Server},
};
use crate::{Error, Result};

/// Maximum time until a reply. After it the connection counts as broken.
pub(in crate::store) const REPLY_LIMIT: Duration = Duration::from_secs(5);
/// Minimum and maximum pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Shared connection to the server.
pub(in crate::store) struct SharedConnection {
    server: Server,
    state: watch::Sender<ConnectionState>,
    attempts: Mutex<ConnectAttempts>,
    /// Rounds of waiting for durability.
    pub(in crate::store) rounds: DurabilityRounds,
}

/// One open connection. It leads to the same run of the same server for its whole life.
pub(in crate::store) struct RedisConnection {
    handle: MultiplexedConnection,
    run: RunId,
    client: Client,
    closed: CancellationToken,
}

#[derive(Default)]
struct ConnectionState {
    connection: Option<Arc<RedisConnection>>,
    /// Run that is marked as synced; cleared when another run is connected.
    synced: Option<RunId>,
}

/// Attempts to connect, one at a time.
#[derive(Default)]
struct ConnectAttempts {
    tried_at: Option<Instant>,
    last_error: Option<Error>,
    pause: Duration,
    has_connected: bool,
}

impl SharedConnection {
    pub(in crate::store) fn new(server: Server) -> Self {
        Self {
            server,
            state: watch::Sender::new(ConnectionState::default()),
            attempts: Mutex::default(),
            rounds: DurabilityRounds::default(),
        }
    }

    /// Returns the open connection, or opens one. Concurrent callers share the result of one
    /// attempt.
    pub(in crate::store) async fn connection(&self) -> Result<Arc<RedisConnection>> {
        match self.current() {
            Some(connection) => Ok(connection),
            None => Box::pin(self.reconnect()).await,
        }
    }

    /// Returns the open connection, if there is one.
    pub(in crate::store) fn current(&self) -> Option<Arc<RedisConnection>> {
        self.state.borrow().connection.clone()
    }

    /// Waits for a reply on this connection. After a timeout or a broken connection, the connection
    /// is closed and all pending calls on it fail.
    pub(in crate::store) async fn await_reply<T>(
        &self,
        connection: &Arc<RedisConnection>,
        limit: Duration,
        call: impl Future<Output = RedisResult<T>>,
    ) -> Result<T> {
        let answer = tokio::select! {
            biased;
            answer = timeout(limit, call) => answer,
            () = connection.closed.cancelled() => return Err(Error::Away("the connection was lost".to_owned())),
        };
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if redis_error::ends_connection(&error) {
                    self.close(connection);
                }
                Err(redis_error::convert(&error))
            }
            Err(_) => {
                self.close(connection);
                Err(Error::Away(format!("no reply within {} s", limit.as_secs())))
            }
        }
    }

    /// Whether this run is marked as synced.
    pub(in crate::store) fn is_synced(&self, run: &RunId) -> bool {
        self.state.borrow().synced.as_ref() == Some(run)
    }

    /// Marks this run as synced, unless another run is connected by now.
    pub(in crate::store) fn mark_synced(&self, run: &RunId) {
        self.state.send_if_modified(|state| {
            let is_connected = state.connection.as_ref().is_some_and(|connection| &connection.run == run);
            if is_connected {
                state.synced = Some(run.clone());
            }
            is_connected
        });
    }

    /// Waits until the connected run is one that was not marked as synced.
    pub(in crate::store) async fn unsynced_run(&self) -> RunId {
        let mut states = self.state.subscribe();
        loop {
            // After a failed attempt, the next one waits.
            if let Ok(connection) = self.connection().await {
                if !self.is_synced(&connection.run) {
                    return connection.run.clone();
                }
                // The sender lives as long as `self`.
                let _ = states.wait_for(|state| state.connection.is_none() || state.is_unsynced()).await;
            }
        }
    }

    /// Waits until the connected run is marked as synced.
    pub(in crate::store) async fn until_synced(&self) {
        let is_synced = |state: &ConnectionState| state.connection.is_some() && !state.is_unsynced();
        // The sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(is_synced).await;
    }

    /// Whether Sentinels may promote another server.
    pub(in crate::store) fn is_watched(&self) -> bool {
        self.server.is_watched()
    }

    fn close(&self, connection: &Arc<RedisConnection>) {
        self.state.send_if_modified(|state| {
            let is_current = state.connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection));
            if is_current {
                state.connection = None;
            }
            is_current
        });
        connection.closed.cancel();
    }

    async fn reconnect(&self) -> Result<Arc<RedisConnection>> {
        let requested_at = Instant::now();
        let mut attempts = self.attempts.lock().await;
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        if let Some(error) = attempts.failed_since(requested_at) {
            return Err(error);
        }
        tokio::time::sleep(attempts.remaining_pause()).await;
        let opened = self.server.open().await;
        attempts.record(opened).map(|opened| self.install(opened))
    }

    fn install(&self, opened: NewConnection) -> Arc<RedisConnection> {
        let NewConnection { handle, run, client } = opened;
        let connection = Arc::new(RedisConnection { handle, run, client, closed: CancellationToken::new() });
        self.state.send_modify(|state| {
            state.connection = Some(Arc::clone(&connection));
            if state.is_unsynced() {
                state.synced = None;
            }
        });
        connection
    }
}

impl ConnectionState {
    fn is_unsynced(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| Some(&connection.run) != self.synced.as_ref())
    }
}

impl RedisConnection {
    /// Returns a handle to send commands with. Wait for replies through
    /// [`SharedConnection::await_reply`].
    pub(in crate::store) fn handle(&self) -> MultiplexedConnection {
        self.handle.clone()
    }

    /// Server run of this connection.
    pub(in crate::store) fn run(&self) -> &RunId {
        &self.run
    }

    /// User name of this connection.
    pub(in crate::store) fn user(&self) -> &str {
        self.client.get_connection_info().redis_settings().username().unwrap_or("default")
    }

    /// Client that opens further connections to the same server.
    pub(in crate::store) fn client(&self) -> &Client {
        &self.client
    }

    /// Token that is cancelled when this connection is closed.
    pub(in crate::store) fn closed(&self) -> &CancellationToken {
        &self.closed
    }
}

impl ConnectAttempts {
    /// Returns the error of an attempt that was made after `requested_at`.
    fn failed_since(&self, requested_at: Instant) -> Option<Error> {
        let tried_at = self.tried_at?;
        self.last_error.clone().filter(|_| tried_at >= requested_at)
    }

    /// Remaining pause before the next attempt.
    fn remaining_pause(&self) -> Duration {
        let since = self.tried_at.map_or(Duration::MAX, |at| at.elapsed());
        self.pause.max(PAUSES.0).saturating_sub(since)
    }

    /// Records the result of an attempt.
    ///
    /// After the first success every error counts as transient. A password that is being changed
    /// must not end a process that holds unsaved state.
    fn record(&mut self, opened: Result<NewConnection>) -> Result<NewConnection> {
        self.tried_at = Some(Instant::now());
        match opened {
            Ok(opened) => {
                *self = Self { tried_at: self.tried_at, has_connected: true, ..Self::default() };
                Ok(opened)
            }
            Err(error) => {
                let is_final = self.has_connected && !error.is_transient();
                let error = if is_final { Error::Away(error.to_string()) } else { error };
                self.pause = (self.pause * 2).clamp(PAUSES.0, PAUSES.1);
                self.last_error = Some(error.clone());
                Err(error)
            }
        }
    }
}
