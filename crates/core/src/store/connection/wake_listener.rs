//! Waits for wake tokens with a blocking read on a connection of its own.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{client, redis_error, store::Store};
use crate::{Error, QueueName, Result};

/// Waits until one of its queues has a job to claim.
pub struct WakeListener {
    store: Store,
    keys: Vec<String>,
    idle: Option<ReadConnection>,
    /// A blocking read whose result was not consumed yet.
    pending: Option<PendingRead>,
}

/// A blocking read of some keys, with the connection that it uses.
struct PendingRead {
    keys: Vec<String>,
    read: AbortOnDropHandle<ReadOutcome>,
}

/// Whether a token arrived, and the connection if it is still usable.
type ReadOutcome = (Result<bool>, Option<ReadConnection>);

/// Connection for blocking reads. It is dropped when the store's connection is closed, because both
/// lead to the same server.
struct ReadConnection {
    handle: MultiplexedConnection,
    closed: CancellationToken,
}

/// Maximum time that one read blocks.
const MAX_BLOCK: Duration = Duration::from_secs(20);
/// Additional time allowed for the server's reply or for a new connection.
const GRACE: Duration = Duration::from_secs(3);

impl WakeListener {
    /// Creates a listener for these queues.
    #[must_use]
    pub fn new(store: &Store, queues: &[QueueName]) -> Self {
        let mut listener = Self { store: store.any_run(), keys: Vec::new(), idle: None, pending: None };
        listener.listen_to(queues, &[]);
        listener
    }

    /// Selects the queues to listen to, and further queues for urgent mail only.
    ///
    /// A token wakes one worker only, so do not listen to a queue that you cannot serve now.
    pub fn listen_to(&mut self, queues: &[QueueName], urgent: &[QueueName]) {
        let keys = &self.store.keys;
        let of_urgent = urgent.iter().chain(queues).map(|queue| keys.of_queue(queue, "wake:urgent"));
        self.keys = of_urgent.chain(queues.iter().map(|queue| keys.of_queue(queue, "wake"))).collect();
    }

    /// Waits up to `limit` (at most 20 s) and returns whether a token arrived. A server that does
    /// not reply delays the result by up to 3 s.
    ///
    /// Dropping the future does not end the read: the next call for the same queues receives the
    /// token.
    pub async fn wait(&mut self, limit: Duration) -> Result<bool> {
        let limit = limit.clamp(Duration::from_millis(1), MAX_BLOCK);
        if self.keys.is_empty() {
            self.stop();
            tokio::time::sleep(limit).await;
            return Ok(false);
        }
        if self.pending.as_ref().is_none_or(|pending| pending.keys != self.keys) {
            self.stop();
            let timed_out = || Error::Away("no connection for a blocking read within the time limit".to_owned());
            match timeout(limit + GRACE, self.connection()).await.unwrap_or_else(|_| Err(timed_out())) {
                Ok(connection) => self.pending = Some(PendingRead::start(self.keys.clone(), connection)),
                Err(problem) => return Err(self.probe_store(problem)),
            }
        }
        let Some(pending) = &mut self.pending else { return Ok(false) };
        // A timeout keeps the blocking read open for the next call.
        let Ok(outcome) = timeout(limit, &mut pending.read).await else { return Ok(false) };
        let (woken, idle) = outcome.unwrap_or_else(|error| (Err(Error::Away(error.to_string())), None));
        (self.pending, self.idle) = (None, idle);
        match woken {
            // After the damaged list is moved aside, new tokens arrive again. A sweep finds the
            // jobs that wait.
            Err(Error::WrongType(_)) => self.mend().await.map(|()| false),
            woken => woken.map_err(|problem| self.probe_store(problem)),
        }
    }

    async fn mend(&self) -> Result<()> {
        let length = |key| redis::cmd("LLEN").arg(key).to_owned();
        let lengths: Vec<redis::Cmd> = self.keys.iter().map(length).collect();
        self.store.mend(lengths.iter()).await
    }

    /// Pings on the store's connection, which may be dead too. Without a call it would not notice.
    fn probe_store(&self, problem: Error) -> Error {
        let store = self.store.clone();
        tokio::spawn(async move { store.ping().await });
        problem
    }

    /// Stops listening until the next wait, so that tokens go to other workers.
    pub fn stop(&mut self) {
        self.pending = None;
    }

    async fn connection(&mut self) -> Result<ReadConnection> {
        if let Some(idle) = self.idle.take().filter(|idle| !idle.closed.is_cancelled()) {
            return Ok(idle);
        }
        let shared = self.store.shared.connection().await?;
        Ok(ReadConnection { handle: client::connect(shared.client()).await?, closed: shared.closed().clone() })
    }
}

impl PendingRead {
    fn start(keys: Vec<String>, mut connection: ReadConnection) -> Self {
        let mut command = redis::cmd("BLPOP");
        command.arg(&keys).arg(MAX_BLOCK.as_secs_f64());
        let read = async move {
            let woken: Result<Option<(String, String)>> = tokio::select! {
                woken = command.query_async(&mut connection.handle) => {
                    woken.map_err(|error| redis_error::convert(&error))
                }
                () = connection.closed.cancelled() => Err(Error::Away("the connection was lost".to_owned())),
                () = sleep(MAX_BLOCK + GRACE) => Err(Error::Away("no reply to a blocking read".to_owned())),
            };
            // The connection is reused only after a successful read.
            match woken {
                Ok(woken) => (Ok(woken.is_some()), Some(connection)),
                Err(problem) => (Err(problem), None),
            }
        };
        Self { keys, read: AbortOnDropHandle::new(tokio::spawn(read)) }
    }
}
