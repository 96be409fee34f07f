//! Waiting for work: a blocking read on a connection of its own.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{connection::Store, server, trouble};
use crate::{Error, QueueName, Result};

/// Rings when one of its queues has something to claim.
pub struct Bell {
    store: Store,
    keys: Vec<String>,
    rope: Option<Rope>,
}

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
        let mut bell = Self { store: store.ungated(), keys: Vec::new(), rope: None };
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

    /// Waits at most `limit` (up to 20 s, and 3 s more where the server does not answer); whether it rang. Safe to drop in
    /// the middle: a token that is lost is made good by the next sweep.
    pub async fn wait(&mut self, limit: Duration) -> Result<bool> {
        let limit = limit.clamp(Duration::from_millis(1), LONGEST);
        if self.keys.is_empty() {
            tokio::time::sleep(limit).await;
            return Ok(false);
        }
        let end = Instant::now() + limit + GRACE;
        let silence = || Error::Away("no answer to a blocking read".to_owned());
        let waited = timeout_at(end, self.pull(limit)).await.unwrap_or_else(|_| Err(silence()));
        if waited.is_err() {
            // When this connection is dead, the store's may be too: that it notices by itself only when it is used.
            let store = self.store.clone();
            tokio::spawn(async move { store.ping().await });
        }
        waited
    }

    /// The connection is put back only when all went well.
    async fn pull(&mut self, limit: Duration) -> Result<bool> {
        let mut rope = self.rope().await?;
        let mut command = redis::cmd("BLPOP");
        command.arg(&self.keys).arg(limit.as_secs_f64());
        let rang: Option<(String, String)> = tokio::select! {
            rang = command.query_async(&mut rope.connection) => rang.map_err(|error| trouble::told(&error))?,
            () = rope.cut.cancelled() => return Err(Error::Away("the connection was lost".to_owned())),
        };
        self.rope = Some(rope);
        Ok(rang.is_some())
    }

    async fn rope(&mut self) -> Result<Rope> {
        if let Some(rope) = self.rope.take().filter(|rope| !rope.cut.is_cancelled()) {
            return Ok(rope);
        }
        let line = self.store.link.line().await?;
        Ok(Rope { connection: server::connect(line.client()).await?, cut: line.gone().clone() })
    }
}
