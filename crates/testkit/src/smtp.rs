//! Fake SMTP server that records what it receives and injects faults.
//!
//! ```no_run
//! # async fn test() {
//! use postroom_testkit::{Action, FakeSmtp, Fault, FaultPhase};
//! use std::time::Duration;
//!
//! let server = FakeSmtp::builder().start().await;
//! let refusal = Action::reply(550, "5.1.1 no such user");
//! server.fault(Fault::at(FaultPhase::Rcpt, refusal).recipient("bad@example.org"));
//! server.fault(Fault::at(FaultPhase::Dot, Action::reply(451, "4.3.0 try again")).times(2));
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
mod state;
pub(crate) mod tls;
mod wire;

pub use builder::{CertificateKind, FakeSmtpBuilder, TlsMode};
pub use fault::{Action, Fault, FaultPhase, FaultTarget};
pub use ledger::Received;

use builder::ServerOptions;
use state::SmtpState;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// SMTP server on a free port of 127.0.0.1. It runs on its own thread and stops when dropped.
#[derive(Debug)]
pub struct FakeSmtp {
    addr: SocketAddr,
    shared: Arc<SmtpState>,
    running: Mutex<Option<RunningSmtp>>,
}

#[derive(Debug)]
struct RunningSmtp {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl FakeSmtp {
    /// Returns a builder of a server.
    pub fn builder() -> FakeSmtpBuilder {
        FakeSmtpBuilder::default()
    }

    /// Starts a server that offers every extension except STARTTLS and AUTH, and accepts
    /// everything.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Address on which the server listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Host to connect to, for which the certificate is valid.
    pub fn host(&self) -> String {
        self.addr.ip().to_string()
    }

    /// Port on which the server listens.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// PEM of the certificate authority that signed the certificate of this server only.
    pub fn ca_pem(&self) -> &str {
        &self.shared.identity.ca_pem
    }

    /// Adds a fault. Of several matching faults, the one added first applies.
    pub fn fault(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Mails that were accepted, or stored without an acceptance, in the order of their arrival.
    pub fn received(&self) -> Vec<Received> {
        self.shared.ledger.received()
    }

    /// Number of received mails.
    pub fn received_count(&self) -> usize {
        self.shared.ledger.received_count()
    }

    /// Waits until `count` mails were received in total, and returns all of them. Panics with a
    /// summary after the time limit.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Vec<Received> {
        let mut received = self.shared.ledger.watch();
        let is_complete = tokio::time::timeout(limit, received.wait_for(|received| *received >= count)).await.is_ok();
        assert!(is_complete, "waited {limit:?} for {count} mails; {}", self.shared.ledger.summary());
        self.received()
    }

    /// Protocol violations of clients, each with its connection.
    pub fn violations(&self) -> Vec<String> {
        self.shared.ledger.violations()
    }

    /// Number of connections since the start.
    pub fn connections(&self) -> usize {
        self.shared.ledger.connections()
    }

    /// Maximum number of concurrent connections so far.
    pub fn peak_connections(&self) -> usize {
        self.shared.ledger.peak_connections()
    }

    /// Number of mails with an envelope that arrived together with the previous message (RFC 2920
    /// §3.1).
    pub fn ahead(&self) -> usize {
        self.shared.ledger.ahead()
    }

    /// Lines that a client sent on a connection, outside message content. Connections are counted
    /// from 1.
    pub fn commands(&self, connection: usize) -> Vec<String> {
        self.shared.ledger.commands(connection)
    }

    /// Closes all connections and refuses new ones, as if the server were down. Received mails
    /// stay.
    pub fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(RunningSmtp { end, thread }) = running {
            drop(end);
            thread.join().expect("the server's thread ends without a panic");
        }
    }

    /// Listens again at the same address after [`stop`](Self::stop).
    pub fn start_again(&self) {
        let listener = std::net::TcpListener::bind(self.addr).expect("the port is still free");
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(running.is_none(), "the server is stopped");
        *running = Some(run(listener, Arc::clone(&self.shared)));
    }

    fn launch(options: ServerOptions) -> Self {
        let listener = crate::port::listen();
        let addr = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(SmtpState::new(options));
        let running = Mutex::new(Some(run(listener, Arc::clone(&shared))));
        Self { addr, shared, running }
    }
}

impl FakeSmtpBuilder {
    /// Starts the server.
    pub async fn start(self) -> FakeSmtp {
        FakeSmtp::launch(self.into_options())
    }
}

impl Drop for FakeSmtp {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs the server on its own thread and runtime, so that a blocking test does not stop it.
fn run(listener: std::net::TcpListener, shared: Arc<SmtpState>) -> RunningSmtp {
    let (end, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be created");
    let serve = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = ended => {}
                () = accept(listener, shared) => {}
            }
        });
    };
    let thread = std::thread::Builder::new().name("fake-smtp".to_owned()).spawn(serve);
    RunningSmtp { end, thread: thread.expect("a thread can be started") }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<SmtpState>) {
    let addr = listener.local_addr().expect("a listener has an address");
    let most = shared.options.max_listening;
    let mut listener = listening(listener);
    loop {
        // An error here concerns one connection, or is a temporary lack of file descriptors.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let (number, open) = shared.ledger.open();
        tokio::spawn(session::serve(Arc::clone(&shared), stream, number, open));
        if open >= most {
            drop(listener);
            shared.ledger.below(most).await;
            listener = listening(std::net::TcpListener::bind(addr).expect("the port is still free"));
        }
    }
}

fn listening(listener: std::net::TcpListener) -> TcpListener {
    listener.set_nonblocking(true).expect("a listener can be non-blocking");
    TcpListener::from_std(listener).expect("a listener can be used by tokio")
}
