//! A listening port that slow clients can't fill.
//!
//! The number of connections is bounded. At the bound, a new connection closes the one that has waited longest for its
//! client: for a request, the rest of one, or the reading of an answer. Each such wait has a time limit of its own. The
//! monitor and the health ports use the same mechanism.

mod connection;
mod table;
mod trouble;

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};

pub use self::connection::ClientConnection;
use self::{table::Table, trouble::Trouble};
use crate::open_files::raise_open_files;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 4_096;
/// A connection is not closed for another one before it had this long.
const LEAST_STAY: Duration = Duration::from_millis(20);
/// Pause after an error of accepting, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Bounds of a listening port.
#[derive(Debug, Clone, Copy)]
pub struct ListenerLimits {
    /// Name of the port in the log.
    pub name: &'static str,
    /// Maximum number of connections; fewer where the process may not open enough files.
    pub connections: usize,
    /// Time limit of each wait for a client.
    pub wait: Duration,
    /// Maximum of bytes in answers that clients have not read.
    pub unread_bytes: u64,
}

/// A listening port with a bounded number of connections.
#[derive(Debug)]
pub struct BoundedListener {
    socket: TcpListener,
    table: Table,
}

impl BoundedListener {
    /// Opens the port.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub fn bind(address: SocketAddr, limits: ListenerLimits) -> io::Result<Self> {
        Ok(Self::new(open(address)?, limits))
    }

    /// Bounds a port that is open already. Raises this process's soft limit on open files.
    #[must_use]
    pub fn new(socket: TcpListener, limits: ListenerLimits) -> Self {
        // A quarter of the files stays for everything else.
        let files = usize::try_from(raise_open_files() / 4 * 3).unwrap_or(usize::MAX);
        Self {
            socket,
            table: Table::new(ListenerLimits { connections: limits.connections.min(files).max(1), ..limits }),
        }
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts connections until it is dropped, and answers each with `answer` in a task of its own.
    pub async fn serve<F>(&self, answer: impl Fn(TcpStream, ClientConnection) -> F) -> Infallible
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut trouble = Trouble::default();
        loop {
            let (stream, peer) = self.accept(&mut trouble).await;
            self.make_room().await;
            let (connection, lifetime) = self.table.admit(peer);
            let answering = answer(stream, connection);
            tokio::spawn(async move {
                tokio::select! {
                    () = answering => {}
                    () = lifetime.over() => {}
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

    async fn accept(&self, trouble: &mut Trouble) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => {
                    trouble.end(self.table.name());
                    return accepted;
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    trouble.note(self.table.name(), &error);
                    self.table.evict(Instant::now());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Waits until there is room, closing what has waited longest for its client.
    async fn make_room(&self) {
        loop {
            let changed = self.table.changed();
            if !self.table.is_full() {
                return;
            }
            self.table.evict(Instant::now() - LEAST_STAY);
            // One is being closed, or all are being answered, or came this moment.
            let _ = tokio::time::timeout(LEAST_STAY, changed).await;
        }
    }
}

/// Opens a port for [`BoundedListener::new`].
///
/// # Errors
/// When the address can't be bound.
pub fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As the standard library does, so that a restart need not wait for old connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Errors of one connection that was closed before it was accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
