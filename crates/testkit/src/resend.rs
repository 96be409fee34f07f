//! Fake API of the provider Resend, with strict validation and fault injection.
//!
//! ```no_run
//! # async fn test() {
//! use postroom_testkit::{FakeResend, resend::ApiFault};
//! use std::time::Duration;
//!
//! let server = FakeResend::builder().rate(2).start();
//! server.fault(ApiFault::error(500, "internal_server_error"), 1);
//! // … send to server.url() with FakeResend::API_KEY …
//! let mails = server.wait_for(1, Duration::from_secs(10)).await;
//! assert_eq!(mails[0].body["subject"], "Hello");
//! # }
//! ```

mod api;
mod fault;
mod ledger;
mod validation;

pub use fault::ApiFault;
pub use ledger::{AcceptedMail, SendRequest};

use crate::http::{HttpHandler, HttpServer};
use crate::smtp::pace::RateCheck;
use fault::ApiFaults;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use ledger::ResendLedger;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// HTTP server on a free port of 127.0.0.1. It runs on its own thread and stops when dropped.
#[derive(Debug)]
pub struct FakeResend {
    server: HttpServer<ResendState>,
}

/// Builder of a [`FakeResend`]. By default it has no rate limit, no TLS, and a full-access API key.
#[derive(Clone, Debug, Default)]
pub struct FakeResendBuilder {
    rate: Option<usize>,
    tls: bool,
    sending_only: bool,
}

/// State state by all connections of a server.
#[derive(Debug)]
struct ResendState {
    options: FakeResendBuilder,
    faults: ApiFaults,
    pace: RateCheck,
    ledger: ResendLedger,
}

impl HttpHandler for ResendState {
    fn opened(&self) {
        self.ledger.count_connection();
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        api::answer(self, request).await
    }
}

impl FakeResendBuilder {
    /// Limits the requests within any second. Further ones are refused with `429`.
    pub fn rate(self, per_second: usize) -> Self {
        Self { rate: Some(per_second), ..self }
    }

    /// Enables TLS with a certificate for 127.0.0.1.
    pub fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// Restricts the API key to sending.
    pub fn sending_only(self) -> Self {
        Self { sending_only: true, ..self }
    }

    /// Starts the server.
    pub fn start(self) -> FakeResend {
        let tls = self.tls;
        let state = ResendState {
            options: self,
            faults: ApiFaults::default(),
            pace: RateCheck::default(),
            ledger: ResendLedger::default(),
        };
        FakeResend { server: HttpServer::start(Arc::new(state), tls) }
    }
}

impl FakeResend {
    /// The only valid API key.
    pub const API_KEY: &str = "re_test_0123456789";

    /// Returns a builder of a server.
    pub fn builder() -> FakeResendBuilder {
        FakeResendBuilder::default()
    }

    /// Starts a server that accepts every valid request.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Returns the base URL of the API.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns the certificate authority that signed this server's certificate only.
    pub fn ca_pem(&self) -> &str {
        self.server.ca_pem()
    }

    /// Queues `fault` for `times` requests, behind faults queued earlier.
    pub fn fault(&self, fault: ApiFault, times: usize) {
        self.state().faults.add(fault, times);
    }

    /// Expires all idempotency keys, as after 24 hours.
    pub fn expire_keys(&self) {
        self.state().ledger.expire_keys();
    }

    /// Returns the accepted mails, each once, in order of acceptance.
    pub fn mails(&self) -> Vec<AcceptedMail> {
        self.state().ledger.mails()
    }

    /// Returns all requests to send a mail, in order of receipt.
    pub fn requests(&self) -> Vec<SendRequest> {
        self.state().ledger.requests()
    }

    /// Returns the number of connections opened so far.
    pub fn connections(&self) -> usize {
        self.state().ledger.connections()
    }

    /// Returns the maximum number of send requests within any second, including refused ones.
    pub fn most_in_a_second(&self) -> usize {
        let at: Vec<_> = self.requests().into_iter().map(|request| request.at).collect();
        let within = |from| at.iter().filter(|at| **at >= from && **at - from < Duration::from_secs(1)).count();
        at.iter().map(|from| within(*from)).max().unwrap_or(0)
    }

    /// Waits until `count` mails were accepted in total, and returns all of them. Panics with all
    /// requests after `limit`.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Vec<AcceptedMail> {
        let mut mails = self.state().ledger.watch();
        let is_complete = tokio::time::timeout(limit, mails.wait_for(|mails| *mails >= count)).await.is_ok();
        assert!(is_complete, "fewer than {count} mails within {limit:?}; requests: {:?}", self.requests());
        self.mails()
    }

    /// Closes all connections and stops listening, as if the server were down. Accepted mails
    /// remain.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Listens again at the same address after [`stop`](Self::stop).
    pub fn start_again(&self) {
        self.server.start_again();
    }

    fn state(&self) -> &ResendState {
        self.server.handler()
    }
}
