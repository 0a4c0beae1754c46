//! Which addresses a client may connect to whose cluster is somebody else's: he chooses them, by the servers that he
//! names, by what their names lead to, and by what his nodes advertise.
//!
//! Public ones, unless the operator says more. Never asks DNS: what is asked about is an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The lowest port of somebody else's node where the operator says nothing: below are services of systems, that take what
/// a Kafka client says for something else.
pub const LOWEST_PORT: u16 = 1024;

/// Where a client may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reachable {
    /// Beside public addresses.
    pub networks: Vec<Network>,
    /// These ports alone; those from [`LOWEST_PORT`] on where there are none.
    pub ports: Vec<u16>,
    /// Never, whatever else is said: what is ours.
    pub never: Vec<SocketAddr>,
    /// This machine alone, as far as it is allowed at all: what is said there is not encrypted.
    pub near_only: bool,
}

impl Reachable {
    /// Whether a client may connect to an address.
    #[must_use]
    pub fn allows(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let ours =
            |other: &SocketAddr| other.ip().to_canonical() == ip && other.port() == address.port();
        let port = match &*self.ports {
            [] => address.port() >= LOWEST_PORT,
            ports => ports.contains(&address.port()),
        };
        port && !self.never.iter().any(ours)
            && (!self.near_only || ip.is_loopback())
            && (is_public(ip) || self.networks.iter().any(|network| network.has(ip)))
    }
}

/// Addresses that begin alike: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn has(&self, ip: IpAddr) -> bool {
        let (own, ip, width) = match (self.address, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                (u128::from(own.to_bits()), u128::from(ip.to_bits()), u32::BITS)
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => (own.to_bits(), ip.to_bits(), u128::BITS),
            _ => return false,
        };
        // A shift by all bits there are leaves nothing to compare.
        (own ^ ip).checked_shr(width - self.bits).unwrap_or(0) == 0
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "a network is an address and how many bits of it count, as in 10.20.0.0/16";
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| FORM)?;
        let most = if address.is_ipv4() { u32::BITS } else { u128::BITS };
        let bits = bits.map_or(Ok(most), str::parse::<u32>).map_err(|_| FORM)?;
        if bits > most { Err(FORM) } else { Ok(Self { address, bits }) }
    }
}

/// Whether an address is anybody's in the whole network, by the registries of IANA for special purposes.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !SPECIAL_V4.iter().any(|(from, bits)| {
            let network = Network { address: IpAddr::V4(*from), bits: *bits };
            network.has(IpAddr::V4(ip))
        }),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

const SPECIAL_V4: [(Ipv4Addr, u32); 14] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, and what is kept for the future.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// Of 2000::/3, but for protocols, documents and tunnels: those carry addresses of version 4 in them.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x2002, ..] => false,
        [0x3fff, second, ..] => second >= 0x1000,
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_public_addresses_are_allowed_where_nobody_says_more() {
        let reachable = Reachable::default();
        for public in
            ["8.8.8.8:9092", "172.32.0.1:9092", "[2a00:1450::1]:9092", "[2001:4860::1]:9092"]
        {
            assert!(reachable.allows(at(public)), "{public}");
        }
        for special in [
            "127.0.0.1:9092",
            "10.1.2.3:9092",
            "172.31.0.1:9092",
            "192.168.0.1:9092",
            "169.254.169.254:9092",
            "100.100.100.100:9092",
            "0.0.0.0:9092",
            "255.255.255.255:9092",
            "224.0.0.1:9092",
            "[::]:9092",
            "[::1]:9092",
            "[::ffff:10.0.0.1]:9092",
            "[::ffff:127.0.0.1]:9092",
            "[64:ff9b::7f00:1]:9092",
            "[2002:7f00:1::]:9092",
            "[2001::1]:9092",
            "[fe80::1]:9092",
            "[fd00::1]:9092",
            "[ff02::1]:9092",
        ] {
            assert!(!reachable.allows(at(special)), "{special}");
        }
    }

    #[test]
    fn networks_are_allowed_beside_and_ports_of_systems_are_not() {
        let networks = ["10.20.0.0/16", "127.0.0.1", "fd00::/8"].map(|text| text.parse().unwrap());
        let reachable = Reachable { networks: networks.to_vec(), ..Reachable::default() };
        for inside in ["10.20.255.1:9092", "127.0.0.1:1024", "[fd12::1]:9092", "8.8.8.8:9092"] {
            assert!(reachable.allows(at(inside)), "{inside}");
        }
        for outside in ["10.21.0.1:9092", "127.0.0.2:9092", "8.8.8.8:25", "127.0.0.1:1023"] {
            assert!(!reachable.allows(at(outside)), "{outside}");
        }
        let ports = Reachable { ports: vec![443], ..reachable.clone() };
        assert!(ports.allows(at("10.20.0.1:443")) && !ports.allows(at("10.20.0.1:9092")));
        let near = Reachable { near_only: true, ..reachable.clone() };
        assert!(near.allows(at("127.0.0.1:9092")) && !near.allows(at("8.8.8.8:9092")));
        let never = vec![at("8.8.8.8:9092")];
        let without = Reachable { never, ..reachable };
        assert!(!without.allows(at("[::ffff:8.8.8.8]:9092")) && without.allows(at("8.8.8.8:9093")));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10/8", "a/8", "10.0.0.0/-1", "/8"]
        {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.has("1.2.3.4".parse().unwrap()) && !all.has("::1".parse().unwrap()));
    }
}
