//! TLS in front of a server that has none, such as a private Redis.

use std::net::{SocketAddr, TcpListener as StdListener};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::smtp::tls::TestCertificate;

/// A TLS terminator on a free port of 127.0.0.1, until it is dropped. Works with every server, whatever it was built with.
#[derive(Debug)]
pub struct TlsProxy {
    addr: SocketAddr,
    ca_pem: String,
    /// Dropped, it ends the thread.
    _end: oneshot::Sender<()>,
}

impl TlsProxy {
    /// Starts one in front of `upstream`, with a certificate for `name` by an authority of its own.
    pub fn start(upstream: SocketAddr, name: &str) -> Self {
        let listener = crate::port::listen();
        let addr = listener.local_addr().expect("a listener has an address");
        let TestCertificate { ca_pem, acceptor } = TestCertificate::for_name(name);
        let (end, ended) = oneshot::channel();
        run(listener, acceptor, upstream, ended);
        Self { addr, ca_pem, _end: end }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The certificate authority that signed its certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

/// A thread and a runtime of its own: a test that blocks must not stop it.
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
        // An error here is about that one connection.
        let Ok((client, _)) = listener.accept().await else { continue };
        tokio::spawn(serve(client, acceptor.clone(), upstream));
    }
}

/// A client that refuses the certificate ends the handshake; nothing reaches the server then.
async fn serve(client: TcpStream, acceptor: TlsAcceptor, upstream: SocketAddr) {
    let _ = client.set_nodelay(true);
    let Ok(mut client) = acceptor.accept(client).await else { return };
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    let _ = server.set_nodelay(true);
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
