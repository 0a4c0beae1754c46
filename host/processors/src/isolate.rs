//! A batch that failed: the event that fails alone is found and becomes a dead letter, the rest goes on
//! in order.
//!
//! Every piece starts in a fresh instance from the last committed state and is committed before the
//! next one, so that a piece that fails takes nothing of another with it. A plugin that fails on
//! event after event is held, with its position kept: then the plugin is to blame, not the events.

use std::sync::Arc;
use std::time::SystemTime;

use host_plugins::CallError;

use crate::dead::{self, Given, Kind, Scene};
use crate::inputs::Next;
use crate::pieces;
use crate::shard::Failure;
use crate::spec::Policy;
use crate::traced::Traced;
use crate::worker::{End, Moves, Worker};

/// Events in a row that may become dead letters before the plugin is held instead. Few enough that a
/// broken plugin does not empty a flow into the dead letters, enough for a burst of bad events.
pub(crate) const MOST_IN_A_ROW: u32 = 16;

impl Worker<'_> {
    /// Takes a batch apart that failed.
    pub(crate) async fn isolate(
        &mut self,
        next: Next,
        cause: CallError,
    ) -> Result<Option<End>, Failure> {
        // What was decided before it is right and must not be decided again.
        self.drain().await?;
        let (processor, shard, events) =
            (&self.shard.spec.name, self.shard.shard, next.batch.records.len());
        tracing::debug!(%processor, shard, events, cause = %cause, "batch is taken apart");
        // What is only too much as a whole is no fault; and what fails whole and not in pieces is one.
        if !matches!(cause, CallError::Limit { .. }) {
            self.judge(&next, &cause).await?;
        }
        let mut given_up = false;
        let mut pieces = pieces::split(&next, &cause, self.is_held());
        pieces.reverse();
        while let Some(piece) = pieces.pop() {
            if self.is_called_away() {
                return Ok(Some(End::ModeChanged));
            }
            // Guest memory has seen what never happened.
            self.renew().await?;
            match self.decide(&piece, &piece.moves()).await {
                Ok(()) => {}
                Err(Failure::OneByOne) => {
                    pieces.extend(pieces::chop(&piece, 1).into_iter().rev());
                    continue;
                }
                Err(Failure::Plugin(cause)) if pieces::kind(&cause).is_none() => {
                    return Err(Failure::Plugin(cause));
                }
                Err(Failure::Plugin(cause)) if piece.batch.records.len() > 1 => {
                    let smaller = pieces::split(&piece, &cause, self.is_held());
                    pieces.extend(smaller.into_iter().rev());
                    continue;
                }
                Err(Failure::Plugin(cause)) => {
                    self.give_up_alone(&piece, cause).await?;
                    given_up = true;
                }
                Err(failure) => return Err(failure),
            }
            self.drain().await?;
        }
        match given_up {
            true => self.shard.size.failed(),
            false => self.shard.size.was_too_much(events),
        }
        self.renew().await?;
        Ok(None)
    }

    /// An event that failed alone: whose fault that is, and past it, as the policy has it.
    async fn give_up_alone(&mut self, piece: &Next, cause: CallError) -> Result<(), Failure> {
        let is_rejected = self.judge(piece, &cause).await?;
        self.may_give_up(&cause)?;
        let flow = self.shard.spec.input_name(piece.input);
        let given = Given::of(&cause).ok_or(Failure::Plugin(cause.clone()))?;
        self.give_up(piece, &flow, &given, &piece.moves()).await?;
        if is_rejected {
            self.shard.status.rejected();
        }
        self.show_failed(piece, &flow, &cause);
        // Only what is committed counts: a broker that is full says nothing of the plugin.
        self.shard.row = match (self.shard.spec.policy, given.kind) {
            // That is an answer, and no fault.
            (Policy::LeaveOut, Kind::Reject) => 0,
            _ => self.shard.row.saturating_add(1),
        };
        Ok(())
    }

    fn is_held(&self) -> bool {
        matches!(self.shard.spec.policy, Policy::Auto | Policy::LeaveOut)
            && self.shard.row >= MOST_IN_A_ROW
    }

    /// Whether an event that failed alone may be given up.
    fn may_give_up(&self, cause: &CallError) -> Result<(), Failure> {
        let (row, cause) = (self.shard.row, cause.clone());
        match self.shard.spec.policy {
            Policy::Off => Err(Failure::Plugin(cause)),
            Policy::Auto if self.is_held() => Err(Failure::Everything { row, cause }),
            Policy::LeaveOut if self.is_held() => Err(Failure::Everything { row, cause }),
            Policy::Auto | Policy::All | Policy::LeaveOut => Ok(()),
        }
    }

    /// Moves past an event of which nothing is kept.
    async fn leave_out(
        &mut self,
        piece: &Next,
        given: &Given,
        moves: Moves<'_>,
    ) -> Result<(), Failure> {
        let events = piece.batch.records.len();
        self.state.lock().begin();
        self.moved(&piece.batch.records, moves);
        self.drain().await?;
        self.shard.left_out(events as u64, &given.reason);
        Ok(())
    }

    /// Writes one event to the dead letters, in the commit that moves past it, and tells of it then.
    pub(crate) async fn give_up(
        &mut self,
        piece: &Next,
        flow: &str,
        given: &Given,
        moves: Moves<'_>,
    ) -> Result<(), Failure> {
        if self.shard.spec.policy == Policy::LeaveOut {
            return self.leave_out(piece, given, moves).await;
        }
        self.need_dead_flow().await?;
        let Some(dead) = &self.dead else { return Ok(()) };
        let partition = piece.batch.partition;
        let (flow_of, began) = (Arc::from(flow), SystemTime::now());
        let traced = Traced::of(&self.shard.traces, (&flow_of, &piece.batch), began, "dead-letter");
        self.waiting.traced.extend(traced);
        let scene = Scene::of(&self.shard.spec, &self.plugin, flow, partition);
        for stored in piece.batch.records.iter() {
            let letter = dead::letter(&scene, stored, given);
            self.waiting.outputs.bury(dead, self.shard.shard, letter);
        }
        self.waiting.given = Some(given.clone());
        // Without changes, so that there is one open for each batch that is committed.
        self.state.lock().begin();
        self.moved(&piece.batch.records, moves);
        self.drain().await?;
        for stored in piece.batch.records.iter() {
            self.shard.told_of_letter(given, flow, partition, stored.offset);
        }
        Ok(())
    }
}
