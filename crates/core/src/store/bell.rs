//! Waiting for work: a blocking read on a connection of its own.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{connection::Store, server, trouble};
use crate::{Error, QueueName, Result};

/// Rings when one of its queues has something to claim.
pub struct Bell {
    store: Store,
    keys: Vec<String>,
    rope: Option<Rope>,
    /// A wait that nobody has heard the end of.
    waiting: Option<Waiting>,
}

/// A blocking read on some keys, with the connection that it holds.
struct Waiting {
    keys: Vec<String>,
    read: AbortOnDropHandle<Heard>,
}

/// Whether it rang, and the connection if it can be used again.
type Heard = (Result<bool>, Option<Rope>);

/// Its connection, let go with the store's: when one of them is dead, so is the other.
struct Rope {
    connection: MultiplexedConnection,
    cut: CancellationToken,
}

/// The longest that one wait may block.
const LONGEST: Duration = Duration::from_secs(20);
/// How long the server, or a new connection to it, may take beyond that.
const GRACE: Duration = Duration::from_secs(3);

impl Bell {
    /// A bell for these queues.
    #[must_use]
    pub fn new(store: &Store, queues: &[QueueName]) -> Self {
        let mut bell = Self { store: store.ungated(), keys: Vec::new(), rope: None, waiting: None };
        bell.listen_to(queues, &[]);
        bell
    }

    /// Listens to these queues from now on, and to these others where it is urgent. A ring is heard by one only: who would not
    /// claim leaves it to others.
    pub fn listen_to(&mut self, queues: &[QueueName], urgent: &[QueueName]) {
        let keys = &self.store.keys;
        let of_urgent = urgent.iter().chain(queues).map(|queue| keys.of_queue(queue, "wake:urgent"));
        self.keys = of_urgent.chain(queues.iter().map(|queue| keys.of_queue(queue, "wake"))).collect();
    }

    /// Waits at most `limit` (up to 20 s, and 3 s more where the server does not answer); whether it rang. Dropped in the middle,
    /// it goes on listening: the next wait for the same queues hears what rang meanwhile.
    pub async fn wait(&mut self, limit: Duration) -> Result<bool> {
        let limit = limit.clamp(Duration::from_millis(1), LONGEST);
        if self.keys.is_empty() {
            self.hush();
            tokio::time::sleep(limit).await;
            return Ok(false);
        }
        if self.waiting.as_ref().is_none_or(|waiting| waiting.keys != self.keys) {
            self.hush();
            let silence = || Error::Away("no connection for a blocking read".to_owned());
            match timeout(limit + GRACE, self.rope()).await.unwrap_or_else(|_| Err(silence())) {
                Ok(rope) => self.waiting = Some(Waiting::on(self.keys.clone(), rope)),
                Err(problem) => return Err(self.told_store(problem)),
            }
        }
        let Some(waiting) = &mut self.waiting else { return Ok(false) };
        // That nothing rang within the limit is no reason to let go of the rope.
        let Ok(heard) = timeout(limit, &mut waiting.read).await else { return Ok(false) };
        let (rang, rope) = heard.unwrap_or_else(|error| (Err(Error::Away(error.to_string())), None));
        (self.waiting, self.rope) = (None, rope);
        match rang {
            // A list that is damaged rings again once it is moved aside; what waits is found by a sweep.
            Err(Error::WrongType(_)) => self.mend().await.map(|()| false),
            rang => rang.map_err(|problem| self.told_store(problem)),
        }
    }

    async fn mend(&self) -> Result<()> {
        let length = |key| redis::cmd("LLEN").arg(key).to_owned();
        let lengths: Vec<redis::Cmd> = self.keys.iter().map(length).collect();
        self.store.mend(lengths.iter()).await
    }

    /// When this connection is dead, the store's may be too: that it notices by itself only when it is used.
    fn told_store(&self, problem: Error) -> Error {
        let store = self.store.clone();
        tokio::spawn(async move { store.ping().await });
        problem
    }

    /// Listens no more until the next wait: what rings is left to others.
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
                () = sleep(LONGEST + GRACE) => Err(Error::Away("no answer to a blocking read".to_owned())),
            };
            // The connection is kept only when all went well.
            match rang {
                Ok(rang) => (Ok(rang.is_some()), Some(rope)),
                Err(problem) => (Err(problem), None),
            }
        };
        Self { keys, read: AbortOnDropHandle::new(tokio::spawn(read)) }
    }
}
