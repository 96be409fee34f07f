//! Byte stream of a connection, plain or TLS.

use std::{
    future::poll_fn,
    io, mem,
    mem::MaybeUninit,
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Reads into `room`. With `acknowledge`, a read that has to wait first acknowledges what has
    /// arrived; see [`Stream::acknowledge`].
    pub(crate) async fn read(&mut self, room: &mut [u8], mut acknowledge: bool) -> io::Result<usize> {
        let mut room = ReadBuf::new(room);
        poll_fn(|context| {
            let polled = self.poll_read(context, &mut room);
            if polled.is_pending() && mem::take(&mut acknowledge) {
                self.acknowledge();
            }
            polled
        })
        .await?;
        Ok(room.filled().len())
    }

    fn poll_read(&mut self, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, room),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(context, room),
        }
    }

    /// Sends a delayed acknowledgement at once. A server that leaves Nagle's algorithm on holds the
    /// next reply back until the last one is acknowledged, which the kernel delays by 40 ms.
    fn acknowledge(&self) {
        // Without it the replies only arrive later.
        #[cfg(any(target_os = "android", target_os = "linux"))]
        let _ = SockRef::from(self.tcp()).set_tcp_quickack(true);
    }

    /// Returns once the kernel has taken every byte. `taken` is set to the maximum number of bytes
    /// taken, also on failure or drop. With TLS it is all but the last byte until the end.
    pub(crate) async fn write(&mut self, bytes: &[u8], taken: &mut usize) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => {
                *taken = 0;
                while *taken < bytes.len() {
                    match tcp.write(&bytes[*taken..]).await? {
                        0 => return Err(io::ErrorKind::WriteZero.into()),
                        more => *taken += more,
                    }
                }
                Ok(())
            }
            Self::Tls(tls) => {
                *taken = bytes.len().saturating_sub(1);
                tls.write_all(bytes).await?;
                tls.flush().await?;
                *taken = bytes.len();
                Ok(())
            }
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether the server closed the idle connection or sent something on it. Does not block. Peeks
    /// at the socket itself, because the runtime may not have polled it yet.
    pub(crate) fn has_input(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(self.tcp()).peek(&mut byte) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Closes the connection at once.
    pub(crate) fn close(&self) {
        // An error means that the connection is already closed.
        let _ = SockRef::from(self.tcp()).shutdown(Shutdown::Both);
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}
