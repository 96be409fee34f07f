//! HTTP/1.1 connections; each request is read in full before it is answered.

use std::{convert::Infallible, pin::pin, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use postroom_core::{
    Shutdown,
    listener::{ClientConnection, ListenerLimits},
};
use tokio::net::TcpStream;

use crate::guard;

/// Limits of the monitor's port.
pub(crate) const LIMITS: ListenerLimits =
    ListenerLimits { name: "monitor", connections: 1_024, wait: Duration::from_secs(15), unread_bytes: 128 << 20 };
/// Maximum size of a request's head, in bytes.
const HEAD_BYTES: usize = 32 * 1_024;
/// Maximum size of a request's body, in bytes. Forms of the dashboard are smaller.
const BODY_BYTES: usize = 16 * 1_024;
/// Number of bytes of a longer body that are read and discarded, so that the client reads the
/// refusal.
const DISCARDED_BYTES: usize = 1 << 20;

/// Serves the requests of one connection until it ends, or until `shutdown` is requested and no
/// request is in progress.
pub(crate) async fn serve(
    stream: TcpStream,
    client: ClientConnection,
    router: TowerToHyperService<Router>,
    shutdown: Shutdown,
) {
    let service = service_fn(|request| exchange(request, &client, &router));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(LIMITS.wait).max_buf_size(HEAD_BYTES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(from = %client.peer(), "a connection ended: {error}");
    }
}

async fn exchange(
    request: hyper::Request<Incoming>,
    client: &ClientConnection,
    router: &TowerToHyperService<Router>,
) -> Result<Response, Infallible> {
    client.begin_wait();
    let (mut parts, body) = request.into_parts();
    let response = match read_body(body).await {
        Ok(body) => {
            client.begin_response();
            parts.extensions.insert(client.clone());
            router.call(Request::from_parts(parts, Body::from(body))).await?
        }
        Err(status) => refusal(status),
    };
    client.end_response(response.body().size_hint().lower());
    Ok(response)
}

/// Reads the body, or returns the status of a refusal.
async fn read_body(mut body: Incoming) -> Result<Bytes, StatusCode> {
    let (mut data, mut bytes) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else { continue };
        bytes += chunk.len();
        if bytes <= BODY_BYTES {
            data.extend_from_slice(&chunk);
        } else if bytes > DISCARDED_BYTES {
            break;
        }
    }
    if bytes <= BODY_BYTES { Ok(data.into()) } else { Err(StatusCode::PAYLOAD_TOO_LARGE) }
}

fn refusal(status: StatusCode) -> Response {
    let text = format!("the body of a request may have {BODY_BYTES} bytes and must be complete\n");
    let mut response = (status, text).into_response();
    guard::set_headers(response.headers_mut());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
