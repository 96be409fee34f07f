//! TCP proxy that delays, drops or resets connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// TCP proxy on a free port of 127.0.0.1. It runs on its own thread and stops when dropped.
///
/// A black-holed connection stays open and silent, as when a firewall has dropped its state.
/// [`pass`](Self::pass) does not revive it; only [`reset`](Self::reset) ends it.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    state: Arc<ProxyState>,
    /// Ends the thread when dropped.
    _end: oneshot::Sender<()>,
}

#[derive(Debug)]
struct ProxyState {
    upstream: Mutex<SocketAddr>,
    network: watch::Sender<NetworkState>,
    accepted: AtomicUsize,
    open: AtomicUsize,
}

/// Faults of the network. Connections are numbered from 1, and a limit covers all up to its number.
#[derive(Clone, Copy, Debug, Default)]
struct NetworkState {
    black_holed: usize,
    reset: usize,
    /// Delay towards the server.
    delay: Duration,
    /// Delay towards the client.
    response_delay: Duration,
}

impl Proxy {
    /// Starts a proxy for the server at `upstream`.
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = crate::port::listen();
        let addr = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(ProxyState {
            upstream: Mutex::new(upstream),
            network: watch::Sender::default(),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        });
        let (end, ended) = oneshot::channel();
        run(listener, Arc::clone(&state), ended);
        Self { addr, state, _end: end }
    }

    /// Returns the address of the proxy.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Removes all delays and lets connections pass, except those that are already black-holed.
    pub fn pass(&self) {
        self.change(|network, accepted| {
            *network = NetworkState {
                black_holed: network.black_holed.min(accepted),
                reset: network.reset,
                ..NetworkState::default()
            };
        });
    }

    /// Black-holes all existing connections. New ones pass.
    pub fn black_hole_existing(&self) {
        self.change(|network, accepted| network.black_holed = accepted);
    }

    /// Black-holes existing and new connections until [`pass`](Self::pass). New ones are accepted.
    pub fn black_hole_all(&self) {
        self.change(|network, _| network.black_holed = usize::MAX);
    }

    /// Resets all existing connections (RST), including black-holed ones.
    pub fn reset(&self) {
        self.change(|network, accepted| network.reset = accepted);
    }

    /// Delays all bytes in both directions.
    pub fn delay(&self, delay: Duration) {
        self.change(|network, _| *network = NetworkState { delay, response_delay: delay, ..*network });
    }

    /// Delays bytes from the server to the client only.
    pub fn delay_answers(&self, delay: Duration) {
        self.change(|network, _| network.response_delay = delay);
    }

    /// Forwards new connections to another server.
    pub fn lead_to(&self, upstream: SocketAddr) {
        *self.state.upstream() = upstream;
    }

    /// Returns the number of connections opened so far.
    pub fn connections(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Returns the number of open connections, including black-holed ones.
    pub fn open_connections(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    fn change(&self, change: impl FnOnce(&mut NetworkState, usize)) {
        self.state.network.send_modify(|network| change(network, self.connections()));
    }
}

impl ProxyState {
    fn upstream(&self) -> MutexGuard<'_, SocketAddr> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves on a separate thread and runtime, so that a blocked test does not stop the proxy.
fn run(listener: std::net::TcpListener, state: Arc<ProxyState>, ended: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let serve = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = ended => {}
                () = accept(listener, state) => {}
            }
        });
    };
    std::thread::Builder::new().name("proxy".to_owned()).spawn(serve).expect("a thread can be started");
}

async fn accept(listener: std::net::TcpListener, state: Arc<ProxyState>) {
    listener.set_nonblocking(true).expect("a listener can be non-blocking");
    let listener = TcpListener::from_std(listener).expect("a listener can be used by tokio");
    loop {
        // An error concerns only this connection.
        let Ok((client, _)) = listener.accept().await else { continue };
        let number = state.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            state.open.fetch_add(1, Ordering::SeqCst);
            serve(&state, number, client).await;
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Serves one connection until it is closed or reset.
async fn serve(state: &ProxyState, number: usize, mut client: TcpStream) {
    let mut network = state.network.subscribe();
    let upstream = *state.upstream();
    // Without an upstream server, the client gets a reset.
    let Ok(mut server) = TcpStream::connect(upstream).await else { return reset_on_drop(&client) };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let watch = || state.network.subscribe();
    let is_broken = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = carry(from_client, to_server, Direction { number, delay: |network| network.delay, network: watch() });
        let down = carry(
            from_server,
            to_client,
            Direction { number, delay: |network| network.response_delay, network: watch() },
        );
        tokio::select! {
            _ = network.wait_for(|network| number <= network.reset) => true,
            _ = async { tokio::join!(up, down) } => false,
        }
    };
    if is_broken {
        reset_on_drop(&client);
        reset_on_drop(&server);
    }
}

/// Makes dropping the stream send RST.
fn reset_on_drop(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Parameters of one direction of a connection.
#[derive(Clone)]
struct Direction {
    number: usize,
    delay: fn(&NetworkState) -> Duration,
    network: watch::Receiver<NetworkState>,
}

impl Direction {
    fn is_black_holed(&self) -> bool {
        self.number <= self.network.borrow().black_holed
    }

    fn delay(&self) -> Duration {
        (self.delay)(&self.network.borrow())
    }
}

/// Forwards one direction through a queue of chunks, each with its time of delivery.
async fn carry(from: ReadHalf<'_>, to: WriteHalf<'_>, direction: Direction) {
    let (line, due) = mpsc::channel(64);
    tokio::join!(receive(from, line, direction.clone()), forward(due, to, direction));
}

async fn receive(mut from: ReadHalf<'_>, line: mpsc::Sender<(Instant, Vec<u8>)>, direction: Direction) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return };
        if direction.is_black_holed() {
            return std::future::pending().await;
        }
        let due = Instant::now() + direction.delay();
        if line.send((due, bytes[..count].to_vec())).await.is_err() {
            return;
        }
    }
}

async fn forward(mut due: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: WriteHalf<'_>, direction: Direction) {
    while let Some((at, bytes)) = due.recv().await {
        tokio::time::sleep_until(at).await;
        if direction.is_black_holed() {
            return std::future::pending().await;
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
