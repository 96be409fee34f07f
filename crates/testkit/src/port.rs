//! Ports that remain reserved for a test while its server is down.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// First port, below the ephemeral range of the system.
///
/// Another process could take an ephemeral port while its server is down. A client that retries
/// such a port can also connect to itself (TCP simultaneous open).
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// Returns a listener on a free port of 127.0.0.1. Each call returns another port.
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
    panic!("no free port on 127.0.0.1 from {FIRST} to {}", FIRST + COUNT - 1);
}

/// Returns a free port of 127.0.0.1 for another process.
pub(crate) fn free() -> u16 {
    listen().local_addr().expect("a listener has an address").port()
}
