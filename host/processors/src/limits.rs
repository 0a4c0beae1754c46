//! What the plugin of one processor may use up: the host's limits, and its own ones where it has any.
//!
//! A limit of its own never passes what the operator grants, also when the operator has lowered that
//! since.

use std::collections::BTreeMap;

use host_plugins::Limits;
use host_registry::{LIMIT_PREFIX, Processor, RegistryError};

use crate::spec::lends;
use crate::supervisor::{Options, Processors};
use crate::views::limits_for;

/// Limits that somebody set for one processor, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnLimits(BTreeMap<String, u64>);

impl OwnLimits {
    pub(crate) fn of_processor(processor: &Processor) -> Self {
        Self(processor.own_limits().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// What is in force.
    pub(crate) fn of(&self, options: &Options) -> Limits {
        let own = self.0.iter().map(|(name, value)| (name.as_str(), *value));
        options.limits.with(own, &options.most)
    }
}

impl Processors {
    /// The limits of a processor's plugin that are in force.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn limits_of(&self, processor: &Processor) -> Result<Limits, RegistryError> {
        let limits = OwnLimits::of_processor(processor).of(&self.0.options);
        Ok(match lends(processor, &self.0.registry).await? {
            Some(whose) => limits_for(whose, limits),
            None => limits,
        })
    }

    /// Whether the operator grants the limits among some options.
    ///
    /// # Errors
    /// Names the first that is too high, and the highest there may be.
    pub fn check_limits(&self, options: &BTreeMap<String, String>) -> Result<(), String> {
        let most = self.0.options.most.highest();
        for (key, value) in options {
            let Some(most) = key.strip_prefix(LIMIT_PREFIX).and_then(|name| most.get(name)) else {
                continue;
            };
            if value.parse::<u64>().is_ok_and(|value| value > *most) {
                return Err(format!("{key} is at most {most} on this host"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_registry::PROCESSOR_LIMITS;

    #[test]
    fn the_registry_knows_every_limit_and_no_other() {
        let known: Vec<String> = Limits::default().values().into_keys().collect();
        let mut named: Vec<&str> = PROCESSOR_LIMITS.iter().map(|(name, _)| *name).collect();
        named.sort_unstable();
        assert_eq!(named, known);
    }

    #[test]
    fn a_stored_limit_above_what_is_granted_now_is_lowered() {
        let options = Options {
            most: Limits { memory: 200 << 20, ..Limits::default() },
            ..Options::default()
        };
        let own = OwnLimits([("memory".to_owned(), 1 << 40), ("call_ms".to_owned(), 5)].into());
        let limits = Limits { memory: 200 << 20, call_ms: 5, ..Limits::default() };
        assert_eq!(own.of(&options), limits);
    }
}
