//! TCP connections by Happy Eyeballs (RFC 8305): the addresses of a host race, with a delay between
//! their starts, and the first connection wins.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::error::ErrorKind;

/// Time before the next address is tried beside one that does not answer (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Maximum number of addresses of a host that are tried.
const MAX_ADDRESSES: usize = 16;

/// Time for which the address family of the last connection to a host comes first.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// Maximum number of hosts whose family is remembered.
const MAX_REMEMBERED: usize = 64;

/// Maximum number of unsent bytes that the kernel buffers before a write blocks.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MAX_UNSENT: u32 = 64 * 1024;

/// Address family of the last connection to each host.
static FAMILIES: LazyLock<Families> = LazyLock::new(Families::default);

/// Opens a TCP connection. Other protocols use this too.
///
/// An address that does not answer is not waited for: 250 ms later the next one is tried beside it,
/// IPv6 and IPv4 in turn. The family that worked last comes first.
///
/// # Errors
/// Returns the error of the last address, or of the name lookup.
pub async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, ErrorKind> {
    let end = Instant::now() + limit;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> =
        timeout(limit, lookup_host((host, port))).await.map_err(|_| ErrorKind::Timeout(limit))??.collect();
    let left = end.saturating_duration_since(Instant::now());
    let tcp = connect_to_any(&FAMILIES, host, addresses, left).await.map_err(|error| match error {
        ErrorKind::Timeout(_) => ErrorKind::Timeout(limit),
        other => other,
    })?;
    tcp.set_nodelay(true)?;
    limit_unsent(&tcp);
    Ok(tcp)
}

/// Connects to the first of these addresses that answers, and remembers its family.
async fn connect_to_any(
    families: &Families,
    host: &str,
    addresses: Vec<SocketAddr>,
    limit: Duration,
) -> Result<TcpStream, ErrorKind> {
    let mut order = interleaved(addresses, families.of(host));
    order.truncate(MAX_ADDRESSES);
    let (tcp, address) = match order[..] {
        // No race, and no task for it.
        [only] => (timeout(limit, TcpStream::connect(only)).await.map_err(|_| ErrorKind::Timeout(limit))??, only),
        _ => timeout(limit, race(&order)).await.map_err(|_| ErrorKind::Timeout(limit))??,
    };
    if order.iter().any(|other| other.is_ipv6() != address.is_ipv6()) {
        families.remember(host, address.is_ipv6());
    }
    Ok(tcp)
}

/// Starts one attempt after the other. The end of the race drops all attempts that have not won.
async fn race(order: &[SocketAddr]) -> io::Result<(TcpStream, SocketAddr)> {
    let mut attempts = JoinSet::new();
    let mut untried = order.iter().copied();
    let mut last_error = io::Error::other("the host has no address");
    loop {
        let next = untried.next();
        if let Some(address) = next {
            attempts.spawn(async move { TcpStream::connect(address).await.map(|tcp| (tcp, address)) });
        }
        let ended = tokio::select! {
            ended = attempts.join_next() => ended,
            () = sleep(ATTEMPT_DELAY), if next.is_some() => continue,
        };
        match ended {
            None => return Err(last_error),
            Some(Ok(Ok(won))) => return Ok(won),
            Some(Ok(Err(error))) => last_error = error,
            Some(Err(error)) => last_error = error.into(),
        }
    }
}

/// Addresses with the families in turn, each family in the order of the resolver. The first is of
/// the preferred family, or else the resolver's first.
fn interleaved(addresses: Vec<SocketAddr>, prefers_ipv6: Option<bool>) -> Vec<SocketAddr> {
    let is_ipv6_first = prefers_ipv6.or_else(|| addresses.first().map(SocketAddr::is_ipv6));
    let number = addresses.len();
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| Some(address.is_ipv6()) == is_ipv6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::with_capacity(number);
    while order.len() < number {
        order.extend(first.next());
        order.extend(second.next());
    }
    order
}

/// Families of the last connections, by host.
#[derive(Debug, Default)]
struct Families(Mutex<HashMap<String, (bool, Instant)>>);

impl Families {
    /// Whether IPv6 worked last; `None` if nothing is remembered.
    fn of(&self, host: &str) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(host).filter(|(_, at)| at.elapsed() < REMEMBERED_FOR).map(|(is_ipv6, _)| *is_ipv6)
    }

    fn remember(&self, host: &str, is_ipv6: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED && !known.contains_key(host) {
            known.clear();
        }
        known.insert(host.to_owned(), (is_ipv6, Instant::now()));
    }
}

/// Limits the unsent bytes in the kernel to about one block. Otherwise megabytes of a message count
/// as written, and the hook runs, long before the server has them. A failure is ignored, because
/// nothing else depends on the limit.
fn limit_unsent(tcp: &TcpStream) {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _ = socket2::SockRef::from(tcp).set_tcp_notsent_lowat(MAX_UNSENT);
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = tcp;
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use socket2::{Domain, Socket, Type};

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn the_families_take_turns() {
        for (found, prefers_ipv6, expected) in [
            (&[][..], None, &[][..]),
            (&["1.0.0.1:1"], Some(true), &["1.0.0.1:1"]),
            (&["[::1]:1", "[::2]:1", "1.0.0.1:1"], None, &["[::1]:1", "1.0.0.1:1", "[::2]:1"]),
            (&["[::1]:1", "[::2]:1", "1.0.0.1:1"], Some(false), &["1.0.0.1:1", "[::1]:1", "[::2]:1"]),
            (
                &["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1", "[::1]:1"],
                None,
                &["1.0.0.1:1", "[::1]:1", "1.0.0.2:1", "1.0.0.3:1"],
            ),
        ] {
            assert_eq!(interleaved(addresses(found), prefers_ipv6), addresses(expected), "{found:?} {prefers_ipv6:?}");
        }
    }

    /// Address that does not answer, because the queue of its listener is full.
    struct Blackhole {
        address: SocketAddr,
        _listener: Socket,
        _waiting: Vec<Socket>,
    }

    fn blackhole(address: &str) -> Blackhole {
        let wanted: SocketAddr = address.parse().expect("an address");
        let domain = if wanted.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
        let listener = Socket::new(domain, Type::STREAM, None).expect("a socket");
        listener.bind(&wanted.into()).expect("a port");
        listener.listen(0).expect("a listener");
        let address = listener.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let waiting = (0..8).map(|_| {
            let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("non-blocking");
            // In progress: nobody accepts it.
            let _ = socket.connect(&address.into());
            socket
        });
        Blackhole { address, _waiting: waiting.collect(), _listener: listener }
    }

    const LIMIT: Duration = Duration::from_secs(20);

    /// The connection wins although the addresses before it do not answer, and its family comes
    /// first from then on.
    #[tokio::test]
    async fn an_address_that_does_not_answer_is_not_waited_for() {
        let dead = [blackhole("127.0.0.1:0"), blackhole("127.0.0.2:0")];
        let listener = TcpListener::bind("[::1]:0").expect("a port");
        let alive = listener.local_addr().expect("an address");
        let families = Families::default();
        let found = vec![dead[0].address, dead[1].address, alive];
        let tcp = connect_to_any(&families, "mail.example", found.clone(), LIMIT).await.expect("connected");
        assert_eq!(tcp.peer_addr().expect("a peer"), alive);
        assert_eq!(families.of("mail.example"), Some(true));
        assert_eq!(families.of("other.example"), None);
        assert_eq!(interleaved(found, families.of("mail.example"))[0], alive);
    }

    #[tokio::test]
    async fn a_refused_address_is_followed_by_the_next() {
        let refused = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address")
        };
        let listener = TcpListener::bind("127.0.0.3:0").expect("a port");
        let alive = listener.local_addr().expect("an address");
        let families = Families::default();
        let tcp = connect_to_any(&families, "h", vec![refused, refused, alive], LIMIT).await.expect("connected");
        assert_eq!(tcp.peer_addr().expect("a peer"), alive);
        assert_eq!(families.of("h"), None, "only one family");
        let error = connect_to_any(&families, "h", vec![refused, refused], LIMIT).await.expect_err("refused");
        assert!(matches!(error, ErrorKind::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused));
        connect_to_any(&families, "h", Vec::new(), LIMIT).await.expect_err("no address");
    }

    #[tokio::test]
    async fn the_limit_covers_all_addresses() {
        let dead = [blackhole("127.0.0.1:0"), blackhole("[::1]:0")];
        let limit = Duration::from_millis(400);
        for found in [vec![dead[0].address], vec![dead[0].address, dead[1].address]] {
            let error = connect_to_any(&Families::default(), "h", found, limit).await.expect_err("no answer");
            assert!(matches!(error, ErrorKind::Timeout(_)), "{error}");
        }
    }

    #[test]
    fn few_hosts_are_remembered() {
        let families = Families::default();
        for number in 0..1_000 {
            families.remember(&number.to_string(), true);
        }
        let known = families.0.lock().expect("a map").len();
        assert!((1..=MAX_REMEMBERED).contains(&known), "{known}");
        assert_eq!(families.of("999"), Some(true));
    }
}
