//! The connection that all clones of a store share: one at a time, opened anew when it is lost.

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
    run::RunId,
    server::{Opened, Server},
    trouble,
};
use crate::{Error, Result};

/// Within which a command is answered, or the connection is taken for dead.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Between two attempts to connect, at first and at last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The way to the server.
pub(super) struct Link {
    server: Server,
    state: watch::Sender<State>,
    dialling: Mutex<Dialling>,
    /// Of waiting until what was written stays.
    pub(super) rounds: Rounds,
}

/// One open connection. It speaks to one run of one server for as long as it lives.
pub(super) struct Line {
    connection: MultiplexedConnection,
    run: RunId,
    client: Client,
    gone: CancellationToken,
}

#[derive(Default)]
struct State {
    line: Option<Arc<Line>>,
    /// The run that has heard what this process knows; forgotten as soon as another one is met.
    introduced: Option<RunId>,
}

/// The attempts to connect, one at a time.
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

    /// The open connection; opened now if there is none. Whoever comes while somebody is connecting waits for what comes of it.
    pub(super) async fn line(&self) -> Result<Arc<Line>> {
        match self.current() {
            Some(line) => Ok(line),
            None => Box::pin(self.dial()).await,
        }
    }

    /// The open connection, if there is one.
    pub(super) fn current(&self) -> Option<Arc<Line>> {
        self.state.borrow().line.clone()
    }

    /// Waits for the answer on this connection. Without one in time, or when it breaks, the connection is left, and all who
    /// wait on it get their error.
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
                if trouble::ends_connection(&error) {
                    self.leave(line);
                }
                Err(trouble::told(&error))
            }
            Err(_) => {
                self.leave(line);
                Err(Error::Away(format!("no answer within {} s", limit.as_secs())))
            }
        }
    }

    /// Whether that run has heard what this process knows.
    pub(super) fn knows(&self, run: &RunId) -> bool {
        self.state.borrow().introduced.as_ref() == Some(run)
    }

    /// Takes note that this run has heard what this process knows; nothing happens when the link speaks to another one.
    pub(super) fn introduce(&self, run: &RunId) {
        self.state.send_if_modified(|state| {
            let speaks_to_it = state.line.as_ref().is_some_and(|line| &line.run == run);
            if speaks_to_it {
                state.introduced = Some(run.clone());
            }
            speaks_to_it
        });
    }

    /// Waits until the link speaks to a run that was not introduced yet.
    pub(super) async fn stranger(&self) -> RunId {
        let mut states = self.state.subscribe();
        loop {
            // An attempt that failed makes the next one wait.
            if let Ok(line) = self.line().await {
                if !self.knows(&line.run) {
                    return line.run.clone();
                }
                // The sender is part of the link, so it is there.
                let _ = states.wait_for(|state| state.line.is_none() || state.is_strange()).await;
            }
        }
    }

    /// Waits until the link speaks to a run that has heard what this process knows.
    pub(super) async fn introduction(&self) {
        let is_introduced = |state: &State| state.line.is_some() && !state.is_strange();
        // The sender is part of the link, so it is there.
        let _ = self.state.subscribe().wait_for(is_introduced).await;
    }

    /// Whether another server may take over from the present one.
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
            if state.is_strange() {
                state.introduced = None;
            }
        });
        line
    }
}

impl State {
    fn is_strange(&self) -> bool {
        self.line.as_ref().is_some_and(|line| Some(&line.run) != self.introduced.as_ref())
    }
}

impl Line {
    /// The connection; what is asked on it goes through [`Link::heard`].
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// Whom it speaks to.
    pub(super) fn run(&self) -> &RunId {
        &self.run
    }

    /// As whom it speaks.
    pub(super) fn user(&self) -> &str {
        self.client.get_connection_info().redis_settings().username().unwrap_or("default")
    }

    /// For further connections to the same server.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Cancelled when this connection is left.
    pub(super) fn gone(&self) -> &CancellationToken {
        &self.gone
    }
}

impl Dialling {
    /// What came of an attempt that somebody made meanwhile.
    fn failed_since(&self, asked_at: Instant) -> Option<Error> {
        let tried_at = self.tried_at?;
        self.failed.clone().filter(|_| tried_at >= asked_at)
    }

    /// How long to wait before the next attempt.
    fn rest(&self) -> Duration {
        let since = self.tried_at.map_or(Duration::MAX, |at| at.elapsed());
        self.pause.max(PAUSE.0).saturating_sub(since)
    }

    /// Once it was connected, whatever keeps us from it is taken for passing: a password that is being changed must not
    /// make a process forget what it knows.
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
