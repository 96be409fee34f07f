//! Minimal HTTP server with a pluggable request handler.

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

/// Request handler of a server.
pub(crate) trait HttpHandler: fmt::Debug + Send + Sync + 'static {
    /// Called for each accepted connection.
    fn opened(&self) {}

    /// Returns the response. An error closes the connection without one.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = io::Result<Response<Full<Bytes>>>> + Send;
}

/// Server on a port of 127.0.0.1. It runs on its own thread and stops when dropped.
#[derive(Debug)]
pub(crate) struct HttpServer<S> {
    addr: SocketAddr,
    identity: Option<Arc<TestCertificate>>,
    handler: Arc<S>,
    running: Mutex<Option<RunningHttp>>,
}

#[derive(Debug)]
struct RunningHttp {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl<S: HttpHandler> HttpServer<S> {
    /// Starts a server on a free port. With TLS, its certificate is valid for 127.0.0.1.
    pub(crate) fn start(handler: Arc<S>, tls: bool) -> Self {
        let listener = crate::port::listen();
        let addr = listener.local_addr().expect("a listener has an address");
        let identity = tls.then(|| Arc::new(TestCertificate::for_name("127.0.0.1")));
        let server = Self { addr, identity, handler, running: Mutex::default() };
        server.run(listener);
        server
    }

    pub(crate) fn handler(&self) -> &Arc<S> {
        &self.handler
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// Returns the certificate authority that signed this server's certificate only.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.identity.as_ref().expect("a server with TLS").ca_pem
    }

    /// Closes all connections and stops listening.
    pub(crate) fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(RunningHttp { end, thread }) = running {
            drop(end);
            thread.join().expect("the server's thread does not panic");
        }
    }

    /// Listens again on the same address.
    pub(crate) fn start_again(&self) {
        self.run(std::net::TcpListener::bind(self.addr).expect("the port is still free"));
    }

    /// Serves on a separate thread and runtime, so that a blocked test does not stop the server.
    fn run(&self, listener: std::net::TcpListener) {
        let (end, ended) = oneshot::channel();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let (handler, identity) = (Arc::clone(&self.handler), self.identity.clone());
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    () = accept(listener, handler, identity) => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("fake-http".to_owned()).spawn(serve);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(running.is_none(), "this server is still running");
        *running = Some(RunningHttp { end, thread: thread.expect("a thread can be started") });
    }
}

impl<S> Drop for HttpServer<S> {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(RunningHttp { end, thread }) = running {
            drop(end);
            drop(thread.join());
        }
    }
}

async fn accept<S: HttpHandler>(
    listener: std::net::TcpListener,
    handler: Arc<S>,
    identity: Option<Arc<TestCertificate>>,
) {
    listener.set_nonblocking(true).expect("a listener can be non-blocking");
    let listener = TcpListener::from_std(listener).expect("a listener can be used by tokio");
    loop {
        // An error concerns only this connection, or the limit of open files, which is temporary.
        let Ok((tcp, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        handler.opened();
        tokio::spawn(handshake(Arc::clone(&handler), identity.clone(), tcp));
    }
}

async fn handshake<S: HttpHandler>(handler: Arc<S>, identity: Option<Arc<TestCertificate>>, tcp: TcpStream) {
    let Some(identity) = identity else { return serve(handler, tcp).await };
    // The client reports a failed handshake.
    if let Ok(tls) = identity.acceptor.accept(tcp).await {
        serve(handler, tls).await;
    }
}

/// Serves one connection until the client closes it or an error ends it.
async fn serve<S: HttpHandler>(handler: Arc<S>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(move |request| Arc::clone(&handler).answer(request));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
