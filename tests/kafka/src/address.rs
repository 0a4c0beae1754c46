//! A loopback address that nobody else uses, for as long as its owner lives.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bound for as long as the address is taken: two programs that hash to one address see each other.
const CLAIM: u16 = 9091;

/// An address of 127.0.0.0/8, held.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) ip: Ipv4Addr,
    _claim: TcpListener,
}

impl Address {
    /// Takes one.
    pub(crate) fn claim() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        for _ in 0..1000 {
            let mut hasher = DefaultHasher::new();
            (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)).hash(&mut hasher);
            let [a, b, c, ..] = hasher.finish().to_le_bytes();
            // Even in the second place: odd ones belong to the participants of the stories.
            let ip = Ipv4Addr::new(127, (a & 0xfe).max(2), b, c.clamp(1, 254));
            if let Ok(claim) = TcpListener::bind((ip, CLAIM)) {
                return Self { ip, _claim: claim };
            }
        }
        panic!("no loopback address is free");
    }
}
