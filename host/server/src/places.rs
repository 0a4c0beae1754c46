//! How many connections the host has room for, whichever of its addresses they come to.

use std::net::IpAddr;
use std::sync::Arc;

use host_iam::{Stranger, Strangers};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of a host, shared by its listeners.
#[derive(Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    strangers: Arc<Strangers>,
    limit: usize,
}

/// One place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// For so many connections at once.
    #[must_use]
    pub fn new(connections: usize) -> Arc<Self> {
        let (all, strangers) = (Arc::new(Semaphore::new(connections)), Strangers::of(connections));
        Arc::new(Self { all, strangers, limit: connections })
    }

    /// A place for somebody who comes from an address, and his place among its strangers; none where either has
    /// run out.
    pub(crate) fn take(&self, from: IpAddr) -> Option<(Place, Stranger)> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some((Place { _permit: permit }, self.strangers.take(from)?))
    }

    /// How many there are.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_connection_ends_or_its_stranger_finds_none() {
        let (places, from) = (Places::new(17), IpAddr::from([192, 0, 2, 1]));
        let mut held: Vec<_> = (0..16).map(|_| places.take(from).unwrap()).collect();
        // The address has as many strangers as it may: no place is lost by asking.
        assert!(places.take(from).is_none() && places.take(from).is_none());
        held.push(places.take([192, 0, 2, 2].into()).unwrap());
        assert!(places.take([192, 0, 2, 3].into()).is_none());
        held.pop();
        assert!(places.take([192, 0, 2, 3].into()).is_some());
    }
}
