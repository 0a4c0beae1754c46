//! Refuses what an instance would take beyond its limits of memory and tables.

use crate::limits::{Limits, MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES};

/// Counts the memory and tables of one instance, over all of its core modules, and refuses growth.
///
/// The limits of wasmtime's own limiter are for each memory alone; some guests have three.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: usize,
    max_memory: usize,
    elements: usize,
    max_elements: usize,
    refused: Option<&'static str>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        let most = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            memory: 0,
            max_memory: most(limits.memory),
            elements: 0,
            max_elements: most(limits.table_elements),
            refused: None,
        }
    }

    /// Bytes of all memories.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Takes the name of the limit that growth was refused for since it was asked last. A guest may
    /// live with a refusal; a trap after one is the limit's doing.
    pub(crate) fn take_refused(&mut self) -> Option<&'static str> {
        self.refused.take()
    }
}

impl wasmtime::ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        let within_own = maximum.is_none_or(|maximum| desired <= maximum);
        if total > self.max_memory {
            self.refused = Some("memory");
        } else if within_own {
            self.memory = total;
        }
        Ok(total <= self.max_memory && within_own)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.elements.saturating_add(desired.saturating_sub(current));
        let within_own = maximum.is_none_or(|maximum| desired <= maximum);
        if total > self.max_elements {
            self.refused = Some("table_elements");
        } else if within_own {
            self.elements = total;
        }
        Ok(total <= self.max_elements && within_own)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::ResourceLimiter;

    const PAGE: usize = 64 * 1024;

    fn limiter() -> Limiter {
        let memory = 4 * PAGE as u64;
        Limiter::new(&Limits { memory, table_elements: 10, ..Limits::default() })
    }

    #[test]
    fn memories_count_together_and_a_refusal_is_remembered_once() {
        let mut limiter = limiter();
        assert!(limiter.memory_growing(0, 3 * PAGE, None).unwrap());
        assert!(limiter.memory_growing(0, PAGE, None).unwrap());
        assert_eq!(limiter.take_refused(), None);
        assert!(!limiter.memory_growing(PAGE, 2 * PAGE, None).unwrap());
        assert_eq!(limiter.memory(), 4 * PAGE);
        assert_eq!(limiter.take_refused(), Some("memory"));
        assert_eq!(limiter.take_refused(), None);
    }

    #[test]
    fn growth_that_a_memory_forbids_itself_is_not_counted() {
        let mut limiter = limiter();
        assert!(!limiter.memory_growing(0, 2 * PAGE, Some(PAGE)).unwrap());
        assert_eq!((limiter.memory(), limiter.take_refused()), (0, None));
    }

    #[test]
    fn tables_count_together() {
        let mut limiter = limiter();
        assert!(limiter.table_growing(0, 10, None).unwrap());
        assert!(!limiter.table_growing(0, 1, None).unwrap());
        assert_eq!(limiter.take_refused(), Some("table_elements"));
    }
}
