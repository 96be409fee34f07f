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
    durability::Rounds,
    redis_error,
    run::RunId,
    server::{Opened, Server},
};
use crate::{Error, Result};

/// Maximum time until a reply. After it the connection counts as broken.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Minimum and maximum pause between two attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Shared connection to the server.
pub(super) struct Link {
    server: Server,
    state: watch::Sender<State>,
    dialling: Mutex<Dialling>,
    /// Rounds of waiting for durability.
    pub(super) rounds: Rounds,
}

/// One open connection. It leads to the same run of the same server for its whole life.
pub(super) struct Line {
    connection: MultiplexedConnection,
    run: RunId,
    client: Client,
    gone: CancellationToken,
}

#[derive(Default)]
struct State {
    line: Option<Arc<Line>>,
    /// Run that is marked as synced; cleared when another run is connected.
    synced: Option<RunId>,
}

/// Attempts to connect, one at a time.
#[derive(Default)]
struct Dialling {
    tried_at: Option<Instant>,
    failed: Option<Error>,
    pause: Duration,
    has_connected: bool,
}

impl Link {
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            state: watch::Sender::new(State::default()),
            dialling: Mutex::default(),
            rounds: Rounds::default(),
        }
    }

    /// Returns the open connection, or opens one. Concurrent callers share the result of one
    /// attempt.
    pub(super) async fn line(&self) -> Result<Arc<Line>> {
        match self.current() {
            Some(line) => Ok(line),
            None => Box::pin(self.dial()).await,
        }
    }

    /// Returns the open connection, if there is one.
    pub(super) fn current(&self) -> Option<Arc<Line>> {
        self.state.borrow().line.clone()
    }

    /// Waits for a reply on this connection. After a timeout or a broken connection, the connection
    /// is closed and all pending calls on it fail.
    pub(super) async fn heard<T>(
        &self,
        line: &Arc<Line>,
        limit: Duration,
        asking: impl Future<Output = RedisResult<T>>,
    ) -> Result<T> {
        let answer = tokio::select! {
            biased;
            answer = timeout(limit, asking) => answer,
            () = line.gone.cancelled() => return Err(Error::Away("the connection was lost".to_owned())),
        };
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if redis_error::ends_connection(&error) {
                    self.leave(line);
                }
                Err(redis_error::convert(&error))
            }
            Err(_) => {
                self.leave(line);
                Err(Error::Away(format!("no reply within {} s", limit.as_secs())))
            }
        }
    }

    /// Whether this run is marked as synced.
    pub(super) fn is_synced(&self, run: &RunId) -> bool {
        self.state.borrow().synced.as_ref() == Some(run)
    }

    /// Marks this run as synced, unless another run is connected by now.
    pub(super) fn mark_synced(&self, run: &RunId) {
        self.state.send_if_modified(|state| {
            let is_connected = state.line.as_ref().is_some_and(|line| &line.run == run);
            if is_connected {
                state.synced = Some(run.clone());
            }
            is_connected
        });
    }

    /// Waits until the connected run is one that was not marked as synced.
    pub(super) async fn unsynced_run(&self) -> RunId {
        let mut states = self.state.subscribe();
        loop {
            // After a failed attempt, the next one waits.
            if let Ok(line) = self.line().await {
                if !self.is_synced(&line.run) {
                    return line.run.clone();
                }
                // The sender lives as long as `self`.
                let _ = states.wait_for(|state| state.line.is_none() || state.is_unsynced()).await;
            }
        }
    }

    /// Waits until the connected run is marked as synced.
    pub(super) async fn until_synced(&self) {
        let is_synced = |state: &State| state.line.is_some() && !state.is_unsynced();
        // The sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(is_synced).await;
    }

    /// Whether Sentinels may promote another server.
    pub(super) fn is_watched(&self) -> bool {
        self.server.is_watched()
    }

    fn leave(&self, line: &Arc<Line>) {
        self.state.send_if_modified(|state| {
            let is_current = state.line.as_ref().is_some_and(|current| Arc::ptr_eq(current, line));
            if is_current {
                state.line = None;
            }
            is_current
        });
        line.gone.cancel();
    }

    async fn dial(&self) -> Result<Arc<Line>> {
        let asked_at = Instant::now();
        let mut dialling = self.dialling.lock().await;
        if let Some(line) = self.current() {
            return Ok(line);
        }
        if let Some(error) = dialling.failed_since(asked_at) {
            return Err(error);
        }
        tokio::time::sleep(dialling.rest()).await;
        let opened = self.server.open().await;
        dialling.outcome(opened).map(|opened| self.take(opened))
    }

    fn take(&self, opened: Opened) -> Arc<Line> {
        let Opened { connection, run, client } = opened;
        let line = Arc::new(Line { connection, run, client, gone: CancellationToken::new() });
        self.state.send_modify(|state| {
            state.line = Some(Arc::clone(&line));
            if state.is_unsynced() {
                state.synced = None;
            }
        });
        line
    }
}

impl State {
    fn is_unsynced(&self) -> bool {
        self.line.as_ref().is_some_and(|line| Some(&line.run) != self.synced.as_ref())
    }
}

impl Line {
    /// Returns a handle to send commands with. Wait for replies through [`Link::heard`].
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// Server run of this connection.
    pub(super) fn run(&self) -> &RunId {
        &self.run
    }

    /// User name of this connection.
    pub(super) fn user(&self) -> &str {
        self.client.get_connection_info().redis_settings().username().unwrap_or("default")
    }

    /// Client that opens further connections to the same server.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Token that is cancelled when this connection is closed.
    pub(super) fn gone(&self) -> &CancellationToken {
        &self.gone
    }
}

impl Dialling {
    /// Returns the error of an attempt that was made after `asked_at`.
    fn failed_since(&self, asked_at: Instant) -> Option<Error> {
        let tried_at = self.tried_at?;
        self.failed.clone().filter(|_| tried_at >= asked_at)
    }

    /// Remaining pause before the next attempt.
    fn rest(&self) -> Duration {
        let since = self.tried_at.map_or(Duration::MAX, |at| at.elapsed());
        self.pause.max(PAUSE.0).saturating_sub(since)
    }

    /// Records the result of an attempt.
    ///
    /// After the first success every error counts as transient. A password that is being changed
    /// must not end a process that holds unsaved state.
    fn outcome(&mut self, opened: Result<Opened>) -> Result<Opened> {
        self.tried_at = Some(Instant::now());
        match opened {
            Ok(opened) => {
                *self = Self { tried_at: self.tried_at, has_connected: true, ..Self::default() };
                Ok(opened)
            }
            Err(error) => {
                let passes = error.is_transient() || !self.has_connected;
                let error = if passes { error } else { Error::Away(error.to_string()) };
                self.pause = (self.pause * 2).clamp(PAUSE.0, PAUSE.1);
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }
}
