//! What should stand in DNS, computed once for all zones that ask at the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use host_names::publish::Zone;
use host_registry::Registry;
use tokio::sync::Mutex;

use super::wanted::{self, Presence, Units};

/// Units of each zone.
pub(super) type Zones = BTreeMap<Zone, Units>;

/// Computes it.
pub(super) struct Source {
    registry: Registry,
    presence: Presence,
    /// The last result, and of which state of the registry it is; nobody keeps it who does not work with it.
    last: Mutex<(u64, Weak<Zones>)>,
}

impl Source {
    pub(super) fn new(registry: &Registry, presence: &Presence) -> Arc<Self> {
        let (registry, presence) = (registry.clone(), presence.clone());
        Arc::new(Self { registry, presence, last: Mutex::default() })
    }

    /// What should be there now.
    pub(super) async fn zones(&self) -> Result<Arc<Zones>, String> {
        // Whoever comes meanwhile waits for the same.
        let mut last = self.last.lock().await;
        let state = *self.registry.subscribe().borrow();
        if let Some(zones) = last.1.upgrade().filter(|_| last.0 == state) {
            return Ok(zones);
        }
        let (registry, presence) = (self.registry.clone(), self.presence.clone());
        let all = move || wanted::wanted(&registry.findable(), &presence);
        // A hundred thousand flows take a moment.
        let all = tokio::task::spawn_blocking(all).await.map_err(|error| error.to_string())?;
        let zones = Arc::new(all);
        *last = (state, Arc::downgrade(&zones));
        Ok(zones)
    }
}
