//! Buffered line input and byte output over TCP or TLS.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const READ_SIZE: usize = 16 * 1024;

/// Time for which a closed connection is still read, so that the client gets the last reply and not
/// a reset.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct ServerWire {
    socket: Socket,
    input: Vec<u8>,
    /// End of the consumed input.
    consumed: usize,
    /// End of the input that was searched for LF.
    searched: usize,
    output: Vec<u8>,
    /// Ends of the replies in `output`, if each is sent by itself.
    ends: Option<Vec<usize>>,
    /// Delay before each flush.
    delay: Duration,
}

#[derive(Debug)]
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// During a handshake, or after a failed one.
    Gone,
}

impl ServerWire {
    /// Creates the wire of a connection. With `nagle`, each reply is sent by itself.
    pub(super) fn new(stream: TcpStream, delay: Duration, nagle: bool) -> Self {
        let _ = stream.set_nodelay(!nagle);
        let socket = Socket::Plain(stream);
        Self {
            socket,
            input: Vec::new(),
            consumed: 0,
            searched: 0,
            output: Vec::new(),
            ends: nagle.then(Vec::new),
            delay,
        }
    }

    /// Returns the next line with its LF, if it has arrived.
    pub(super) fn take_line(&mut self) -> Option<Vec<u8>> {
        let position = self.input[self.searched..].iter().position(|&byte| byte == b'\n');
        let Some(position) = position else {
            self.searched = self.input.len();
            return None;
        };
        let end = self.searched + position + 1;
        let line = self.input[self.consumed..end].to_vec();
        (self.consumed, self.searched) = (end, end);
        Some(line)
    }

    /// Unconsumed input.
    pub(super) fn pending(&self) -> &[u8] {
        &self.input[self.consumed..]
    }

    pub(super) fn discard_pending(&mut self) {
        (self.consumed, self.searched) = (self.input.len(), self.input.len());
    }

    /// Reads more input. Returns an error at the end of the stream.
    pub(super) async fn read(&mut self) -> io::Result<()> {
        self.input.drain(..self.consumed);
        self.searched -= self.consumed;
        self.consumed = 0;
        self.input.reserve(READ_SIZE);
        let count = match &mut self.socket {
            Socket::Plain(stream) => stream.read_buf(&mut self.input).await?,
            Socket::Tls(stream) => stream.read_buf(&mut self.input).await?,
            Socket::Gone => 0,
        };
        if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Reads available input without waiting.
    pub(super) async fn read_ready(&mut self) {
        // A timeout of zero would wait for the next millisecond of the timer.
        tokio::select! {
            biased;
            _ = self.read() => {}
            () = std::future::ready(()) => {}
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
        if let Some(ends) = &mut self.ends {
            ends.push(self.output.len());
        }
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let output = std::mem::take(&mut self.output);
        let mut start = 0;
        for end in self.ends.as_mut().map(std::mem::take).unwrap_or_default() {
            self.send(&output[start..end]).await?;
            start = end;
        }
        self.send(&output[start..]).await
    }

    pub(super) async fn send_byte_by_byte(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.flush().await?;
        for byte in bytes {
            self.send(&[*byte]).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    pub(super) async fn start_tls(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        let Socket::Plain(stream) = std::mem::replace(&mut self.socket, Socket::Gone) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.socket = Socket::Tls(Box::new(acceptor.accept(stream).await?));
        Ok(())
    }

    /// Closes the connection: sends FIN and reads on until [`LINGER`].
    pub(super) async fn close(mut self) {
        let _ = self.flush().await;
        let _ = match &mut self.socket {
            Socket::Plain(stream) => stream.shutdown().await,
            Socket::Tls(stream) => stream.shutdown().await,
            Socket::Gone => Ok(()),
        };
        let until_end = async {
            while self.read().await.is_ok() {
                self.discard_pending();
            }
        };
        let _ = tokio::time::timeout(LINGER, until_end).await;
    }

    /// Resets the connection.
    pub(super) fn reset(self) {
        let _ = match &self.socket {
            Socket::Plain(stream) => stream.set_zero_linger(),
            Socket::Tls(stream) => stream.get_ref().0.set_zero_linger(),
            Socket::Gone => Ok(()),
        };
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Plain(stream) => stream.write_all(bytes).await,
            Socket::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Socket::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
