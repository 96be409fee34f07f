//! The provider Resend's API as far as we use it: strict about requests, and failing on purpose.
//!
//! ```no_run
//! # async fn test() {
//! use postroom_testkit::{FakeResend, resend::Trouble};
//! use std::time::Duration;
//!
//! let server = FakeResend::builder().rate(2).start();
//! server.trouble(Trouble::answer(500, "internal_server_error"), 1);
//! // … send to server.url() with FakeResend::API_KEY …
//! let mails = server.wait_for(1, Duration::from_secs(10)).await;
//! assert_eq!(mails[0].body["subject"], "Hello");
//! # }
//! ```

mod api;
mod ledger;
mod shape;
mod trouble;

pub use ledger::{Asked, Mailed};
pub use trouble::Trouble;

use crate::http::{HttpServer, Site};
use crate::smtp::pace::RateCheck;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use ledger::Ledger;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use trouble::Troubles;

/// A server on a free port of 127.0.0.1, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct FakeResend {
    server: HttpServer<Shared>,
}

/// Describes a [`FakeResend`]. By default there is no limit, no TLS, and the key may do everything.
#[derive(Clone, Debug, Default)]
pub struct FakeResendBuilder {
    rate: Option<usize>,
    tls: bool,
    sending_only: bool,
}

/// What all connections of a server use.
#[derive(Debug)]
struct Shared {
    options: FakeResendBuilder,
    troubles: Troubles,
    pace: RateCheck,
    ledger: Ledger,
}

impl Site for Shared {
    fn opened(&self) {
        self.ledger.open();
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        api::answer(self, request).await
    }
}

impl FakeResendBuilder {
    /// So many requests within any second; more are answered `429`.
    pub fn rate(self, per_second: usize) -> Self {
        Self { rate: Some(per_second), ..self }
    }

    /// Speaks TLS, with a certificate for 127.0.0.1.
    pub fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// The key may send and nothing else.
    pub fn sending_only(self) -> Self {
        Self { sending_only: true, ..self }
    }

    /// Starts it.
    pub fn start(self) -> FakeResend {
        let tls = self.tls;
        let shared = Shared {
            options: self,
            troubles: Troubles::default(),
            pace: RateCheck::default(),
            ledger: Ledger::default(),
        };
        FakeResend { server: HttpServer::start(Arc::new(shared), tls) }
    }
}

impl FakeResend {
    /// The one key that it knows.
    pub const API_KEY: &str = "re_test_0123456789";

    /// A server to be described and then started.
    pub fn builder() -> FakeResendBuilder {
        FakeResendBuilder::default()
    }

    /// A server that accepts everything that is right.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Where its API is.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The certificate authority that signed this server's certificate and nobody else's.
    pub fn ca_pem(&self) -> &str {
        self.server.ca_pem()
    }

    /// Adds trouble for so many requests to come, after what was added before.
    pub fn trouble(&self, trouble: Trouble, times: usize) {
        self.shared().troubles.add(trouble, times);
    }

    /// Lets go of all idempotency keys, as the day after does.
    pub fn forget_keys(&self) {
        self.shared().ledger.forget_keys();
    }

    /// The mails that it took, each once, in their order.
    pub fn mails(&self) -> Vec<Mailed> {
        self.shared().ledger.mails()
    }

    /// All requests to send a mail that were read, in their order.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared().ledger.asked()
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.shared().ledger.connections()
    }

    /// The most requests to send that any stretch of a second saw, those that were refused included.
    pub fn most_in_a_second(&self) -> usize {
        let at: Vec<_> = self.asked().into_iter().map(|asked| asked.at).collect();
        let within = |from| at.iter().filter(|at| **at >= from && **at - from < Duration::from_secs(1)).count();
        at.iter().map(|from| within(*from)).max().unwrap_or(0)
    }

    /// Waits for `count` mails in all and returns what there is then; panics saying what came if they do not.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Vec<Mailed> {
        let mut mails = self.shared().ledger.watch();
        let came = tokio::time::timeout(limit, mails.wait_for(|mails| *mails >= count)).await.is_ok();
        assert!(came, "waited {limit:?} for {count} mails; {:?}", self.asked());
        self.mails()
    }

    /// Ends all its connections and lets new ones be refused, as if the server was down; what it took stays.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Listens again at the same address after [`stop`](Self::stop).
    pub fn start_again(&self) {
        self.server.start_again();
    }

    fn shared(&self) -> &Shared {
        self.server.site()
    }
}
