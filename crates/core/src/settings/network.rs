//! IP networks in CIDR notation.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::InvalidInput;

/// An IP network, such as `10.0.0.0/8`. A single address is a network with a full-length prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u32,
}

impl Network {
    /// Whether an address is in the network. An IPv4-mapped IPv6 address counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (network, address) = (self.address, address.to_canonical());
        network.is_ipv4() == address.is_ipv4() && self.masked(network) == self.masked(address)
    }

    /// Returns the bits of the prefix.
    fn masked(&self, address: IpAddr) -> u128 {
        let (bits, size) = bits(address);
        bits.checked_shr(size - self.length).unwrap_or(0)
    }
}

/// Returns an address as a number, and its length in bits.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => (address.into(), 128),
    }
}

impl FromStr for Network {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let may_be = "an IP address such as 127.0.0.1, or a network such as 10.0.0.0/8 or fd00::/8";
        let refuse = || InvalidInput::new("network", format!("{text:?} is not valid; it may be {may_be}"));
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let (number, size) = bits(address);
        let length = length.map_or(Ok(size), str::parse).ok().filter(|length| *length <= size).ok_or_else(refuse)?;
        let network = Self { address, length };
        let host = number ^ network.masked(address).checked_shl(size - length).unwrap_or(0);
        if host == 0 {
            return Ok(network);
        }
        let problem = format!("{text:?} has bits beyond its prefix of {length}; it may be {may_be}");
        Err(InvalidInput::new("network", problem))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Parses networks separated by commas.
pub(super) fn networks(text: &str) -> Result<Vec<Network>, InvalidInput> {
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_the_right_addresses() {
        for (network, inside, outside) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("0.0.0.0/0", "192.0.2.1", "::1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("::1", "::1", "127.0.0.1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
        ] {
            let known: Network = network.parse().expect(network);
            assert!(known.contains(inside.parse().expect(inside)), "{network} {inside}");
            assert!(!known.contains(outside.parse().expect(outside)), "{network} {outside}");
        }
    }

    #[test]
    fn invalid_networks_are_refused() {
        for bad in ["", "proxy", "10.0.0.0/33", "10.0.0.1/8", "::1/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        assert_eq!(networks("127.0.0.1, ::1,").expect("a list").len(), 2);
    }
}
