//! HTTP, as far as it takes.

use super::{Shared, api};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

pub(super) async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    listener.set_nonblocking(true).expect("a listener can be non-blocking");
    let listener = TcpListener::from_std(listener).expect("a listener can be used by tokio");
    loop {
        // An error here is about that one connection, or about too many open files, which passes.
        let Ok((tcp, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        shared.ledger.open();
        tokio::spawn(greet(Arc::clone(&shared), tcp));
    }
}

async fn greet(shared: Arc<Shared>, tcp: TcpStream) {
    if !shared.options.tls {
        return serve(shared, tcp).await;
    }
    // A handshake that fails is the client's affair.
    if let Ok(tls) = shared.identity.acceptor.accept(tcp).await {
        serve(shared, tls).await;
    }
}

/// Until the client leaves, or trouble ends it.
async fn serve(shared: Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
    let service = service_fn(move |request| api::answer(Arc::clone(&shared), request));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
