//! HTTP/1.1 client for provider APIs, over pooled connections, and for webhooks.
//!
//! Based on hyper's low-level client for two reasons. A connection must be open before a mail is
//! marked as begun. The caller must know whether a request was sent.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use postroom_core::HttpUrl;
use postroom_smtp::{ErrorKind, TimeLimits, TlsClient, connect};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

/// Value of the `User-Agent` header; some APIs refuse requests without it.
pub(crate) const USER_AGENT_VALUE: &str = concat!("postroom/", env!("CARGO_PKG_VERSION"));

/// Maximum idle time and maximum age of a connection.
const IDLE: Duration = Duration::from_secs(30);
const AGE: Duration = Duration::from_secs(5 * 60);

/// Time limit for an idle connection to report that it is ready.
const READY: Duration = Duration::from_secs(1);

/// Maximum size of an answer, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// HTTP server and the idle connections to it.
#[derive(Debug)]
pub(crate) struct HttpClient {
    base: HttpUrl,
    tls: Option<TlsClient>,
    idle: Mutex<Vec<HttpConnection>>,
}

/// Open connection that is ready for a request.
#[derive(Debug)]
pub(crate) struct HttpConnection {
    sender: SendRequest<Full<Bytes>>,
    opened_at: Instant,
    used_at: Instant,
}

/// Error of opening a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectFailure {
    /// Phase of the failure: `connect` or `tls`.
    pub(crate) phase: &'static str,
    /// Description of the error.
    pub(crate) problem: String,
}

/// Error of a request without an answer.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The request was not sent.
    NotSent(String),
    /// The request was sent; the server may have processed it.
    Unanswered(String),
}

/// Complete HTTP response.
#[derive(Debug, Clone)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl HttpClient {
    /// Creates a client. No connection is opened before the first request. `tls` must be set if the
    /// address requires it.
    pub(crate) fn new(base: HttpUrl, tls: Option<TlsClient>) -> Self {
        Self { base, tls, idle: Mutex::default() }
    }

    pub(crate) fn base(&self) -> &HttpUrl {
        &self.base
    }

    /// Returns an idle connection that is still open, or opens a new one.
    pub(crate) async fn checkout(&self) -> Result<HttpConnection, ConnectFailure> {
        while let Some(mut connection) = self.with_idle(Vec::pop) {
            if connection.is_reusable() && matches!(timeout(READY, connection.sender.ready()).await, Ok(Ok(()))) {
                return Ok(connection);
            }
        }
        Box::pin(self.open()).await
    }

    /// Returns a connection to the pool, unless it is closed or too old.
    pub(crate) fn put_back(&self, connection: HttpConnection) {
        if connection.is_reusable() {
            self.with_idle(|idle| idle.push(connection));
        }
    }

    /// Sends a request and reads the answer. Dropping the future closes the connection.
    pub(crate) async fn exchange(
        &self,
        mut connection: HttpConnection,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<HttpResponse, RequestError> {
        match timeout(limit, connection.exchange(request)).await {
            Ok(answer) => {
                if answer.is_ok() {
                    connection.used_at = Instant::now();
                    self.put_back(connection);
                }
                answer
            }
            Err(_) => Err(RequestError::Unanswered(format!("no answer within the limit of {limit:.1?}"))),
        }
    }

    /// Closes connections that exceeded their idle time or age.
    pub(crate) fn retire_old(&self) {
        self.with_idle(|idle| idle.retain(HttpConnection::is_reusable));
    }

    /// Closes all idle connections.
    pub(crate) fn close(&self) {
        self.with_idle(Vec::clear);
    }

    async fn open(&self) -> Result<HttpConnection, ConnectFailure> {
        let (host, limits) = (&self.base.host, TimeLimits::default());
        let tcp = within("connect", limits.connect, connect(host, self.base.port, limits.connect)).await?;
        match &self.tls {
            None => handshake(tcp).await,
            Some(tls) => handshake(within("tls", limits.tls, tls.handshake(host, tcp)).await?).await,
        }
    }

    fn with_idle<T>(&self, work: impl FnOnce(&mut Vec<HttpConnection>) -> T) -> T {
        work(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpConnection {
    fn is_reusable(&self) -> bool {
        !self.sender.is_closed() && self.used_at.elapsed() < IDLE && self.opened_at.elapsed() < AGE
    }

    /// Sends a request, reads only the status of the answer, and closes the connection.
    pub(crate) async fn status(mut self, request: Request<Full<Bytes>>) -> Result<u16, RequestError> {
        Ok(self.request(request).await?.status().as_u16())
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<HttpResponse, RequestError> {
        let (head, body) = self.request(request).await?.into_parts();
        match Limited::new(body, LONGEST_ANSWER).collect().await {
            Ok(body) => {
                let (status, headers, body) = (head.status.as_u16(), head.headers, body.to_bytes());
                Ok(HttpResponse { status, headers, body })
            }
            Err(error) => Err(RequestError::Unanswered(format!(
                "{} and then an incomplete answer: {error}",
                head.status.as_u16()
            ))),
        }
    }

    async fn request(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, RequestError> {
        self.sender.try_send_request(request).await.map_err(|error| match error.message() {
            Some(_) => RequestError::NotSent(describe(error.error())),
            None => RequestError::Unanswered(describe(error.error())),
        })
    }
}

async fn within<T>(
    phase: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, ErrorKind>>,
) -> Result<T, ConnectFailure> {
    let result = timeout(limit, work).await.unwrap_or(Err(ErrorKind::Timeout(limit)));
    result.map_err(|trouble| ConnectFailure { phase, problem: trouble.to_string() })
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<HttpConnection, ConnectFailure> {
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) =
        shaken.map_err(|error| ConnectFailure { phase: "connect", problem: describe(&error) })?;
    // The task ends when the `HttpConnection` is dropped. Its errors reach the caller that awaits
    // an answer.
    tokio::spawn(async move { drop(connection.await) });
    let now = Instant::now();
    Ok(HttpConnection { sender, opened_at: now, used_at: now })
}

/// Formats an error with its cause.
fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl std::fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.phase, self.problem)
    }
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::NotSent(problem) | Self::Unanswered(problem)) = self;
        f.write_str(problem)
    }
}
