//! A listening port that slow clients can't exhaust.
//!
//! The number of connections is bounded. At the bound, a new connection closes the one that has
//! waited longest for its client: for a request, for the rest of one, or for a response to be read.
//! Each such wait has its own time limit. The monitor and the health ports use this listener.

mod accept_errors;
mod connection;
mod limits;
mod table;

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};

use self::{accept_errors::AcceptErrors, connection::admit, table::ConnectionTable};
pub use self::{connection::ClientConnection, limits::ListenerLimits};
use crate::open_files::raise_open_files;

/// Accept backlog of the kernel.
const BACKLOG: u32 = 4_096;
/// Minimum lifetime of a connection before another one may replace it.
const LEAST_STAY: Duration = Duration::from_millis(20);
/// Pause after an error of `accept`, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening port with a bounded number of connections.
#[derive(Debug)]
pub struct BoundedListener {
    socket: TcpListener,
    table: ConnectionTable,
}

impl BoundedListener {
    /// Opens the port.
    ///
    /// # Errors
    /// Returns an error if the address can't be bound.
    pub fn bind(address: SocketAddr, limits: ListenerLimits) -> io::Result<Self> {
        Ok(Self::new(open(address)?, limits))
    }

    /// Wraps a port that is open already. Raises the soft limit on open files of this process.
    #[must_use]
    pub fn new(socket: TcpListener, limits: ListenerLimits) -> Self {
        // A quarter of the files is reserved for everything else.
        let files = usize::try_from(raise_open_files() / 4 * 3).unwrap_or(usize::MAX);
        Self {
            socket,
            table: ConnectionTable::new(ListenerLimits { connections: limits.connections.min(files).max(1), ..limits }),
        }
    }

    /// Returns the address of the port.
    ///
    /// # Errors
    /// Returns an error if the system call fails.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts connections until dropped, and runs `respond` for each in its own task.
    pub async fn serve<F>(&self, respond: impl Fn(TcpStream, ClientConnection) -> F) -> Infallible
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut errors = AcceptErrors::default();
        loop {
            let (stream, peer) = self.accept(&mut errors).await;
            self.make_room().await;
            let (connection, lifetime) = admit(&self.table, peer);
            let response = respond(stream, connection);
            tokio::spawn(async move {
                tokio::select! {
                    () = response => {}
                    () = lifetime.ended() => {}
                }
            });
        }
    }

    /// Waits until no connection is open.
    pub async fn is_idle(&self) {
        loop {
            let changed = self.table.changed();
            if self.table.is_empty() {
                return;
            }
            changed.await;
        }
    }

    async fn accept(&self, errors: &mut AcceptErrors) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => {
                    errors.end(self.table.name());
                    return accepted;
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    errors.note(self.table.name(), &error);
                    self.table.evict(Instant::now());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Waits for a free connection, evicting the one that has waited longest for its client.
    async fn make_room(&self) {
        loop {
            let changed = self.table.changed();
            if !self.table.is_full() {
                return;
            }
            self.table.evict(Instant::now() - LEAST_STAY);
            // An eviction is in progress, all connections are answering, or all are new.
            let _ = tokio::time::timeout(LEAST_STAY, changed).await;
        }
    }
}

/// Opens a port for [`BoundedListener::new`].
///
/// # Errors
/// Returns an error if the address can't be bound.
pub fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As in the standard library: a restart need not wait for old connections to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Whether the error concerns one connection that was closed before it was accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
