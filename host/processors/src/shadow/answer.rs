//! What an answer does to each event, in a form in which two answers can be compared.
//!
//! Forwarding each event and forwarding all of them is the same; so is an event that was rewritten to what it
//! had been, and one that was dropped by name or by silence.

use std::collections::BTreeMap;

use bytes::Bytes;
use host_events::{Batch, Record};
use host_plugins::Action;

/// Something that happens to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Forward {
        output: u32,
    },
    Change {
        output: u32,
        record: Record,
    },
    Letter {
        reason: String,
    },
    /// The plugin failed on it alone; which words it failed with does not matter.
    Failed(Failed),
}

/// Words of a failure. Two failures are the same: the event becomes a dead letter either way.
#[derive(Clone, Debug)]
pub(super) struct Failed(pub(super) String);

impl PartialEq for Failed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Failed {}

/// An event that a plugin made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct New {
    pub(super) output: u32,
    pub(super) key: Option<Bytes>,
    pub(super) record: Record,
}

/// What came where in an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Event(usize),
    New(usize),
}

/// What an answer does.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// To each event of the batch; nothing where it is dropped.
    pub(super) by_event: Vec<Vec<Effect>>,
    /// New events, in order.
    pub(super) new: Vec<New>,
    order: BTreeMap<u32, Vec<Item>>,
    /// Words of a failure that is no event's.
    pub(super) failed: Option<Failed>,
}

impl Effects {
    /// Nothing yet, for a batch of so many events.
    pub(super) fn of(events: usize) -> Self {
        Self { by_event: vec![Vec::new(); events], ..Self::default() }
    }

    /// Adds an answer about a piece of the batch that begins at `first`.
    pub(super) fn add(&mut self, first: usize, piece: &Batch, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Forward { index, output } => {
                    self.event(first + index as usize, output, Effect::Forward { output });
                }
                Action::ForwardAll { output } => {
                    for index in 0..piece.records.len() {
                        self.event(first + index, output, Effect::Forward { output });
                    }
                }
                Action::Rewrite { index, output, record, .. } => {
                    let before = piece.records.get(index as usize).map(|stored| &stored.record);
                    let effect = match before == Some(&record) {
                        true => Effect::Forward { output },
                        false => Effect::Change { output, record },
                    };
                    self.event(first + index as usize, output, effect);
                }
                Action::Emit { output, key, record } => self.emitted(New { output, key, record }),
                Action::Drop { .. } => {}
                Action::DeadLetter { index, reason } => {
                    self.only(first + index as usize, Effect::Letter { reason });
                }
            }
        }
    }

    /// Adds what was decided without any event.
    pub(super) fn decided(&mut self, actions: Vec<Action>) {
        for action in actions {
            if let Action::Emit { output, key, record } = action {
                self.emitted(New { output, key, record });
            }
        }
    }

    /// It failed, and no event is to blame.
    pub(super) fn failed_alone(&mut self, words: String) {
        self.failed = Some(Failed(words));
    }

    fn emitted(&mut self, new: New) {
        self.order.entry(new.output).or_default().push(Item::New(self.new.len()));
        self.new.push(new);
    }

    /// An event on which a plugin failed alone.
    pub(super) fn failed(&mut self, index: usize, words: String) {
        self.only(index, Effect::Failed(Failed(words)));
    }

    /// Whether what goes to each output comes in the same order.
    pub(super) fn same_order(&self, other: &Self) -> bool {
        self.order == other.order
    }

    fn event(&mut self, index: usize, output: u32, effect: Effect) {
        self.order.entry(output).or_default().push(Item::Event(index));
        self.only(index, effect);
    }

    fn only(&mut self, index: usize, effect: Effect) {
        if let Some(effects) = self.by_event.get_mut(index) {
            effects.push(effect);
        }
    }
}
