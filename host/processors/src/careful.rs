//! A commit that a broker refuses for good, because a record is too large or of a kind that it never
//! takes: the event to blame is found and becomes a dead letter, the rest goes on in order.
//!
//! The shard begins again from what is committed and takes the events of that commit one by one. Those
//! that lead to a record as large as the largest that was refused are committed alone; where that is not
//! enough the mark is lowered, until one is refused alone. What a broker refuses for another reason, rights
//! or room, is no event's fault and not looked for here.

use host_brokers::{BrokerError, CommitOutcome};
use host_events::Position;

use crate::commits::InFlight;
use crate::dead::{Given, Kind};
use crate::inputs::Next;
use crate::isolate::MOST_IN_A_ROW;
use crate::pieces;
use crate::shard::Failure;
use crate::spec::Policy;
use crate::worker::{End, Moves, Worker};

/// What is known about a commit that was refused.
#[derive(Debug)]
pub(crate) struct Careful {
    /// What leads to a record of so many bytes is committed alone.
    mark: usize,
    /// Where the refused commit would have moved to. Nothing beyond it is suspected.
    until: Position,
    /// The event that was refused alone, by where the position moves with it.
    refused: Option<(Position, Given)>,
}

impl Worker<'_> {
    /// Looks whose fault it is that a commit failed; an error where there is something to find out.
    pub(crate) fn blame(
        &mut self,
        in_flight: &InFlight,
        outcome: CommitOutcome,
    ) -> Result<CommitOutcome, Failure> {
        let cause = match outcome {
            CommitOutcome::Aborted(cause @ BrokerError::TooMuch(_)) => {
                return self.take_less(in_flight, cause);
            }
            CommitOutcome::Aborted(cause) if blames_an_event(&cause) => cause,
            other => return Ok(other),
        };
        let InFlight { batches, moved, largest, given, .. } = in_flight;
        let positions = &self.without_ticks(&in_flight.positions);
        if moved.events_in == 0 {
            return match self.blames_tick(in_flight, &cause) {
                true => Err(Failure::Suspect(cause)),
                false => Ok(CommitOutcome::Aborted(cause)),
            };
        }
        let given = match given {
            // Nothing is left to be cut off.
            Some(given) if given.truncated => return Ok(CommitOutcome::Aborted(cause)),
            Some(given) => Some(Given { truncated: true, ..given.clone() }),
            None if (*batches, moved.events_in) == (1, 1) => {
                Some(Given::new(Kind::Broker, cause.to_string()))
            }
            None => None,
        };
        let before = self.shard.careful.take();
        self.shard.careful = Some(match (before, given) {
            (Some(before), Some(given)) => {
                Careful { refused: Some((positions.clone(), given)), ..before }
            }
            (None, Some(given)) => Careful {
                mark: usize::MAX,
                until: positions.clone(),
                refused: Some((positions.clone(), given)),
            },
            (before, None) => {
                let mut until = before.map(|before| before.until).unwrap_or_default();
                until.0.extend(&positions.0);
                Careful { mark: *largest, until, refused: None }
            }
        });
        Err(Failure::Suspect(cause))
    }

    /// Has half as many events go into the next commits, where that is possible.
    fn take_less(
        &mut self,
        in_flight: &InFlight,
        cause: BrokerError,
    ) -> Result<CommitOutcome, Failure> {
        let (batches, events) = (in_flight.batches.max(1), in_flight.moved.events_in);
        // What a batch of it had is halved.
        let each = usize::try_from(events).unwrap_or(usize::MAX).div_ceil(batches);
        if each <= 1 {
            return match self.gives_up_tick(in_flight, &cause) {
                true => Err(Failure::Suspect(cause)),
                false => Ok(CommitOutcome::Aborted(cause)),
            };
        }
        self.shard.size.was_too_much(each);
        Err(Failure::Suspect(cause))
    }

    /// What is committed is suspected no longer.
    pub(crate) fn went_through(&mut self, positions: &Position, whole: bool) {
        if whole {
            self.shard.refusals = 0;
        }
        let Some(careful) = &mut self.shard.careful else { return };
        careful.until.0.retain(|(life, partition), until| {
            positions.get(*life, *partition).is_none_or(|position| position < *until)
        });
        if careful.until.0.is_empty() {
            self.shard.careful = None;
        }
    }

    /// Whether a batch holds events of a commit that was refused.
    pub(crate) fn is_suspected(&self, next: &Next) -> bool {
        let Some(careful) = &self.shard.careful else { return false };
        let until = careful.until.get(next.batch.flow, next.batch.partition).unwrap_or(0);
        next.batch.records.first().is_some_and(|first| first.offset < until)
    }

    /// Takes a batch event by event.
    pub(crate) async fn process_carefully(&mut self, next: Next) -> Result<Option<End>, Failure> {
        for piece in pieces::chop(&next, 1) {
            if self.is_called_away() {
                self.drain().await?;
                return Ok(Some(End::ModeChanged));
            }
            if !self.has_room() {
                self.drain().await?;
            }
            if let Some(end) = self.attempt_carefully(piece).await? {
                return Ok(Some(end));
            }
            self.commit_if_idle();
        }
        Ok(None)
    }

    async fn attempt_carefully(&mut self, piece: Next) -> Result<Option<End>, Failure> {
        let moves = piece.moves();
        if let Some(given) = self.refused(&moves) {
            let flow = self.shard.spec.input_name(piece.input);
            self.give_up_refused(&piece, &flow, given, &moves).await?;
            return Ok(None);
        }
        self.prepare().await?;
        let before = std::mem::take(&mut self.waiting);
        let decided = self.decide(&piece, &moves).await;
        let alone = std::mem::replace(&mut self.waiting, before);
        match decided {
            Ok(()) => {}
            Err(Failure::Plugin(cause)) if pieces::kind(&cause).is_some() => {
                return self.isolate(piece, cause).await;
            }
            Err(failure) => return Err(failure),
        }
        let mark = self.shard.careful.as_ref().map_or(usize::MAX, |careful| careful.mark);
        if alone.outputs.largest() < mark {
            self.waiting.absorb(alone);
            return Ok(None);
        }
        self.drain().await?;
        self.waiting = alone;
        self.drain().await?;
        Ok(None)
    }

    /// Why the event was refused that moves the position so; none where it was not.
    pub(crate) fn refused(&self, moves: Moves<'_>) -> Option<Given> {
        let (positions, given) = self.shard.careful.as_ref()?.refused.as_ref()?;
        let same = |(life, partition, next): &(_, u32, u64)| {
            positions.get(*life, *partition) == Some(*next)
        };
        moves.iter().all(same).then(|| given.clone())
    }

    /// Writes an event that was refused alone to the dead letters, where it may be given up.
    pub(crate) async fn give_up_refused(
        &mut self,
        piece: &Next,
        flow: &str,
        given: Given,
        moves: Moves<'_>,
    ) -> Result<(), Failure> {
        self.drain().await?;
        let (policy, row, cause) =
            (self.shard.spec.policy, self.shard.refusals, given.reason.clone());
        let held = policy == Policy::Auto && row >= MOST_IN_A_ROW;
        if given.kind == Kind::Broker && (policy == Policy::Off || held) {
            // It is tried again in earnest: somebody may have raised the limit.
            self.shard.careful = None;
            return Err(match held {
                true => Failure::RefusesEverything { row, cause },
                false => Failure::Unwanted(cause),
            });
        }
        self.give_up(piece, flow, &given, moves).await?;
        self.shard.refusals = self.shard.refusals.saturating_add(1);
        Ok(())
    }
}

/// Whether the broker will never take what was sent, whoever sends it and however often.
pub(crate) fn blames_an_event(cause: &BrokerError) -> bool {
    matches!(cause, BrokerError::TooLarge { .. } | BrokerError::Invalid(_))
}
