//! A zone that somebody lets us write to.

use std::fmt;

use fnap::name::Name;

use super::wire::impossible;
use super::{Change, Owner, PublishError};

/// The name of a zone: where the SOA record is.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Zone(Name);

impl Zone {
    /// The zone of this name.
    #[must_use]
    pub fn new(name: Name) -> Self {
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0
    }

    /// Whether records of this owner lie in it, as far as its name says; parts of it may have been delegated.
    #[must_use]
    pub fn contains(&self, owner: &Owner) -> bool {
        owner.is_in(&self.0)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.0.as_str())
    }
}

/// The zone among these that records of an owner belong to: the one with the longest name.
pub fn zone_of<'a>(owner: &Owner, zones: impl IntoIterator<Item = &'a Zone>) -> Option<&'a Zone> {
    let within = zones.into_iter().filter(|zone| zone.contains(owner));
    within.max_by_key(|zone| zone.name().as_str().len())
}

/// Whether a change is one of this zone, and of no wildcards: what we publish are names, and no answers for others.
pub(crate) fn check(zone: &Zone, change: &Change) -> Result<(), PublishError> {
    let doubtful = change.doubtful.iter().flat_map(|doubt| &doubt.remove);
    let sets = change.add.iter().chain(&change.remove).chain(doubtful).map(|set| &set.owner);
    for owner in sets.chain(change.fresh.iter().map(|(flow, _)| flow)) {
        if !zone.contains(owner) {
            return Err(impossible(format!("{owner} is not in zone {zone}")));
        }
        if owner.is_wildcard() {
            return Err(impossible(format!("{owner} is a wildcard")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_belong_to_the_zone_with_the_longest_name() {
        let zones: Vec<Zone> = ["unix.ar", "flows.unix.ar", "emiliano.ar"]
            .map(|name| Zone::new(name.parse().unwrap()))
            .into();
        let of = |owner: &str| zone_of(&owner.parse().unwrap(), &zones).map(ToString::to_string);
        assert_eq!(of("_flow._tcp.time.flows.unix.ar").as_deref(), Some("flows.unix.ar"));
        assert_eq!(of("flows.unix.ar").as_deref(), Some("flows.unix.ar"));
        assert_eq!(of("fnaa.unix.ar").as_deref(), Some("unix.ar"));
        assert_eq!(of("fnaa.example"), None);
    }
}
