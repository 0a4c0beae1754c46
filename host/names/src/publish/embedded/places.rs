//! Places for connections: so many all in all, and so many of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who holds how many.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them; free again when dropped.
pub(super) struct Held {
    places: Places,
    of: IpAddr,
}

impl Places {
    /// A place for an address; none where all are taken, or all of this address.
    pub(super) fn take(&self, from: IpAddr) -> Option<Held> {
        let of = somebody(from);
        let mut held = self.held();
        if held.values().sum::<usize>() >= MAX_CONNECTIONS {
            return None;
        }
        let own = held.entry(of).or_default();
        if *own >= MAX_OF_ONE {
            return None;
        }
        *own += 1;
        Some(Held { places: self.clone(), of })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // A count is changed in one step, so a panic leaves none half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.places.held();
        if let Some(own) = held.get_mut(&self.of) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                held.remove(&self.of);
            }
        }
    }
}

/// Whose address it is: of IPv6 everybody has a whole network of them.
fn somebody(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        v4 => v4,
    }
}

/// Most connections at once, and of each address one listens on: resolvers ask by UDP, and one of a hundred comes
/// again by TCP.
pub const MAX_CONNECTIONS: usize = 64;

/// Most connections of one address at once (of IPv6: of one network of 64 bits), so that nobody keeps all others out.
pub const MAX_OF_ONE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_more_than_his_own_and_all_together_not_more_than_there_are() {
        let places = Places::default();
        let take = |from: &str| places.take(from.parse().unwrap());
        let mut held: Vec<_> = (0..MAX_OF_ONE).map(|_| take("2001:db8::1").unwrap()).collect();
        assert!(take("2001:db8::2").is_none(), "it is the same network");
        for n in 1..MAX_CONNECTIONS / MAX_OF_ONE {
            held.extend((0..MAX_OF_ONE).map(|_| take(&format!("192.0.2.{n}")).unwrap()));
        }
        assert!(take("198.51.100.1").is_none());
        drop(held.pop());
        assert!(take("198.51.100.1").is_some());
        drop(held);
        assert!(places.held().is_empty());
    }
}
