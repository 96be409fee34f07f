//! TLS terminator for a server without TLS, such as a private Redis.

use std::net::{SocketAddr, TcpListener as StdListener};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::smtp::tls::TestCertificate;

/// TLS terminator on a free port of 127.0.0.1. It stops when dropped.
///
/// Works with any server, even with one that was built without TLS.
#[derive(Debug)]
pub struct TlsProxy {
    addr: SocketAddr,
    ca_pem: String,
    /// Ends the thread when dropped.
    _end: oneshot::Sender<()>,
}

impl TlsProxy {
    /// Starts a terminator for `upstream`, with a certificate for `name` from a new authority.
    pub fn start(upstream: SocketAddr, name: &str) -> Self {
        let listener = crate::port::listen();
        let addr = listener.local_addr().expect("a listener has an address");
        let TestCertificate { ca_pem, acceptor } = TestCertificate::for_name(name);
        let (end, ended) = oneshot::channel();
        run(listener, acceptor, upstream, ended);
        Self { addr, ca_pem, _end: end }
    }

    /// Returns the address of the terminator.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the certificate authority that signed the certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

/// Serves on a separate thread and runtime, so that a blocked test does not stop the terminator.
fn run(listener: StdListener, acceptor: TlsAcceptor, upstream: SocketAddr, ended: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let serve = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = ended => {}
                () = accept(listener, acceptor, upstream) => {}
            }
        });
    };
    std::thread::Builder::new().name("tls-proxy".to_owned()).spawn(serve).expect("a thread can be started");
}

async fn accept(listener: StdListener, acceptor: TlsAcceptor, upstream: SocketAddr) {
    listener.set_nonblocking(true).expect("a listener can be non-blocking");
    let listener = TcpListener::from_std(listener).expect("a listener can be used by tokio");
    loop {
        // An error concerns only this connection.
        let Ok((client, _)) = listener.accept().await else { continue };
        tokio::spawn(serve(client, acceptor.clone(), upstream));
    }
}

/// Serves one connection. The server is contacted only after a complete handshake.
async fn serve(client: TcpStream, acceptor: TlsAcceptor, upstream: SocketAddr) {
    let _ = client.set_nodelay(true);
    let Ok(mut client) = acceptor.accept(client).await else { return };
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    let _ = server.set_nodelay(true);
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
