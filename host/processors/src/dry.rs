//! One shard of a processor without flows: batches go in, and what a host would make of them comes out.
//!
//! For tools of authors. The rules are those of a shard that runs (`worker`, `isolate`, `ticks`): what fails is cut, each
//! piece starts in a fresh instance from the last state that counts, an event that fails alone is given up, and a plugin that
//! fails on event after event is held. Knows no clock: whoever feeds it says what time it is. Writes nothing anywhere: what
//! is decided counts as committed.

mod letter;

use std::sync::Arc;

use host_events::{Batch, Stored};
use host_plugins::{Action, CallError, Instance, Plugin, Setup};

use crate::dead::Given;
use crate::inputs::Next;
use crate::isolate::MOST_IN_A_ROW;
use crate::pieces;
use crate::size::Size;
pub use letter::Letter;

/// One shard.
pub struct Dry {
    plugin: Plugin,
    setup: Setup,
    inputs: Vec<Arc<str>>,
    /// None while the next one is made.
    instance: Option<Instance>,
    size: Size,
    row: u32,
    /// When the plugin was called by the clock last.
    ticked: Option<i64>,
}

/// What became of some events, in their order.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The plugin decided about a batch, or about a piece of one.
    Decided {
        /// The input.
        input: u32,
        /// The events.
        batch: Batch,
        /// What it decided.
        actions: Vec<Action>,
    },
    /// One event would be a dead letter.
    GivenUp {
        /// The input.
        input: u32,
        /// The event.
        stored: Stored,
        /// Why, in one word.
        kind: &'static str,
        /// Why, with the last words of the plugin.
        reason: String,
    },
    /// The plugin acted by the clock.
    Ticked {
        /// When, milliseconds since 1970.
        now: i64,
        /// What it decided.
        actions: Vec<Action>,
    },
}

/// Why a shard does not go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DryError {
    /// The plugin stops, or asks for the same batch again and again.
    #[error("{0}")]
    Plugin(#[from] CallError),
    /// It fails on event after event: a host holds it, with its position kept.
    #[error(
        "a host holds the plugin here: {row} events in a row failed, and the next one, too: {cause}"
    )]
    Held {
        /// How many became dead letters.
        row: u32,
        /// Why the next one failed.
        cause: CallError,
    },
    /// It fails by the clock: a host tries again and again, and holds it in the end.
    #[error("tick at {now}: {cause}")]
    Tick {
        /// When, milliseconds since 1970.
        now: i64,
        /// Why.
        cause: CallError,
    },
}

impl Dry {
    /// Makes the first instance.
    ///
    /// # Errors
    /// What `init` says.
    pub async fn start(plugin: Plugin, setup: Setup) -> Result<Self, CallError> {
        let instance = Some(plugin.instantiate(setup.clone()).await?);
        let inputs = setup.inputs.iter().map(|name| name.as_str().into()).collect();
        let size = Size::fixed(&setup.limits);
        Ok(Self { plugin, setup, inputs, instance, size, row: 0, ticked: None })
    }

    /// Takes one batch through the plugin, in pieces where a host would cut it.
    ///
    /// # Errors
    /// Why a host would not go on behind what was decided so far, which is in `outcomes`.
    pub async fn feed(
        &mut self,
        input: u32,
        batch: Batch,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), DryError> {
        for piece in pieces::chop(&Next { input, batch }, self.size.most()) {
            match self.decide(&piece, outcomes).await {
                Ok(()) => self.size.went_well(),
                Err(cause) if pieces::kind(&cause).is_some() => {
                    self.isolate(piece, cause, outcomes).await?;
                }
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }

    /// When a tick is due, milliseconds since 1970: at any time before the first. None where the plugin wants none.
    #[must_use]
    pub fn due(&self) -> Option<i64> {
        let interval = self.instance.as_ref()?.interval()?;
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        Some(self.ticked.map_or(i64::MIN, |last| last.saturating_add(interval)))
    }

    /// Says what time it is. The plugin acts where a tick is due; however many were missed, it is one.
    ///
    /// # Errors
    /// Why a host would not go on.
    pub async fn clock(&mut self, now: i64, outcomes: &mut Vec<Outcome>) -> Result<(), DryError> {
        if self.due().is_none_or(|due| now < due) {
            return Ok(());
        }
        let mut tries = 0;
        let actions = loop {
            match self.tick(now).await {
                Ok(actions) => break actions,
                Err(CallError::Retry(_)) if tries < TRIES => {
                    tries += 1;
                    self.renew().await?;
                }
                Err(cause) => return Err(DryError::Tick { now, cause }),
            }
        };
        self.ticked = Some(now);
        outcomes.push(Outcome::Ticked { now, actions });
        Ok(())
    }

    /// Tells the plugin that the host ends.
    ///
    /// # Errors
    /// What `pause` says.
    pub async fn pause(&mut self) -> Result<(), CallError> {
        self.instance.as_mut().ok_or(CallError::Dead)?.pause().await
    }

    async fn isolate(
        &mut self,
        whole: Next,
        cause: CallError,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), DryError> {
        let (events, mut given_up) = (whole.batch.records.len(), false);
        let mut pieces = pieces::split(&whole, &cause, self.is_held());
        pieces.reverse();
        while let Some(piece) = pieces.pop() {
            self.renew().await?;
            match self.decide(&piece, outcomes).await {
                Ok(()) => {}
                Err(cause) if pieces::kind(&cause).is_none() => return Err(cause.into()),
                Err(cause) if piece.batch.records.len() > 1 => {
                    pieces.extend(pieces::split(&piece, &cause, self.is_held()).into_iter().rev());
                }
                Err(cause) if self.is_held() => {
                    return Err(DryError::Held { row: self.row, cause });
                }
                Err(cause) => {
                    self.row = self.row.saturating_add(1);
                    given_up = true;
                    outcomes.extend(letters(&piece, &cause));
                }
            }
        }
        if !given_up {
            self.size.was_too_much(events);
        }
        Ok(self.renew().await?)
    }

    /// The same batch again is asked for a few times, as a host would for ever, with pauses.
    async fn decide(&mut self, next: &Next, outcomes: &mut Vec<Outcome>) -> Result<(), CallError> {
        let mut tries = 0;
        loop {
            match self.ask(next, outcomes).await {
                Err(CallError::Retry(_)) if tries < TRIES => {
                    tries += 1;
                    self.renew().await?;
                }
                done => return done,
            }
        }
    }

    async fn ask(&mut self, next: &Next, outcomes: &mut Vec<Outcome>) -> Result<(), CallError> {
        let Next { input, ref batch } = *next;
        if batch.records.is_empty() {
            return Ok(());
        }
        let flow = self.inputs.get(input as usize).cloned().unwrap_or_default();
        let instance = self.instance.as_mut().ok_or(CallError::Dead)?;
        self.setup.state.lock().begin();
        let answer = instance.process(input, &flow, batch.clone()).await;
        let actions = self.counts(answer)?;
        self.row = 0;
        outcomes.push(Outcome::Decided { input, batch: batch.clone(), actions });
        Ok(())
    }

    async fn tick(&mut self, now: i64) -> Result<Vec<Action>, CallError> {
        let instance = self.instance.as_mut().ok_or(CallError::Dead)?;
        self.setup.state.lock().begin();
        let answer = instance.tick(now).await;
        self.counts(answer)
    }

    /// What was written counts where there is an answer.
    fn counts(&self, answer: Result<Vec<Action>, CallError>) -> Result<Vec<Action>, CallError> {
        let mut state = self.setup.state.lock();
        match &answer {
            Ok(_) => state.committed(),
            Err(_) => state.abandon(),
        }
        answer
    }

    /// The one before goes first: whoever has as many shards as there is room for has no room for one more.
    async fn renew(&mut self) -> Result<(), CallError> {
        self.instance = None;
        self.instance = Some(self.plugin.instantiate(self.setup.clone()).await?);
        Ok(())
    }

    fn is_held(&self) -> bool {
        self.row >= MOST_IN_A_ROW
    }
}

fn letters(piece: &Next, cause: &CallError) -> Vec<Outcome> {
    let Some(given) = Given::of(cause) else { return Vec::new() };
    let letter = |stored: &Stored| Outcome::GivenUp {
        input: piece.input,
        stored: stored.clone(),
        kind: given.kind.word(),
        reason: given.reason.clone(),
    };
    piece.batch.records.iter().map(letter).collect()
}

/// Times that a batch is asked for again where a plugin says `retry`: nothing will have changed.
const TRIES: u32 = 3;
