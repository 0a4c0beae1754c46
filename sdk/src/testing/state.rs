//! State in a map of the thread, with the host's rules: only a running `process` or `tick` may write, writes
//! of a call that fails are discarded, and the granted size is a limit.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::state::{Entry, StateError};

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug)]
struct State {
    entries: Entries,
    /// What was there before the call that may write now.
    committed: Option<Entries>,
    limit: u64,
}

pub(crate) fn get(key: &[u8]) -> Option<Vec<u8>> {
    STATE.with_borrow(|state| state.entries.get(key).cloned())
}

pub(crate) fn set(key: &[u8], value: &[u8]) -> Result<(), StateError> {
    STATE.with_borrow_mut(|state| {
        allowed(state, key)?;
        let others = state.entries.iter().filter(|(existing, _)| existing.as_slice() != key);
        let used: usize = others.map(|(key, value)| key.len() + value.len()).sum();
        if (used + key.len() + value.len()) as u64 > state.limit {
            return Err(StateError::Full(state.limit));
        }
        state.entries.insert(key.to_vec(), value.to_vec());
        Ok(())
    })
}

pub(crate) fn delete(key: &[u8]) -> Result<(), StateError> {
    STATE.with_borrow_mut(|state| {
        allowed(state, key)?;
        state.entries.remove(key);
        Ok(())
    })
}

pub(crate) fn scan(prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Vec<Entry> {
    STATE.with_borrow(|state| {
        let from = after.unwrap_or(prefix).max(prefix);
        state
            .entries
            .range(from.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| key.as_slice() > after))
            .take(limit as usize)
            .map(|(key, value)| Entry { key: key.clone(), value: value.clone() })
            .collect()
    })
}

/// Forgets everything and sets the granted size.
pub(super) fn reset(limit: u64) {
    STATE.set(State { entries: Entries::new(), committed: None, limit });
}

/// A call that may write begins.
pub(super) fn begin() {
    STATE.with_borrow_mut(|state| state.committed = Some(state.entries.clone()));
}

/// It ended: its writes stay, or never happened.
pub(super) fn end(commit: bool) {
    STATE.with_borrow_mut(|state| {
        if let Some(before) = state.committed.take().filter(|_| !commit) {
            state.entries = before;
        }
    });
}

/// How many entries there are.
pub(super) fn len() -> usize {
    STATE.with_borrow(|state| state.entries.len())
}

fn allowed(state: &State, key: &[u8]) -> Result<(), StateError> {
    let denied = |reason: &str| Err(StateError::Denied(reason.to_owned()));
    if state.committed.is_none() {
        return denied("only process, tick and migrate may write");
    }
    match key.len() {
        0 => denied("the key is empty"),
        1..=KEY_MAX => Ok(()),
        _ => denied("the key is too long"),
    }
}

/// A key longer than this is refused. Room for a prefix and a hash or a name.
const KEY_MAX: usize = 1024;

/// What is granted when a test does not say: small enough to notice what grows for ever.
pub(super) const LIMIT: u64 = 1024 * 1024;

thread_local! {
    static STATE: RefCell<State> =
        const { RefCell::new(State { entries: Entries::new(), committed: None, limit: LIMIT }) };
}
