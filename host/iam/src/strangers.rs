//! Places of those who have not authenticated yet, counted by where they come from.
//!
//! One machine, or one site with all its addresses, cannot take the places of all others by connecting and
//! saying nothing, or by guessing. Whoever has authenticated is no stranger any more, however many share an address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// One of so many parts of all connections may be strangers of one address: others get in while it
/// tries again and again.
const PART: usize = 4;

/// One of so many parts may be strangers of one site.
const PART_OF_SITE: usize = 2;

/// The last of so many parts is for sites that have a few strangers only, however many sites there are that
/// have more.
const LAST: usize = 4;

/// So many may be in any case: a client that opens some connections at once is no attack.
const FEW: usize = 16;

/// Where somebody comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// What one machine can choose its address from: of IPv6 it has a network of 64 bits.
    pub(crate) machine: IpAddr,
    /// What one customer of a provider has at most: of IPv6 48 bits (RFC 6177, section 2); of IPv4 the address.
    pub(crate) site: IpAddr,
}

impl Origin {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let first = |bits: u32| Ipv6Addr::from_bits(address.to_bits() >> bits << bits);
                Self { machine: first(64).into(), site: first(80).into() }
            }
            address => Self { machine: address, site: address },
        }
    }
}

/// Places for strangers.
#[derive(Debug)]
pub struct Strangers {
    counts: Mutex<Counts>,
    all: usize,
    part: usize,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    machines: HashMap<IpAddr, usize>,
    sites: HashMap<IpAddr, usize>,
}

/// One stranger; counted until it is dropped.
#[derive(Debug)]
pub struct Stranger {
    all: Arc<Strangers>,
    from: Origin,
}

impl Strangers {
    /// For so many connections.
    #[must_use]
    pub fn of(connections: usize) -> Arc<Self> {
        Self::with(connections, PART)
    }

    /// For so many, of which one address may have one of `part`.
    pub(crate) fn with(all: usize, part: usize) -> Arc<Self> {
        Arc::new(Self { counts: Mutex::default(), all, part })
    }

    /// Counts one more; none where there are too many from there.
    #[must_use]
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Stranger> {
        let from = Origin::of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (machine, site) = (counts.machine(from), counts.site(from));
        let crowded = counts.all >= self.all - self.all / LAST;
        let most = |part: usize| if crowded { FEW } else { (self.all / part).max(FEW) };
        if counts.all >= self.all || machine >= most(self.part) || site >= most(PART_OF_SITE) {
            return None;
        }
        counts.all += 1;
        counts.machines.insert(from.machine, machine + 1);
        counts.sites.insert(from.site, site + 1);
        Some(Stranger { all: Arc::clone(self), from })
    }
}

impl Counts {
    fn machine(&self, from: Origin) -> usize {
        self.machines.get(&from.machine).copied().unwrap_or_default()
    }

    fn site(&self, from: Origin) -> usize {
        self.sites.get(&from.site).copied().unwrap_or_default()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.all.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        one_less(&mut counts.machines, self.from.machine);
        one_less(&mut counts.sites, self.from.site);
    }
}

fn one_less(counts: &mut HashMap<IpAddr, usize>, from: IpAddr) {
    if let Some(count) = counts.get_mut(&from) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(all: &Arc<Strangers>, address: &str) -> Option<Stranger> {
        all.take(address.parse().unwrap())
    }

    /// As many as get in, one from each of those networks in turn.
    fn fill(all: &Arc<Strangers>, networks: &[&str]) -> Vec<Stranger> {
        let mut held = Vec::new();
        for number in 0.. {
            let before = held.len();
            held.extend(networks.iter().filter_map(|net| take(all, &format!("{net}::{number:x}"))));
            if held.len() == before {
                break;
            }
        }
        held
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
        let counts = all.counts.lock().unwrap();
        assert!(counts.all == 0 && counts.machines.is_empty() && counts.sites.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_small_host_lets_some_in() {
        let all = Strangers::of(32);
        let held: Vec<_> = (0..FEW).map(|n| take(&all, &format!("2001:db8::{n:x}"))).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(take(&all, "2001:db8::ffff").is_none());
        assert!(take(&all, "2001:db8:1::1").is_some());
        let one = Strangers::of(1);
        let _only = take(&one, "192.0.2.1").unwrap();
        assert!(take(&one, "192.0.2.2").is_none());
    }

    #[test]
    fn a_site_gets_half_with_however_many_networks() {
        let all = Strangers::of(1024);
        let held = fill(&all, &["2001:db8:7:1", "2001:db8:7:2", "2001:db8:7:3", "2001:db8:7:4"]);
        assert_eq!(held.len(), 512);
        assert!(take(&all, "2001:db8:7:5::1").is_none());
        assert!(take(&all, "2001:db8:8::1").is_some());
    }

    #[test]
    fn the_last_part_is_for_those_who_have_few() {
        let all = Strangers::of(1024);
        let sites = ["2001:db8:1", "2001:db8:2", "2001:db8:3", "2001:db8:4", "2001:db8:5"];
        let held = fill(&all, &sites);
        assert_eq!(held.len(), 768);
        let late: Vec<_> = (0..FEW).map(|_| take(&all, "192.0.2.1").unwrap()).collect();
        assert!(take(&all, "192.0.2.1").is_none());
        assert!(take(&all, "192.0.2.2").is_some());
        drop((held, late));
        assert!(take(&all, "2001:db8:1::1").is_some());
    }
}
