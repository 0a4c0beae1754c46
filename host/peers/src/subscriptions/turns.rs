//! One at a time for each name, in the order of their coming; nothing is kept of names that nobody is busy with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError};

use fnap::name::Name;
use tokio::sync::{Mutex, OwnedMutexGuard};

#[derive(Default)]
pub(super) struct Turns(Lock<HashMap<Name, Arc<Mutex<()>>>>);

/// One has his turn, or waits for it, until this is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    name: Name,
    lock: Option<Arc<Mutex<()>>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    fn all(&self) -> MutexGuard<'_, HashMap<Name, Arc<Mutex<()>>>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for one's turn.
    pub(super) async fn take(&self, name: &Name) -> Turn<'_> {
        let lock = Arc::clone(self.all().entry(name.clone()).or_default());
        let (turns, name) = (self, name.clone());
        let mut turn = Turn { turns, name, lock: Some(Arc::clone(&lock)), held: None };
        turn.held = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut all = self.turns.all();
        (self.held, self.lock) = (None, None);
        // Whoever has it or waits for it holds it, too.
        if all.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_waits_keeps_the_turn_of_a_name_when_another_one_is_done() {
        let (turns, name) = (Turns::default(), "a.test".parse::<Name>().unwrap());
        let first = turns.take(&name).await;
        let mut second = Box::pin(turns.take(&name));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(turns.take(&name).now_or_never().is_none(), "the second one has it");
        let second = second.now_or_never().unwrap();
        assert!(turns.take(&name).now_or_never().is_none());
        drop(second);
        assert!(turns.all().is_empty());
        // He who waited and went away leaves nothing behind either.
        drop(turns.take(&name).await);
        assert!(turns.all().is_empty());
    }
}
