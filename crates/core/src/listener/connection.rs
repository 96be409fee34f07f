//! One connection, as its task sees it.

use std::net::SocketAddr;

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::table::Table;

/// A connection of a client. Its task reports what it is waiting for.
#[derive(Debug, Clone)]
pub struct ClientConnection {
    pub(super) table: Table,
    pub(super) id: u64,
    pub(super) peer: SocketAddr,
}

impl ClientConnection {
    /// The address at the other end.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// A request is complete: nothing is expected of the client until it is answered.
    pub fn is_answering(&self) {
        self.table.is_answering(self.id);
    }

    /// The client has to send something; its time limit starts now.
    pub fn waits(&self) {
        self.table.waits(self.id);
    }

    /// An answer of so many bytes was made; the client has to read it, or to send the next request.
    pub fn answered(&self, bytes: u64) {
        self.table.answered(self.id, bytes);
    }
}

/// How long a connection may stay: until it is evicted, or a wait for its client is over its limit. The connection
/// leaves the table when this is dropped.
#[derive(Debug)]
pub(super) struct Lifetime {
    pub(super) table: Table,
    pub(super) id: u64,
    /// The end of the present wait, `None` while the server is at work.
    pub(super) deadline: watch::Receiver<Option<Instant>>,
}

impl Lifetime {
    pub(super) async fn over(mut self) {
        loop {
            let deadline = *self.deadline.borrow_and_update();
            let changed = match deadline {
                None => self.deadline.changed().await,
                Some(deadline) => match timeout_at(deadline, self.deadline.changed()).await {
                    Ok(changed) => changed,
                    Err(_) => return,
                },
            };
            // An evicted connection is in the table no more.
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
