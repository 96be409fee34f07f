//! An SMTP server that keeps what it gets and fails on purpose.
//!
//! ```no_run
//! # async fn test() {
//! use postroom_testkit::{Action, FakeSmtp, Fault, Phase};
//! use std::time::Duration;
//!
//! let server = FakeSmtp::builder().start().await;
//! server.fault(Fault::at(Phase::Rcpt, Action::reply(550, "5.1.1 no such user")).recipient("bad@example.org"));
//! server.fault(Fault::at(Phase::Dot, Action::reply(451, "4.3.0 try again")).times(2));
//! // … send to server.addr() …
//! let mails = server.wait_for(1, Duration::from_secs(10)).await;
//! assert_eq!(mails[0].header("Subject").as_deref(), Some("Hello"));
//! assert!(server.violations().is_empty());
//! # }
//! ```

mod body;
mod builder;
mod command;
mod fault;
mod ledger;
pub(crate) mod pace;
mod reply;
mod session;
pub(crate) mod tls;
mod wire;

pub use builder::{FakeSmtpBuilder, TlsMode};
pub use fault::{Action, Fault, Phase, Target};
pub use ledger::Received;

use builder::Options;
use fault::Faults;
use ledger::Ledger;
use pace::Pace;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tls::Identity;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// An SMTP server on a free port of 127.0.0.1, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct FakeSmtp {
    addr: SocketAddr,
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

/// What all sessions of a server use.
#[derive(Debug)]
struct Shared {
    options: Options,
    identity: Identity,
    faults: Faults,
    pace: Pace,
    ledger: Ledger,
}

#[derive(Debug)]
struct Running {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl FakeSmtp {
    /// A server to be described and then started.
    pub fn builder() -> FakeSmtpBuilder {
        FakeSmtpBuilder::default()
    }

    /// A server that offers everything but TLS and AUTH, and accepts everything.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The host to connect to, which its certificate names too.
    pub fn host(&self) -> String {
        self.addr.ip().to_string()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The certificate authority that signed this server's certificate and nobody else's.
    pub fn ca_pem(&self) -> &str {
        &self.shared.identity.ca_pem
    }

    /// Adds trouble from now on. Of several faults that fit a moment, the one added first counts.
    pub fn fault(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// Ends all trouble.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// The mails it accepted, or kept while pretending not to, in their order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.ledger.received()
    }

    /// How many mails that is.
    pub fn received_count(&self) -> usize {
        self.shared.ledger.received_count()
    }

    /// Waits for `count` mails in all and returns what there is then; panics saying what came if they do not.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Vec<Received> {
        let mut received = self.shared.ledger.watch();
        let came = tokio::time::timeout(limit, received.wait_for(|received| *received >= count)).await.is_ok();
        assert!(came, "waited {limit:?} for {count} mails; {}", self.shared.ledger.summary());
        self.received()
    }

    /// What a client did that it must not do, each with its connection; empty for a client in good order.
    pub fn violations(&self) -> Vec<String> {
        self.shared.ledger.violations()
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.shared.ledger.connections()
    }

    /// How many connections were open at the same time at most.
    pub fn peak_connections(&self) -> usize {
        self.shared.ledger.peak_connections()
    }

    /// How many mails' envelopes came with the message of the mail before them (RFC 2920, 3.1).
    pub fn ahead(&self) -> usize {
        self.shared.ledger.ahead()
    }

    /// The lines a client sent outside mails' content on its connection, counted from 1.
    pub fn commands(&self, connection: usize) -> Vec<String> {
        self.shared.ledger.commands(connection)
    }

    /// Ends all its connections and lets new ones be refused, as if the server was down; what it received stays.
    pub fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { end, thread }) = running {
            drop(end);
            thread.join().expect("the server's thread ends well");
        }
    }

    /// Listens again at the same address after [`stop`](Self::stop).
    pub fn start_again(&self) {
        let listener = std::net::TcpListener::bind(self.addr).expect("the port is still free");
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(running.is_none(), "this server still runs");
        *running = Some(run(listener, Arc::clone(&self.shared)));
    }

    fn launch(options: Options) -> Self {
        let listener = crate::port::listen();
        let addr = listener.local_addr().expect("a listener has an address");
        let identity = Identity::for_name(&options.certificate_name);
        let shared = Arc::new(Shared {
            options,
            identity,
            faults: Faults::default(),
            pace: Pace::default(),
            ledger: Ledger::default(),
        });
        let running = Mutex::new(Some(run(listener, Arc::clone(&shared))));
        Self { addr, shared, running }
    }
}

impl Drop for FakeSmtp {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A thread and a runtime of its own: a test that blocks must not stop the server it talks to.
fn run(listener: std::net::TcpListener, shared: Arc<Shared>) -> Running {
    let (end, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let serve = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = ended => {}
                () = accept(listener, shared) => {}
            }
        });
    };
    let thread = std::thread::Builder::new().name("fake-smtp".to_owned()).spawn(serve);
    Running { end, thread: thread.expect("a thread can be started") }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    listener.set_nonblocking(true).expect("a listener can be non-blocking");
    let listener = TcpListener::from_std(listener).expect("a listener can be used by tokio");
    loop {
        // An error here is about that one connection, or about too many open files, which passes.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        tokio::spawn(session::serve(Arc::clone(&shared), stream));
    }
}
