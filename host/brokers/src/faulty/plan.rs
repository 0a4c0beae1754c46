//! What goes wrong, and when: by a script, and at random from a seed.
//!
//! A random draw depends on the seed, on what is asked, and on how often that was asked before; not on
//! which task came first. So a seed gives each shard and each partition the same faults again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// [`crate::Transaction::commit`]
    Commit,
    /// [`crate::Transaction::send`]
    Send,
    /// [`crate::Broker::append`]
    Append,
    /// [`crate::Source::next`]
    Next,
    /// [`crate::Broker::source`]
    Source,
    /// [`crate::Broker::open`]
    Open,
    /// [`crate::Broker::describe`]
    Describe,
    /// [`crate::Broker::offset_at`]
    OffsetAt,
    /// Creating, changing, deleting and purging topics.
    Topic,
    /// [`crate::Broker::reposition`] and [`crate::Broker::forget`]
    Shard,
}

/// How it goes wrong. A commit ends as the words in parentheses say; anything else ends with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Not done (Aborted).
    Unavailable,
    /// Not done, because there is no room (Aborted).
    Full,
    /// Somebody really opens the shard before it is done (Fenced).
    Fenced,
    /// Done, but the answer is lost (Unknown).
    LostMade,
    /// Not done, and the answer is lost (Unknown).
    LostNotMade,
    /// Done when the test releases it.
    Slow,
    /// Done at once; the answer comes when the test releases it. A read is as [`Self::Slow`].
    SlowAnswer,
    /// The task that asked ends, without a word.
    Ends,
    /// A read that is cut: what it read is gone, and this source reads no more (Unknown).
    Torn,
}

/// How often something goes wrong, in thousandths.
pub type Rate = (Op, Fault, u32);

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// What was asked.
    pub op: Op,
    /// Of which topic, or which output of a shard.
    pub name: String,
    /// The partition or shard.
    pub number: u32,
    /// How it went wrong.
    pub fault: Fault,
}

/// What was asked and what went wrong so far.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Everything that went wrong, in order.
    pub faults: Vec<Happened>,
    /// How often each was asked.
    pub asked: BTreeMap<Op, u64>,
    /// How many wait to be released.
    pub held: usize,
}

impl Record {
    /// How often something went wrong so.
    #[must_use]
    pub fn count(&self, op: Op, fault: Fault) -> usize {
        self.faults.iter().filter(|happened| (happened.op, happened.fault) == (op, fault)).count()
    }
}

#[derive(Default)]
struct State {
    script: BTreeMap<Op, VecDeque<Option<Fault>>>,
    seed: u64,
    rates: Vec<Rate>,
    drawn: HashMap<(Op, String, u32), u64>,
    record: Record,
    held: Vec<oneshot::Sender<()>>,
    /// Nothing is held any more, not even what was about to be.
    calm: bool,
}

/// The plan, shared by a broker and what it opened.
#[derive(Default)]
pub(super) struct Plan {
    /// Records of one commit; 0 for any number.
    pub(super) most: AtomicUsize,
    /// Told when the broker is there again.
    pub(super) returned: Notify,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Plan {
    pub(super) fn script(&self, op: Op, faults: impl IntoIterator<Item = Option<Fault>>) {
        let mut state = self.state();
        state.script.entry(op).or_default().extend(faults);
        state.calm = false;
    }

    pub(super) fn at_random(&self, seed: u64, rates: &[Rate]) {
        let mut state = self.state();
        (state.seed, state.rates, state.calm) = (seed, rates.to_vec(), false);
        state.drawn.clear();
    }

    pub(super) fn calm(&self) {
        let mut state = self.state();
        state.script.clear();
        state.rates.clear();
        state.calm = true;
        drop(state);
        self.release();
    }

    pub(super) fn release(&self) {
        self.state().held.clear();
        self.changed.send_replace(());
    }

    pub(super) fn record(&self) -> Record {
        let mut state = self.state();
        state.held.retain(|held| !held.is_closed());
        Record { held: state.held.len(), ..state.record.clone() }
    }

    pub(super) async fn until(&self, so: impl Fn(&Record) -> bool) {
        let mut changed = self.changed.subscribe();
        while !so(&self.record()) {
            // The sender is this plan's own.
            drop(changed.changed().await);
        }
    }

    /// Whether this goes wrong, and how.
    pub(super) fn draw(&self, op: Op, name: &str, number: u32) -> Option<Fault> {
        let mut state = self.state();
        *state.record.asked.entry(op).or_default() += 1;
        let scripted = state.script.get_mut(&op).and_then(VecDeque::pop_front);
        let fault = scripted.unwrap_or_else(|| state.random(op, name, number));
        if let Some(fault) = fault {
            state.record.faults.push(Happened { op, name: name.to_owned(), number, fault });
        }
        drop(state);
        self.changed.send_replace(());
        fault
    }

    /// Waits to be released.
    pub(super) async fn hold(&self) {
        let Some(released) = self.queue_up() else { return };
        self.changed.send_replace(());
        // Its sender going away is the release.
        drop(released.await);
    }

    fn queue_up(&self) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state();
        let (held, released) = oneshot::channel();
        if state.calm {
            return None;
        }
        state.held.push(held);
        Some(released)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn random(&mut self, op: Op, name: &str, number: u32) -> Option<Fault> {
        if self.rates.is_empty() {
            return None;
        }
        let drawn = self.drawn.entry((op, name.to_owned(), number)).or_default();
        *drawn += 1;
        let name = name.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
        let parts = [op as u64, name, u64::from(number), *drawn];
        let drawn = parts.into_iter().fold(self.seed, |hash, part| mix(hash ^ part)) % 1000;
        let mut below = 0;
        let hit = |(_, _, rate): &&Rate| {
            below += u64::from(*rate);
            drawn < below
        };
        self.rates.iter().filter(|(of, ..)| *of == op).find(hit).map(|(_, fault, _)| *fault)
    }
}

/// The finalizer of SplitMix64: spreads any change over all bits.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(seed: u64, number: u32) -> Vec<Option<Fault>> {
        let plan = Plan::default();
        let rates = [(Op::Commit, Fault::Full, 100), (Op::Commit, Fault::LostMade, 100)];
        plan.at_random(seed, &rates);
        (0..1000).map(|_| plan.draw(Op::Commit, "a", number)).collect()
    }

    #[test]
    fn a_seed_gives_the_same_faults_again_and_about_as_many_as_asked() {
        let first = draws(7, 0);
        assert_eq!(first, draws(7, 0));
        assert!(first != draws(8, 0) && first != draws(7, 1));
        for fault in [Fault::Full, Fault::LostMade] {
            let count = first.iter().filter(|drawn| **drawn == Some(fault)).count();
            assert!((50..200).contains(&count), "{count} {fault:?}");
        }
    }

    #[test]
    fn a_script_comes_before_chance_and_only_for_what_it_names() {
        let plan = Plan::default();
        plan.script(Op::Open, [None, Some(Fault::Full)]);
        let drawn: Vec<_> = (0..3).map(|_| plan.draw(Op::Open, "", 0)).collect();
        assert_eq!(drawn, [None, Some(Fault::Full), None]);
        assert_eq!(plan.draw(Op::Commit, "", 0), None);
        let record = plan.record();
        assert_eq!((record.count(Op::Open, Fault::Full), record.asked[&Op::Open]), (1, 3));
    }
}
