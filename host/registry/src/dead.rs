//! Dead letters of a processor: which are dealt with, and which go through it again.
//!
//! The letters themselves lie in a flow. Here is only what became of them, so that nobody who looks at
//! the flow a second time sees them as open.

use std::collections::BTreeSet;

use host_events::Incarnation;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Name;
use crate::error::RegistryError;
use crate::journal::{Intent, JournalId};
use crate::letters::Letters;
use crate::model::{Config, Flow, NewProcessor, Processor};
use crate::registry::Registry;
use crate::state::{Decision, Row, State};

/// What became of a processor's dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct DeadLetters {
    /// The life of the dead-letter flow that this is about.
    pub flow: Option<Incarnation>,
    /// Gone through the processor again, or discarded.
    pub handled: Letters,
    /// How often a replay was asked for: the number of the latest.
    pub replays: u64,
    /// The replay under way.
    pub replay: Option<Replay>,
}

/// Dead letters that go through the processor again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Replay {
    /// Tells this one from those before it; at most [`MOST_REPLAYS`].
    pub number: u64,
    /// The life of the dead-letter flow that the letters lie in.
    pub flow: Incarnation,
    /// Which.
    pub letters: Letters,
    /// Shards that are through with theirs.
    pub done: BTreeSet<u32>,
}

impl DeadLetters {
    /// The ones that are dealt with, if they are about this life of the flow.
    #[must_use]
    pub fn handled_of(&self, flow: Incarnation) -> Letters {
        if self.flow == Some(flow) { self.handled.clone() } else { Letters::default() }
    }

    /// Makes the letters handled ones of this life of the flow.
    pub(crate) fn handle(&mut self, flow: Incarnation, letters: &Letters) {
        self.handled = self.handled_of(flow);
        self.flow = Some(flow);
        self.handled.extend(letters);
    }

    /// Takes letters out of the replay under way; says whether it had any of them.
    fn call_off(&mut self, flow: Incarnation, letters: &Letters) -> bool {
        let Some(replay) = self.replay.as_mut().filter(|replay| replay.flow == flow) else {
            return false;
        };
        let left = replay.letters.without(letters);
        let had = left != replay.letters;
        replay.letters = left;
        if replay.letters.is_empty() {
            self.replay = None;
        }
        had
    }

    fn check_room(&self) -> Result<(), RegistryError> {
        let replayed = self.replay.as_ref().map_or(0, |replay| replay.letters.ranges());
        if self.handled.ranges() + replayed > MAX_RANGES {
            let words = "too many single dead letters: replay or discard those between them";
            return Err(RegistryError::conflict(words));
        }
        Ok(())
    }
}

impl State {
    /// The flow of a processor's dead letters: `<processor>.dead` within its namespace, so that
    /// `copy.flows.unix.ar` has `copy.dead.flows.unix.ar`.
    pub(crate) fn dead_flow_of(&self, processor: &Name) -> Result<Name, RegistryError> {
        let none = || RegistryError::NoNamespace { name: processor.to_string() };
        let namespace = &self.namespace_of(processor).ok_or_else(none)?.name;
        let own = processor.as_str().strip_suffix(namespace.as_str()).ok_or_else(none)?;
        let dead = format!("{own}dead.{namespace}");
        dead.parse().map_err(|error| {
            RegistryError::invalid(format!("no name for the dead letters of {processor}: {error}"))
        })
    }

    /// Refuses a processor whose dead letters would have no flow, because something else has its name.
    pub(crate) fn check_dead_flow_of(&self, new: &NewProcessor) -> Result<(), RegistryError> {
        let dead = self.dead_flow_of(&new.name)?;
        // Whether a flow can be used is for whoever knows rights.
        let is_other = self.processors.contains_key(&dead)
            || self.mirrors.contains_key(&dead)
            || self.namespaces.contains_key(&dead);
        if is_other && writes_letters(&new.options) {
            return Err(RegistryError::conflict(dead_flow_taken(&dead)));
        }
        Ok(())
    }

    fn replay(
        &self,
        name: &Name,
        flow: Incarnation,
        letters: &Letters,
        gone: &Letters,
    ) -> Result<Decision, RegistryError> {
        let before = self.find_processor(name)?.clone();
        self.check_settled(name)?;
        if before.dead.replays >= MOST_REPLAYS {
            return Err(RegistryError::TooMany { what: "replays", limit: MOST_REPLAYS as usize });
        }
        if before.dead.replay.is_some() {
            return Err(RegistryError::conflict(format!("a replay of {name} is under way")));
        }
        let letters = open(letters, &before, flow)?;
        let mut after = Processor { revision: before.revision + 1, ..before.clone() };
        after.dead.handle(flow, gone);
        after.dead.replays += 1;
        let number = after.dead.replays;
        after.dead.replay = Some(Replay { number, flow, letters, done: BTreeSet::new() });
        after.dead.check_room()?;
        let before = Box::new(before);
        let intent = Intent::UpdateProcessor { before, after: after.clone() };
        Ok(Decision::change(vec![Row::PutProcessor(after)], intent))
    }

    /// Letters that are being replayed are called off: one that never ends must not hold up the rest.
    fn discard(
        &self,
        name: &Name,
        flow: Incarnation,
        letters: &Letters,
        gone: &Letters,
    ) -> Result<Decision, RegistryError> {
        let before = self.find_processor(name)?.clone();
        self.check_settled(name)?;
        let letters = open(letters, &before, flow)?;
        let mut after = Processor { revision: before.revision + 1, ..before.clone() };
        after.dead.handle(flow, &letters);
        after.dead.handle(flow, gone);
        after.dead.check_room()?;
        let rows = |after: &Processor| vec![Row::PutProcessor(after.clone())];
        if !after.dead.call_off(flow, &letters) {
            return Ok(Decision::settled(rows(&after), name, "discarding of dead letters"));
        }
        let before = Box::new(before);
        Ok(Decision::change(rows(&after), Intent::UpdateProcessor { before, after }))
    }

    /// A shard is through; with the last one the letters are handled.
    fn replayed(&self, id: Uuid, number: u64, shard: u32, shards: u32) -> Option<Decision> {
        let mut processor = self.processors.values().find(|row| row.id == id)?.clone();
        let mut replay = processor.dead.replay.take().filter(|replay| replay.number == number)?;
        replay.done.insert(shard);
        if (0..shards).all(|shard| replay.done.contains(&shard)) {
            // Letters of a former life of the flow are gone, whatever has their places now.
            if processor.dead.flow == Some(replay.flow) {
                processor.dead.handled.extend(&replay.letters);
            }
        } else {
            processor.dead.replay = Some(replay);
        }
        processor.revision += 1;
        let name = processor.name.clone();
        Some(Decision::settled(vec![Row::PutProcessor(processor)], &name, "replay"))
    }
}

/// Words for a processor whose dead letters cannot go where they would. The same whatever is there.
#[must_use]
pub fn dead_flow_taken(dead: &Name) -> String {
    format!(
        "{dead}, where its dead letters would go, is somebody else's: have that deleted, or make the processor under another name (AS)"
    )
}

/// Whether a processor with such options ever writes dead letters.
fn writes_letters(options: &Config) -> bool {
    options.get(POLICY).is_none_or(|policy| policy != "off")
}

/// Option of a processor: what becomes of events that cannot get through.
const POLICY: &str = "dead-letters";

/// Those that are not dealt with yet.
fn open(
    letters: &Letters,
    processor: &Processor,
    flow: Incarnation,
) -> Result<Letters, RegistryError> {
    let open = letters.without(&processor.dead.handled_of(flow));
    if open.is_empty() {
        let words = format!("no such dead letters of {} are open", processor.name);
        return Err(RegistryError::conflict(words));
    }
    Ok(open)
}

impl Registry {
    /// The flow that the dead letters of a processor go to; it need not exist yet.
    ///
    /// # Errors
    /// `NoNamespace`, `Invalid` when the name would be too long.
    pub fn dead_flow_of(&self, processor: &Name) -> Result<Name, RegistryError> {
        self.look(|state| state.dead_flow_of(processor))
    }

    /// The flow that has the name of the one that the dead letters of a processor go to, whosever it is; none
    /// where there is none, or the processor writes no dead letters.
    #[must_use]
    pub fn dead_letters_of(&self, processor: &Processor) -> Option<Flow> {
        if !writes_letters(&processor.options) {
            return None;
        }
        self.look(|state| state.flows.get(&state.dead_flow_of(&processor.name).ok()?).cloned())
    }

    /// Lets dead letters go through the processor again. The entry has ended when its shards know. What
    /// is `gone` from the flow counts as dealt with.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when none of them is open or a replay is under way.
    pub async fn replay(
        &self,
        processor: &Name,
        flow: Incarnation,
        letters: Letters,
        gone: Letters,
    ) -> Result<JournalId, RegistryError> {
        let name = processor.clone();
        self.command(move |state| state.replay(&name, flow, &letters, &gone)).await
    }

    /// Counts dead letters as dealt with, also those that are being replayed. They stay in their flow
    /// until its retention takes them.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when none of them is open.
    pub async fn discard(
        &self,
        processor: &Name,
        flow: Incarnation,
        letters: Letters,
        gone: Letters,
    ) -> Result<JournalId, RegistryError> {
        let name = processor.clone();
        self.command(move |state| state.discard(&name, flow, &letters, &gone)).await
    }

    /// Notes that a shard is through with its letters of a replay. Saying it again, or of a replay that
    /// is over, changes nothing.
    ///
    /// # Errors
    /// When it could not be written: say it again.
    pub async fn replayed(
        &self,
        processor: Uuid,
        number: u64,
        shard: u32,
        shards: u32,
    ) -> Result<(), RegistryError> {
        if self.look(|state| state.replayed(processor, number, shard, shards).is_none()) {
            return Ok(());
        }
        let decided = self.command(move |state| {
            let decision = state.replayed(processor, number, shard, shards);
            decision.ok_or_else(|| RegistryError::conflict("the replay is over"))
        });
        match decided.await {
            Ok(_) | Err(RegistryError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Ranges of dead letters that a processor's row holds: with every one apart they stay below a fifth of
/// what a row may be.
const MAX_RANGES: usize = 4_000;

/// Replays of one processor: its number and an offset have to fit one position.
pub const MOST_REPLAYS: u64 = (1 << 23) - 1;
