//! A connection, as seen by the task that serves it.

use std::net::SocketAddr;

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::table::ConnectionTable;

/// Adds a connection to the table. Returns its handle and its lifetime.
pub(super) fn admit(table: &ConnectionTable, peer: SocketAddr) -> (ClientConnection, Lifetime) {
    let (id, deadline) = table.add();
    let connection = ClientConnection { table: table.clone(), id, peer };
    (connection, Lifetime { table: table.clone(), id, deadline })
}

/// A client's connection. Its task reports what it is waiting for.
#[derive(Debug, Clone)]
pub struct ClientConnection {
    table: ConnectionTable,
    id: u64,
    peer: SocketAddr,
}

impl ClientConnection {
    /// Address of the client.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Reports that a request is complete. The client is not expected to act until the response is
    /// ready.
    pub fn begin_response(&self) {
        self.table.begin_response(self.id);
    }

    /// Reports that the client has to send something. Its time limit starts now.
    pub fn begin_wait(&self) {
        self.table.begin_wait(self.id);
    }

    /// Reports a response of `bytes` bytes. The client has to read it, or to send the next request.
    pub fn end_response(&self, bytes: u64) {
        self.table.end_response(self.id, bytes);
    }
}

/// Lifetime of a connection: it ends when the connection is evicted, or a wait for its client times
/// out. Dropping it removes the connection from the table.
#[derive(Debug)]
pub(super) struct Lifetime {
    table: ConnectionTable,
    id: u64,
    /// Deadline of the current wait; `None` while the server is working.
    deadline: watch::Receiver<Option<Instant>>,
}

impl Lifetime {
    pub(super) async fn ended(mut self) {
        loop {
            let deadline = *self.deadline.borrow_and_update();
            let changed = match deadline {
                None => self.deadline.changed().await,
                Some(deadline) => match timeout_at(deadline, self.deadline.changed()).await {
                    Ok(changed) => changed,
                    Err(_) => return,
                },
            };
            // An evicted connection is no longer in the table.
            if changed.is_err() {
                return;
            }
        }
    }
}

impl Drop for Lifetime {
    fn drop(&mut self) {
        self.table.remove(self.id);
    }
}
