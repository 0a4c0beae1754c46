//! A port of 127.0.0.1 that no other name server of a test has, for as long as its owner lives.
//!
//! BIND listens on addresses of the machine's interfaces alone, so that every test has to share one; and it
//! shares a port in silence with another BIND that has it, so that clashes have to be ruled out before.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

/// A port, held.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _claim: TcpListener,
}

impl Port {
    /// Takes one. Whoever holds the same number of another address claims it from other tests; that nothing else
    /// has it is seen by binding it once.
    pub(crate) fn claim() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        for _ in 0..1000 {
            let mut hasher = DefaultHasher::new();
            (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)).hash(&mut hasher);
            // Below the ports that the system gives away by itself.
            let number = 20_000 + (hasher.finish() % 12_000) as u16;
            let Ok(claim) = TcpListener::bind((CLAIMS, number)) else { continue };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, number));
            if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
                return Self { number, _claim: claim };
            }
        }
        panic!("no port of 127.0.0.1 is free");
    }
}

/// Where ports are claimed; nobody serves there.
const CLAIMS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
