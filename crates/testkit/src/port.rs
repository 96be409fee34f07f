//! Ports that stay ours while the server behind them is down.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range the system gives to outgoing connections. A port from that range could be taken by anybody while its
/// server is down; worse, a client that keeps connecting to it would one day be connected to itself.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// A listener on a free port of 127.0.0.1, another one each time.
pub(crate) fn listen() -> TcpListener {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(7919);
    for _ in 0..COUNT {
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(turn) % COUNT;
        let port = u16::try_from(port).expect("ports end below 65536");
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener;
        }
    }
    panic!("no free port on 127.0.0.1 from {FIRST} on");
}

/// A free port of 127.0.0.1 for somebody else to listen on.
pub(crate) fn free() -> u16 {
    listen().local_addr().expect("a listener has an address").port()
}
