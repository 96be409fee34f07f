//! Waits for wake tokens with a blocking read on a connection of its own.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{connection::Store, server, trouble};
use crate::{Error, QueueName, Result};

/// Waits until one of its queues has a job to claim.
pub struct Bell {
    store: Store,
    keys: Vec<String>,
    rope: Option<Rope>,
    /// A blocking read whose result was not consumed yet.
    waiting: Option<Waiting>,
}

/// A blocking read of some keys, with the connection that it uses.
struct Waiting {
    keys: Vec<String>,
    read: AbortOnDropHandle<Heard>,
}

/// Whether a token arrived, and the connection if it is still usable.
type Heard = (Result<bool>, Option<Rope>);

/// Connection for blocking reads. It is dropped when the store's connection is closed, because both
/// lead to the same server.
struct Rope {
    connection: MultiplexedConnection,
    cut: CancellationToken,
}

/// Maximum time that one read blocks.
const LONGEST: Duration = Duration::from_secs(20);
/// Additional time allowed for the server's reply or for a new connection.
const GRACE: Duration = Duration::from_secs(3);

impl Bell {
    /// Creates a listener for these queues.
    #[must_use]
    pub fn new(store: &Store, queues: &[QueueName]) -> Self {
        let mut bell = Self { store: store.ungated(), keys: Vec::new(), rope: None, waiting: None };
        bell.listen_to(queues, &[]);
        bell
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
        let limit = limit.clamp(Duration::from_millis(1), LONGEST);
        if self.keys.is_empty() {
            self.hush();
            tokio::time::sleep(limit).await;
            return Ok(false);
        }
        if self.waiting.as_ref().is_none_or(|waiting| waiting.keys != self.keys) {
            self.hush();
            let silence = || Error::Away("no connection for a blocking read within the time limit".to_owned());
            match timeout(limit + GRACE, self.rope()).await.unwrap_or_else(|_| Err(silence())) {
                Ok(rope) => self.waiting = Some(Waiting::on(self.keys.clone(), rope)),
                Err(problem) => return Err(self.told_store(problem)),
            }
        }
        let Some(waiting) = &mut self.waiting else { return Ok(false) };
        // A timeout keeps the blocking read open for the next call.
        let Ok(heard) = timeout(limit, &mut waiting.read).await else { return Ok(false) };
        let (rang, rope) = heard.unwrap_or_else(|error| (Err(Error::Away(error.to_string())), None));
        (self.waiting, self.rope) = (None, rope);
        match rang {
            // After the damaged list is moved aside, new tokens arrive again. A sweep finds the
            // jobs that wait.
            Err(Error::WrongType(_)) => self.mend().await.map(|()| false),
            rang => rang.map_err(|problem| self.told_store(problem)),
        }
    }

    async fn mend(&self) -> Result<()> {
        let length = |key| redis::cmd("LLEN").arg(key).to_owned();
        let lengths: Vec<redis::Cmd> = self.keys.iter().map(length).collect();
        self.store.mend(lengths.iter()).await
    }

    /// Pings on the store's own connection, which may be dead too and would notice that only when
    /// used.
    fn told_store(&self, problem: Error) -> Error {
        let store = self.store.clone();
        tokio::spawn(async move { store.ping().await });
        problem
    }

    /// Stops listening until the next wait, so that tokens go to other workers.
    pub fn hush(&mut self) {
        self.waiting = None;
    }

    async fn rope(&mut self) -> Result<Rope> {
        if let Some(rope) = self.rope.take().filter(|rope| !rope.cut.is_cancelled()) {
            return Ok(rope);
        }
        let line = self.store.link.line().await?;
        Ok(Rope { connection: server::connect(line.client()).await?, cut: line.gone().clone() })
    }
}

impl Waiting {
    fn on(keys: Vec<String>, mut rope: Rope) -> Self {
        let mut command = redis::cmd("BLPOP");
        command.arg(&keys).arg(LONGEST.as_secs_f64());
        let read = async move {
            let rang: Result<Option<(String, String)>> = tokio::select! {
                rang = command.query_async(&mut rope.connection) => rang.map_err(|error| trouble::told(&error)),
                () = rope.cut.cancelled() => Err(Error::Away("the connection was lost".to_owned())),
                () = sleep(LONGEST + GRACE) => Err(Error::Away("no reply to a blocking read".to_owned())),
            };
            // The connection is reused only after a successful read.
            match rang {
                Ok(rang) => (Ok(rang.is_some()), Some(rope)),
                Err(problem) => (Err(problem), None),
            }
        };
        Self { keys, read: AbortOnDropHandle::new(tokio::spawn(read)) }
    }
}
