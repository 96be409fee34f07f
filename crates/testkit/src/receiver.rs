//! Fake receiver of webhook calls, which records each request.

use crate::http::{HttpHandler, HttpServer};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// HTTP server on a free port of 127.0.0.1. It runs on its own thread and stops when dropped.
///
/// The status is `200` unless another response was queued.
#[derive(Debug)]
pub struct FakeReceiver(HttpServer<ReceiverState>);

/// Request that was read completely.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// Time of receipt.
    pub at: Instant,
    /// Method, path and query, such as `POST /hook?a=b`.
    pub line: String,
    /// Headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body, with invalid UTF-8 replaced.
    pub body: String,
}

impl ReceivedRequest {
    /// Parses the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body in JSON")
    }
}

#[derive(Debug, Default)]
struct ReceiverState {
    requests: Mutex<Vec<ReceivedRequest>>,
    answers: Mutex<VecDeque<Reaction>>,
    count: watch::Sender<usize>,
}

/// Response to one request.
#[derive(Clone, Debug)]
enum Reaction {
    Status(u16),
    Redirect(String),
    NoResponse,
}

impl FakeReceiver {
    /// Starts a server without TLS.
    pub fn start() -> Self {
        Self(HttpServer::start(Arc::default(), false))
    }

    /// Starts a server with TLS and a certificate for 127.0.0.1.
    pub fn start_tls() -> Self {
        Self(HttpServer::start(Arc::default(), true))
    }

    /// Returns the URL of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.url())
    }

    /// Returns the certificate authority that signed this server's certificate only.
    pub fn ca_pem(&self) -> &str {
        self.0.ca_pem()
    }

    /// Queues `times` responses with `status`.
    pub fn answer(&self, status: u16, times: usize) {
        self.react(Reaction::Status(status), times);
    }

    /// Queues one redirect (302) to the URL `to`.
    pub fn redirect(&self, to: &str) {
        self.react(Reaction::Redirect(to.to_owned()), 1);
    }

    /// Queues `times` requests that are read and get no response.
    pub fn ignore(&self, times: usize) {
        self.react(Reaction::NoResponse, times);
    }

    /// Returns all requests so far, in order of receipt.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.0.handler().lock().clone()
    }

    /// Waits until `count` requests were received in total, and returns all of them.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Vec<ReceivedRequest> {
        let mut received = self.0.handler().count.subscribe();
        let is_complete = tokio::time::timeout(limit, received.wait_for(|received| *received >= count)).await.is_ok();
        assert!(is_complete, "fewer than {count} requests within {limit:?}: {:?}", self.requests());
        self.requests()
    }

    /// Closes all connections and stops listening, as if the server were down.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Listens again at the same address after [`stop`](Self::stop).
    pub fn start_again(&self) {
        self.0.start_again();
    }

    fn react(&self, reaction: Reaction, times: usize) {
        let mut answers = self.0.handler().answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.extend(std::iter::repeat_n(reaction, times));
    }
}

impl ReceiverState {
    fn lock(&self) -> MutexGuard<'_, Vec<ReceivedRequest>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, request: ReceivedRequest) {
        let mut all = self.lock();
        all.push(request);
        let count = all.len();
        drop(all);
        self.count.send_replace(count);
    }

    fn reaction(&self) -> Reaction {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.pop_front().unwrap_or(Reaction::Status(200))
    }
}

impl HttpHandler for ReceiverState {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        self.record(ReceivedRequest {
            at: Instant::now(),
            line: format!("{} {}", head.method, head.uri),
            headers: head.headers.iter().map(header).collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        let response = match self.reaction() {
            Reaction::Status(status) => Response::builder().status(StatusCode::from_u16(status).expect("a status")),
            Reaction::Redirect(to) => Response::builder().status(StatusCode::FOUND).header("location", to),
            Reaction::NoResponse => std::future::pending().await,
        };
        Ok(response.body(Full::default()).expect("a response"))
    }
}
