//! Whether a later search leads to other places than an earlier one.

use super::{Found, Place};

impl Found {
    /// Whether somebody who could not be reached at these places can be tried at others: another host, port or address, or
    /// TLS where there was none. The order says nothing: it is drawn anew for each search.
    #[must_use]
    pub fn leads_elsewhere(&self, before: &Self) -> bool {
        self.security != before.security || places(self) != places(before)
    }
}

fn places(found: &Found) -> Vec<Place> {
    let sorted = |place: &Place| {
        let mut place = place.clone();
        place.addresses.sort_unstable();
        place
    };
    let mut places: Vec<Place> = found.agents.iter().map(sorted).collect();
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Security, Way};

    fn found(hosts: &[(&str, u16, &[u8])]) -> Found {
        let place = |(target, port, last): &(&str, u16, &[u8])| Place {
            target: target.parse().unwrap(),
            port: *port,
            addresses: last.iter().map(|last| [192, 0, 2, *last].into()).collect(),
            tls: false,
        };
        let agents = hosts.iter().map(place).collect();
        let (security, way, ttl) = (Security::Insecure, Way::Pointer, Duration::ZERO);
        Found { agents, id: None, queue: None, security, way, ttl }
    }

    #[test]
    fn only_another_place_is_elsewhere() {
        let before = found(&[("a.test", 1, &[1, 2]), ("b.test", 1, &[3])]);
        let same = found(&[("b.test", 1, &[3]), ("a.test", 1, &[2, 1])]);
        assert!(!same.leads_elsewhere(&before));
        for other in [
            found(&[("a.test", 1, &[1, 2])]),
            found(&[("a.test", 1, &[1, 2]), ("b.test", 2, &[3])]),
            found(&[("a.test", 1, &[1, 2]), ("b.test", 1, &[4])]),
            found(&[("a.test", 1, &[1, 2]), ("c.test", 1, &[3])]),
        ] {
            assert!(other.leads_elsewhere(&before), "{other:?}");
        }
        assert!(Found { security: Security::Secure, ..same }.leads_elsewhere(&before));
    }
}
