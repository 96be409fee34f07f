//! Headers of reverse proxies, accepted only from trusted ones.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use postroom_core::settings::Network;

const FORWARDED: &str = "forwarded";
const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
/// Headers that only proxies add, besides those that begin with `x-forwarded`.
const OTHERS: [&str; 6] = ["via", FORWARDED, "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"];

/// Client of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientInfo {
    /// Address used for limits.
    pub(crate) address: IpAddr,
    /// Whether the connection from the browser to the first proxy uses TLS.
    pub(crate) is_https: bool,
}

/// Returns the client, from the peer's address and the headers of trusted proxies. The last address
/// of the chain that is not a trusted proxy counts. Earlier ones may be forged.
pub(super) fn client(trusted: &[Network], peer: IpAddr, headers: &HeaderMap) -> ClientInfo {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return ClientInfo { address: peer, is_https: false };
    }
    let mut address = peer;
    for hop in hops(headers).iter().rev() {
        let Some(hop) = host(hop) else { break };
        address = hop;
        if !is_trusted(hop) {
            break;
        }
    }
    ClientInfo { address, is_https: scheme(headers).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) }
}

/// Returns a header that shows that the request came through a proxy, if there is one.
pub(crate) fn proxy_header(headers: &HeaderMap) -> Option<&HeaderName> {
    headers.keys().find(|name| name.as_str().starts_with("x-forwarded") || OTHERS.contains(&name.as_str()))
}

/// Returns the addresses of the chain, the client's first.
fn hops(headers: &HeaderMap) -> Vec<&str> {
    let chain = list(headers, FORWARDED_FOR);
    if headers.contains_key(FORWARDED_FOR) {
        return chain;
    }
    list(headers, FORWARDED).into_iter().map(|element| parameter(element, "for").unwrap_or_default()).collect()
}

fn scheme(headers: &HeaderMap) -> Option<&str> {
    if headers.contains_key(FORWARDED_PROTO) {
        return list(headers, FORWARDED_PROTO).pop();
    }
    parameter(list(headers, FORWARDED).pop()?, "proto")
}

/// Returns the elements of a header that may have several lines.
fn list<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let lines = headers.get_all(name).into_iter().map(|line| line.to_str().unwrap_or_default());
    lines.flat_map(|line| line.split(',')).map(str::trim).collect()
}

/// Returns a parameter of an element of `Forwarded` (RFC 7239).
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"'))
}

/// Parses an address with an optional port.
fn host(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_of(lines: &[(&'static str, &str)]) -> ClientInfo {
        let trusted = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect(text));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), value.parse().expect("a value"));
        }
        client(&trusted, "::ffff:127.0.0.1".parse().expect("an address"), &headers)
    }

    #[test]
    fn the_last_untrusted_hop_is_the_client() {
        for (lines, address) in [
            (vec![], "127.0.0.1"),
            (vec![("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
            (vec![("x-forwarded-for", "198.51.100.9, 192.0.2.1, 10.1.1.1")], "192.0.2.1"),
            (vec![("x-forwarded-for", "198.51.100.9"), ("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
            (vec![("x-forwarded-for", "198.51.100.9, garbage, 10.1.1.1")], "10.1.1.1"),
            (vec![("x-forwarded-for", "[2001:db8::1]:80, fd00::1")], "2001:db8::1"),
            (vec![("x-forwarded-for", "192.0.2.1:4711")], "192.0.2.1"),
            (vec![("x-forwarded-for", "10.0.0.2, 10.0.0.1")], "10.0.0.2"),
            (vec![("forwarded", "for=198.51.100.9, for=\"[2001:db8::1]:1\";proto=https")], "2001:db8::1"),
            (vec![("forwarded", "for=192.0.2.1, for=unknown")], "127.0.0.1"),
            (vec![("forwarded", "for=192.0.2.9"), ("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
        ] {
            assert_eq!(client_of(&lines).address, address.parse::<IpAddr>().expect(address), "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "192.0.2.1".parse().expect("a value"));
        let peer = [203, 0, 113, 1].into();
        assert_eq!(client(&[], peer, &headers), ClientInfo { address: peer, is_https: false });
    }

    #[test]
    fn the_nearest_proxy_determines_https() {
        for (lines, is_https) in [
            (vec![("x-forwarded-proto", "https")], true),
            (vec![("x-forwarded-proto", "https, http")], false),
            (vec![("forwarded", "for=192.0.2.1;Proto=HTTPS")], true),
            (vec![("forwarded", "proto=https"), ("x-forwarded-proto", "http")], false),
            (vec![], false),
        ] {
            assert_eq!(client_of(&lines).is_https, is_https, "{lines:?}");
        }
    }
}
