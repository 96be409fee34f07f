//! Waiting for work: a blocking read on a connection of its own.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::connection::Store;
use crate::{QueueName, Result};

/// Rings when one of its queues has something to claim.
pub struct Bell {
    store: Store,
    keys: Vec<String>,
    connection: Option<MultiplexedConnection>,
}

/// The longest that one wait may block; the connection's own limit lies a little beyond.
const LONGEST: Duration = Duration::from_secs(20);

impl Bell {
    /// A bell for these queues.
    #[must_use]
    pub fn new(store: Store, queues: &[QueueName]) -> Self {
        let keys = queues.iter().map(|queue| store.keys.of_queue(queue, "wake")).collect();
        Self { store, keys, connection: None }
    }

    /// Listens to these queues from now on. A ring is heard by one only: who would not claim leaves it to others.
    pub fn listen_to(&mut self, queues: &[QueueName]) {
        self.keys = queues.iter().map(|queue| self.store.keys.of_queue(queue, "wake")).collect();
    }

    /// Waits at most `limit` (up to 20 s); whether it rang. Safe to drop in the middle: a token that is lost is made good
    /// by the next sweep.
    pub async fn wait(&mut self, limit: Duration) -> Result<bool> {
        let limit = limit.clamp(Duration::from_millis(1), LONGEST);
        if self.keys.is_empty() {
            tokio::time::sleep(limit).await;
            return Ok(false);
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.store.own_connection(LONGEST + Duration::from_secs(3)).await?,
        };
        let mut command = redis::cmd("BLPOP");
        command.arg(&self.keys).arg(limit.as_secs_f64());
        let rang: Option<(String, String)> =
            match tokio::time::timeout(limit + Duration::from_secs(3), command.query_async(&mut connection)).await {
                Ok(answer) => answer.map_err(|error| crate::Error::Away(error.to_string()))?,
                Err(_) => return Err(crate::Error::Away("no answer to a blocking read".to_owned())),
            };
        self.connection = Some(connection);
        Ok(rang.is_some())
    }
}
