//! An HTTP server, as far as it takes: what it answers is another's affair.

use crate::smtp::tls::TestCertificate;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What answers requests.
pub(crate) trait Site: fmt::Debug + Send + Sync + 'static {
    /// A connection was opened.
    fn opened(&self) {}

    /// An error closes the connection without an answer.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = io::Result<Response<Full<Bytes>>>> + Send;
}

/// A server on a port of 127.0.0.1, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct HttpServer<S> {
    addr: SocketAddr,
    identity: Option<Arc<TestCertificate>>,
    site: Arc<S>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl<S: Site> HttpServer<S> {
    /// Starts on a free port; with TLS it has a certificate for 127.0.0.1.
    pub(crate) fn start(site: Arc<S>, tls: bool) -> Self {
        let listener = crate::port::listen();
        let addr = listener.local_addr().expect("a listener has an address");
        let identity = tls.then(|| Arc::new(TestCertificate::for_name("127.0.0.1")));
        let server = Self { addr, identity, site, running: Mutex::default() };
        server.run(listener);
        server
    }

    pub(crate) fn site(&self) -> &Arc<S> {
        &self.site
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// The certificate authority that signed its certificate and nobody else's.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.identity.as_ref().expect("a server with TLS").ca_pem
    }

    /// Ends all its connections and lets new ones be refused.
    pub(crate) fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { end, thread }) = running {
            drop(end);
            thread.join().expect("the server's thread ends well");
        }
    }

    /// Listens again at the same address.
    pub(crate) fn start_again(&self) {
        self.run(std::net::TcpListener::bind(self.addr).expect("the port is still free"));
    }

    /// A thread and a runtime of its own: a test that blocks must not stop the server it talks to.
    fn run(&self, listener: std::net::TcpListener) {
        let (end, ended) = oneshot::channel();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let (site, identity) = (Arc::clone(&self.site), self.identity.clone());
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    () = accept(listener, site, identity) => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("fake-http".to_owned()).spawn(serve);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(running.is_none(), "this server still runs");
        *running = Some(Running { end, thread: thread.expect("a thread can be started") });
    }
}

impl<S> Drop for HttpServer<S> {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { end, thread }) = running {
            drop(end);
            drop(thread.join());
        }
    }
}

async fn accept<S: Site>(listener: std::net::TcpListener, site: Arc<S>, identity: Option<Arc<TestCertificate>>) {
    listener.set_nonblocking(true).expect("a listener can be non-blocking");
    let listener = TcpListener::from_std(listener).expect("a listener can be used by tokio");
    loop {
        // An error here is about that one connection, or about too many open files, which passes.
        let Ok((tcp, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        site.opened();
        tokio::spawn(greet(Arc::clone(&site), identity.clone(), tcp));
    }
}

async fn greet<S: Site>(site: Arc<S>, identity: Option<Arc<TestCertificate>>, tcp: TcpStream) {
    let Some(identity) = identity else { return serve(site, tcp).await };
    // A handshake that fails is the client's affair.
    if let Ok(tls) = identity.acceptor.accept(tcp).await {
        serve(site, tls).await;
    }
}

/// Until the client leaves, or trouble ends it.
async fn serve<S: Site>(site: Arc<S>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(move |request| Arc::clone(&site).answer(request));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
