//! Connections of nobody that the host knows, counted by where they come from.
//!
//! One machine cannot take the places of all others by connecting and saying nothing, or coming in without
//! a name. A user who has authenticated is no stranger any more, however many share an address; a domain is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// One of so many parts of all connections may be strangers of one address: others get in while it
/// tries again and again.
const PART: usize = 4;

/// So many may be in any case: a client that opens some connections at once is no attack.
const FEW: usize = 16;

/// The strangers of one listener.
#[derive(Debug)]
pub(crate) struct Strangers {
    counts: Mutex<HashMap<IpAddr, usize>>,
    limit: usize,
}

/// One stranger; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Stranger {
    all: Arc<Strangers>,
    from: IpAddr,
}

impl Strangers {
    /// Of a listener with so many connections at most.
    pub(crate) fn of(connections: usize) -> Arc<Self> {
        let limit = (connections / PART).max(FEW);
        Arc::new(Self { counts: Mutex::default(), limit })
    }

    /// Counts one more; none where its address has too many.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Stranger> {
        let from = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(from).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Stranger { all: Arc::clone(self), from })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.all.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.from);
            }
        }
    }
}

/// What one machine can choose its address from: of IPv6 it has a network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(all: &Arc<Strangers>, address: &str) -> Option<Stranger> {
        all.take(address.parse().unwrap())
    }

    #[test]
    fn one_address_gets_a_part_and_another_is_not_kept_out() {
        let all = Strangers::of(400);
        let mut held: Vec<_> = (0..100).map(|_| take(&all, "192.0.2.1").unwrap()).collect();
        assert!(take(&all, "192.0.2.1").is_none());
        assert!(take(&all, "::ffff:192.0.2.1").is_none());
        assert!(take(&all, "192.0.2.2").is_some());
        held.pop();
        assert!(take(&all, "192.0.2.1").is_some());
        drop(held);
        assert!(all.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_small_host_lets_some_in() {
        let all = Strangers::of(1);
        let held: Vec<_> = (0..FEW).map(|n| take(&all, &format!("2001:db8::{n:x}"))).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(take(&all, "2001:db8::ffff").is_none());
        assert!(take(&all, "2001:db8:0:1::1").is_some());
    }
}
