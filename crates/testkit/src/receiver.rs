//! Somebody who wants to be told by HTTP: takes every request, and refuses what it was told to refuse.

use crate::http::{HttpServer, Site};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A server on a free port of 127.0.0.1, on a thread of its own, until it is dropped. It answers `200` where it was not told
/// otherwise.
#[derive(Debug)]
pub struct FakeReceiver(HttpServer<Desk>);

/// A request that was read whole.
#[derive(Clone, Debug)]
pub struct Told {
    /// When, for differences.
    pub at: Instant,
    /// Method, path and query, as in `POST /hook?a=b`.
    pub line: String,
    /// Its headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body as it came.
    pub body: String,
}

impl Told {
    /// The body, which is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body in JSON")
    }
}

#[derive(Debug, Default)]
struct Desk {
    told: Mutex<Vec<Told>>,
    answers: Mutex<VecDeque<Reaction>>,
    count: watch::Sender<usize>,
}

/// What a request meets.
#[derive(Clone, Debug)]
enum Reaction {
    Status(u16),
    Redirect(String),
    Silence,
}

impl FakeReceiver {
    /// One without TLS.
    pub fn start() -> Self {
        Self(HttpServer::start(Arc::default(), false))
    }

    /// One that speaks TLS, with a certificate for 127.0.0.1.
    pub fn start_tls() -> Self {
        Self(HttpServer::start(Arc::default(), true))
    }

    /// The URL of this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.url())
    }

    /// The certificate authority that signed this server's certificate and nobody else's.
    pub fn ca_pem(&self) -> &str {
        self.0.ca_pem()
    }

    /// Answers so many requests to come with this status, after what was said before.
    pub fn answer(&self, status: u16, times: usize) {
        self.react(Reaction::Status(status), times);
    }

    /// Sends the next request elsewhere.
    pub fn redirect(&self, to: &str) {
        self.react(Reaction::Redirect(to.to_owned()), 1);
    }

    /// Reads so many requests to come and never answers them.
    pub fn ignore(&self, times: usize) {
        self.react(Reaction::Silence, times);
    }

    /// All requests so far, in their order.
    pub fn told(&self) -> Vec<Told> {
        self.0.site().lock().clone()
    }

    /// Waits for `count` requests in all and returns what there is then.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Vec<Told> {
        let mut known = self.0.site().count.subscribe();
        let came = tokio::time::timeout(limit, known.wait_for(|known| *known >= count)).await.is_ok();
        assert!(came, "waited {limit:?} for {count} requests; {:?}", self.told());
        self.told()
    }

    /// Ends all its connections and lets new ones be refused, as if the server was down.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Listens again at the same address after [`stop`](Self::stop).
    pub fn start_again(&self) {
        self.0.start_again();
    }

    fn react(&self, reaction: Reaction, times: usize) {
        let mut answers = self.0.site().answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.extend(std::iter::repeat_n(reaction, times));
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Vec<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, told: Told) {
        let mut all = self.lock();
        all.push(told);
        let count = all.len();
        drop(all);
        self.count.send_replace(count);
    }

    fn reaction(&self) -> Reaction {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.pop_front().unwrap_or(Reaction::Status(200))
    }
}

impl Site for Desk {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        self.note(Told {
            at: Instant::now(),
            line: format!("{} {}", head.method, head.uri),
            headers: head.headers.iter().map(header).collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        let response = match self.reaction() {
            Reaction::Status(status) => Response::builder().status(StatusCode::from_u16(status).expect("a status")),
            Reaction::Redirect(to) => Response::builder().status(StatusCode::FOUND).header("location", to),
            Reaction::Silence => std::future::pending().await,
        };
        Ok(response.body(Full::default()).expect("a response"))
    }
}
