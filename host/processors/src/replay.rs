//! Dead letters go through the processor again.
//!
//! A shard takes those of its own partition out of the dead-letter flow, one by one and in order, before
//! it goes on with its inputs. How far it is lies beside its positions and is committed with what the
//! letters led to, so a crash repeats none. A letter that fails again is written as a new one.

use std::sync::Arc;

use host_brokers::{BatchLimits, BrokerError};
use host_events::{Batch, Incarnation, Position, Stored};
use host_registry::Replay;

use crate::dead::{self, Given, Kind, Opened};
use crate::inputs::Next;
use crate::pieces;
use crate::shard::Failure;
use crate::spec::Endpoint;
use crate::worker::{End, Worker};

/// Where a replay stands in one partition of the dead-letter flow. It is kept as a position under the
/// processor's own id, which is no flow's life. Positions never move back, so it is the replay's number
/// and, below that, the next offset.
struct Cursor {
    life: Incarnation,
    partition: u32,
    number: u64,
}

/// Bits of the next offset in a cursor; the others are the number's ([`host_registry::MOST_REPLAYS`]).
const OFFSET_BITS: u32 = 40;

impl Cursor {
    fn next(&self, positions: &Position) -> u64 {
        let at = positions.get(self.life, self.partition).unwrap_or(0);
        if at >> OFFSET_BITS == self.number { at & ((1 << OFFSET_BITS) - 1) } else { 0 }
    }

    fn moves(&self, next: u64) -> [(Incarnation, u32, u64); 1] {
        // A trillion letters in one partition do not come together.
        let next = next.min((1 << OFFSET_BITS) - 1);
        [(self.life, self.partition, self.number << OFFSET_BITS | next)]
    }
}

impl Worker<'_> {
    /// Carries out this shard's part of the replay that is asked for, if any.
    pub(crate) async fn replay(&mut self) -> Result<Option<End>, Failure> {
        let Some(replay) = self.shard.spec.replay.clone() else { return Ok(None) };
        let (shard, shards) = (self.shard.shard, self.shard.spec.shards());
        if replay.done.contains(&shard) {
            return Ok(None);
        }
        let meant = |dead: &Endpoint| dead.topic.incarnation == replay.flow;
        // In another life of the flow are other letters: those that were meant are gone.
        if let Some(dead) = self.shard.dead.find().await?.filter(meant) {
            for partition in 0..dead.partitions {
                if let Some(end) = self.replay_partition(&replay, &dead, partition).await? {
                    return Ok(Some(end));
                }
            }
        }
        self.drain().await?;
        let (registry, id) = (self.shard.dead.registry.clone(), self.shard.spec.id);
        registry.replayed(id, replay.number, shard, shards).await.map_err(dead::DeadError::from)?;
        Ok(None)
    }

    async fn replay_partition(
        &mut self,
        replay: &Replay,
        dead: &Endpoint,
        partition: u32,
    ) -> Result<Option<End>, Failure> {
        let life = Incarnation(self.shard.spec.id);
        let cursor = Cursor { life, partition, number: replay.number };
        let info = dead.broker.describe(&dead.topic).await?;
        let Some(log) = info.partitions.get(partition as usize) else { return Ok(None) };
        let mut next = cursor.next(&self.began_at).max(log.earliest);
        for &(from, to) in replay.letters.of(partition) {
            next = next.max(from);
            let to = to.min(log.latest);
            if next >= to {
                continue;
            }
            let mut source = dead.broker.source(&dead.topic, partition, next).await?;
            while next < to {
                let batch = source.next(AT_ONCE).await?;
                for stored in batch.records.iter().filter(|stored| stored.offset < to) {
                    if self.is_called_away() {
                        self.drain().await?;
                        return Ok(Some(End::ModeChanged));
                    }
                    self.replay_letter(stored, &cursor).await?;
                }
                next = batch.next.min(to);
            }
        }
        Ok(None)
    }

    async fn replay_letter(&mut self, stored: &Stored, cursor: &Cursor) -> Result<(), Failure> {
        let moves = cursor.moves(stored.offset + 1);
        // What somebody else wrote there is no letter, and the others are other shards'.
        let Some(opened) = dead::open(&stored.record) else { return Ok(()) };
        if opened.partition % self.shard.spec.shards() != self.shard.shard {
            return Ok(());
        }
        let Some((input, life)) = self.input_of(&opened.flow) else {
            let reason = format!("flow {} is no input of the processor any more", opened.flow);
            let flow: Arc<str> = opened.flow.as_str().into();
            let next = one_event(0, Incarnation(self.shard.spec.id), opened);
            return self.give_up(&next, &flow, &Given::new(Kind::Reject, reason), &moves).await;
        };
        let truncated = opened.truncated;
        let mut next = one_event(input, life, opened);
        if let Some(given) = self.refused(&moves) {
            let flow = self.shard.spec.input_name(input);
            return self.give_up_refused(&next, &flow, given, &moves).await;
        }
        if truncated && !self.restore(&mut next).await? {
            let flow = self.shard.spec.input_name(input);
            let reason = "the event is not in its flow any more".to_owned();
            let given = Given { truncated, ..Given::new(Kind::Broker, reason) };
            return self.give_up(&next, &flow, &given, &moves).await;
        }
        self.prepare().await?;
        if let Err(failure) = self.decide(&next, &moves).await {
            self.replay_alone(&next, failure, &moves).await?;
        }
        if !self.has_room() || self.shard.careful.is_some() {
            self.drain().await?;
        }
        Ok(())
    }

    /// Fetches the whole of an event from where it came from; `false` where it is gone.
    async fn restore(&mut self, next: &mut Next) -> Result<bool, Failure> {
        let Some(end) = self.shard.spec.inputs.get(next.input as usize) else { return Ok(false) };
        let Some(part) = next.batch.records.first() else { return Ok(false) };
        let (partition, offset) = (next.batch.partition, part.offset);
        let read = async {
            let mut source = end.broker.source(&end.topic, partition, offset).await?;
            source.next(BatchLimits { records: 1, ..AT_ONCE }).await
        };
        let first = match read.await {
            Ok(batch) => batch.records.first().cloned(),
            Err(BrokerError::OutOfRange { .. } | BrokerError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(whole) = first.filter(|whole| whole.offset == offset) else { return Ok(false) };
        next.batch.records = [whole].into();
        Ok(true)
    }

    /// A letter that failed, in an instance that nothing else has been in.
    async fn replay_alone(
        &mut self,
        next: &Next,
        failure: Failure,
        moves: &[(Incarnation, u32, u64)],
    ) -> Result<(), Failure> {
        let blames = |failure: &Failure| matches!(failure, Failure::Plugin(cause) if pieces::kind(cause).is_some());
        if !blames(&failure) {
            return Err(failure);
        }
        self.drain().await?;
        self.renew().await?;
        match self.decide(next, moves).await {
            Err(Failure::Plugin(cause)) if pieces::kind(&cause).is_some() => {
                let is_rejected = self.judge(next, &cause).await?;
                let flow = self.shard.spec.input_name(next.input);
                let given = Given::of(&cause).ok_or(Failure::Plugin(cause))?;
                self.give_up(next, &flow, &given, moves).await?;
                if is_rejected {
                    self.shard.status.rejected();
                }
                self.renew().await
            }
            decided => decided,
        }
    }

    /// The input that an event came in by first.
    fn input_of(&self, flow: &str) -> Option<(u32, Incarnation)> {
        let mut inputs = self.shard.spec.inputs.iter().zip(0..);
        let (end, input) = inputs.find(|(end, _)| *end.name == *flow)?;
        Some((input, end.topic.incarnation))
    }
}

fn one_event(input: u32, flow: Incarnation, opened: Opened) -> Next {
    let Opened { partition, stored, .. } = opened;
    let next = stored.offset.saturating_add(1);
    let records: Arc<[Stored]> = [stored].into();
    Next { input, batch: Batch { flow, partition, records, next } }
}

/// Letters that are read at once.
const AT_ONCE: BatchLimits = BatchLimits { records: 64, bytes: 1024 * 1024 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_only_grows_and_another_replay_begins_anew() {
        let life = Incarnation(uuid::Uuid::nil());
        let cursor = |number| Cursor { life, partition: 3, number };
        let mut positions = Position::default();
        let mut last = 0;
        for (number, next) in [(1, 6), (1, 9), (2, 3), (2, 4), (host_registry::MOST_REPLAYS, 1)] {
            let [(life, partition, at)] = cursor(number).moves(next);
            assert!(at > last && i64::try_from(at).is_ok());
            last = at;
            positions.set(life, partition, at);
            assert_eq!(cursor(number).next(&positions), next);
            assert_eq!(cursor(number + 1).next(&positions), 0);
        }
    }
}
