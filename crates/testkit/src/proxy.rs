//! A network between a program and a server, which can be bad.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// A TCP proxy on a free port of 127.0.0.1, on a thread of its own, until it is dropped.
///
/// A black-holed connection stays open and silent for ever, whatever comes later, as when a firewall has forgotten it;
/// only [`reset`](Self::reset) ends it.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped, it ends the thread.
    _end: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: Mutex<SocketAddr>,
    weather: watch::Sender<Weather>,
    accepted: AtomicUsize,
    open: AtomicUsize,
}

/// Connections are counted from 1; what is said of them is said of all up to a number.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    holed: usize,
    reset: usize,
    /// Towards the server.
    delay: Duration,
    /// Towards the client.
    answers_delay: Duration,
}

impl Proxy {
    /// Starts one in front of the server at `upstream`.
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = crate::port::listen();
        let addr = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            weather: watch::Sender::default(),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        });
        let (end, ended) = oneshot::channel();
        run(listener, Arc::clone(&shared), ended);
        Self { addr, shared, _end: end }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Lets new connections pass, and those that no trouble has met, without delay.
    pub fn pass(&self) {
        self.change(|weather, accepted| {
            *weather = Weather { holed: weather.holed.min(accepted), reset: weather.reset, ..Weather::default() };
        });
    }

    /// Nothing passes on the connections that there are; new ones are not touched.
    pub fn black_hole_existing(&self) {
        self.change(|weather, accepted| weather.holed = accepted);
    }

    /// Nothing passes any more; new connections are accepted and met by silence, until [`pass`](Self::pass).
    pub fn black_hole_all(&self) {
        self.change(|weather, _| weather.holed = usize::MAX);
    }

    /// Breaks all connections there are (RST), black-holed ones too.
    pub fn reset(&self) {
        self.change(|weather, accepted| weather.reset = accepted);
    }

    /// Each byte arrives that much later, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.change(|weather, _| *weather = Weather { delay, answers_delay: delay, ..*weather });
    }

    /// What the server says arrives that much later; what it is told does not.
    pub fn delay_answers(&self, delay: Duration) {
        self.change(|weather, _| weather.answers_delay = delay);
    }

    /// New connections lead to this server.
    pub fn lead_to(&self, upstream: SocketAddr) {
        *self.shared.upstream() = upstream;
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many of them are open, silent ones included.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    fn change(&self, change: impl FnOnce(&mut Weather, usize)) {
        self.shared.weather.send_modify(|weather| change(weather, self.connections()));
    }
}

impl Shared {
    fn upstream(&self) -> MutexGuard<'_, SocketAddr> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread and a runtime of its own: a test that blocks must not stop the network.
fn run(listener: std::net::TcpListener, shared: Arc<Shared>, ended: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let serve = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = ended => {}
                () = accept(listener, shared) => {}
            }
        });
    };
    std::thread::Builder::new().name("proxy".to_owned()).spawn(serve).expect("a thread can be started");
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    listener.set_nonblocking(true).expect("a listener can be non-blocking");
    let listener = TcpListener::from_std(listener).expect("a listener can be used by tokio");
    loop {
        // An error here is about that one connection.
        let Ok((client, _)) = listener.accept().await else { continue };
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            shared.open.fetch_add(1, Ordering::SeqCst);
            serve(&shared, number, client).await;
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// One connection, until it is closed or reset.
async fn serve(shared: &Shared, number: usize, mut client: TcpStream) {
    let mut weather = shared.weather.subscribe();
    let upstream = *shared.upstream();
    // Nobody is behind: the client is turned away.
    let Ok(mut server) = TcpStream::connect(upstream).await else { return break_off(&client) };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let watch = || shared.weather.subscribe();
    let is_broken = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = carry(from_client, to_server, Lane { number, delay: |weather| weather.delay, weather: watch() });
        let down =
            carry(from_server, to_client, Lane { number, delay: |weather| weather.answers_delay, weather: watch() });
        tokio::select! {
            _ = weather.wait_for(|weather| number <= weather.reset) => true,
            _ = async { tokio::join!(up, down) } => false,
        }
    };
    if is_broken {
        break_off(&client);
        break_off(&server);
    }
}

/// Once dropped it ends by RST.
fn break_off(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// One direction of a connection.
#[derive(Clone)]
struct Lane {
    number: usize,
    delay: fn(&Weather) -> Duration,
    weather: watch::Receiver<Weather>,
}

impl Lane {
    fn is_holed(&self) -> bool {
        self.number <= self.weather.borrow().holed
    }

    fn delay(&self) -> Duration {
        (self.delay)(&self.weather.borrow())
    }
}

/// What is read is put into a line with the time when it is due at the other side.
async fn carry(from: ReadHalf<'_>, to: WriteHalf<'_>, lane: Lane) {
    let (line, due) = mpsc::channel(64);
    tokio::join!(take(from, line, lane.clone()), hand_on(due, to, lane));
}

async fn take(mut from: ReadHalf<'_>, line: mpsc::Sender<(Instant, Vec<u8>)>, lane: Lane) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return };
        if lane.is_holed() {
            return std::future::pending().await;
        }
        let due = Instant::now() + lane.delay();
        if line.send((due, bytes[..count].to_vec())).await.is_err() {
            return;
        }
    }
}

async fn hand_on(mut due: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: WriteHalf<'_>, lane: Lane) {
    while let Some((at, bytes)) = due.recv().await {
        tokio::time::sleep_until(at).await;
        if lane.is_holed() {
            return std::future::pending().await;
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
