//! A batch as a guest sees it: by handle, decoded only where it asks.
//!
//! The handle is worth something during one call. A guest that keeps it and uses it later traps.

use std::sync::Arc;

use bytes::Bytes;
use host_events::{Batch, Incarnation, Record};
use uuid::Uuid;
use wasmtime::component::Resource;

use crate::event::{Checked, Seen, may_be_structured};

/// What a handle of a guest stands for; never made, only named.
#[expect(unreachable_pub, reason = "generated bindings export it again")]
#[derive(Debug)]
pub enum BatchHandle {}

/// One batch, while it is processed.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The input, counted from 0.
    pub(crate) input: u32,
    /// The input's flow.
    pub(crate) flow: Arc<str>,
    /// The records.
    pub(crate) batch: Batch,
    /// When it is, milliseconds since 1970. Looked for once: each event that is emitted asks for it.
    moment: i64,
}

impl View {
    /// A batch, as it came from an input.
    pub(crate) fn new(input: u32, flow: Arc<str>, batch: Batch) -> Self {
        let newest = batch.records.iter().map(|stored| stored.record.timestamp).max();
        Self { input, flow, batch, moment: newest.unwrap_or(0) }
    }

    /// No events, but a moment.
    pub(crate) fn tick(shard: u32, now: i64) -> Self {
        let flow = Incarnation(Uuid::nil());
        // Random numbers follow from where a batch begins: here that is the moment.
        let next = u64::try_from(now).unwrap_or(0);
        let batch = Batch { flow, partition: shard, records: Arc::default(), next };
        Self { input: 0, flow: Arc::from(""), batch, moment: now }
    }

    /// Number of events.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.batch.records.len()).unwrap_or(u32::MAX)
    }

    /// All records, in order.
    pub(crate) fn records(&self) -> impl ExactSizeIterator<Item = &Record> {
        self.batch.records.iter().map(|stored| &stored.record)
    }

    /// One record; an index beyond the batch is a trap.
    pub(crate) fn record(&self, index: u32) -> wasmtime::Result<&Record> {
        let stored = self.batch.records.get(index as usize);
        let stored = stored.ok_or_else(|| {
            wasmtime::format_err!("index {index} of a batch of {} events", self.batch.records.len())
        })?;
        Ok(&stored.record)
    }

    /// The batch's moment: the newest timestamp in it, milliseconds since 1970.
    pub(crate) fn timestamp(&self) -> i64 {
        self.moment
    }

    /// Where it begins, for random numbers.
    pub(crate) fn position(&self) -> [u8; 28] {
        let first = self.batch.records.first().map_or(self.batch.next, |stored| stored.offset);
        let mut position = [0; 28];
        let parts = self.batch.flow.0.as_bytes().iter().copied();
        let parts = parts.chain(self.batch.partition.to_le_bytes()).chain(first.to_le_bytes());
        position.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        position
    }
}

/// A batch with what its records turned out to be, as far as somebody asked.
#[derive(Debug)]
pub(crate) struct Decoded {
    view: View,
    checked: Vec<Option<Checked>>,
}

impl Decoded {
    /// One record, looked at once; an index beyond the batch is a trap.
    pub(crate) fn seen(&mut self, index: u32) -> wasmtime::Result<Seen<'_>> {
        let record = self.view.record(index)?;
        let place = self.checked.get_mut(index as usize);
        let place = place.ok_or_else(|| wasmtime::format_err!("index {index} of a batch"))?;
        Ok(Seen::new(record, place.get_or_insert_with(|| Checked::of(record))))
    }

    /// All records, looked at once.
    pub(crate) fn all_seen(&mut self) -> impl Iterator<Item = Seen<'_>> {
        self.view.records().zip(&mut self.checked).map(|(record, place)| {
            Seen::new(record, place.get_or_insert_with(|| Checked::of(record)))
        })
    }

    /// The data of one event; of a record that is none, its value.
    pub(crate) fn data(&mut self, index: u32) -> wasmtime::Result<Option<Bytes>> {
        let record = self.view.record(index)?;
        if may_be_structured(record) {
            return Ok(self.seen(index)?.data());
        }
        Ok(record.value.clone())
    }

    /// The data of all events.
    pub(crate) fn all_data(&mut self) -> Vec<Option<Bytes>> {
        let all = self.view.records().zip(&mut self.checked);
        let data = |(record, place): (&Record, &mut Option<Checked>)| {
            if may_be_structured(record) {
                let checked = place.get_or_insert_with(|| Checked::of(record));
                return Seen::new(record, checked).data();
            }
            record.value.clone()
        };
        all.map(data).collect()
    }
}

/// The batch of the present call, and the handles that the guest has not given back.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    current: Option<Decoded>,
    handle: u32,
    held: u32,
}

impl Batches {
    /// Shows a batch; the handle is the guest's.
    pub(crate) fn begin(&mut self, view: View) -> wasmtime::Result<Resource<BatchHandle>> {
        wasmtime::ensure!(
            self.held < MAX_HELD,
            "the plugin keeps the handles of {MAX_HELD} batches"
        );
        self.handle = self.handle.wrapping_add(1);
        self.held += 1;
        let checked = view.records().map(|_| None).collect();
        self.current = Some(Decoded { view, checked });
        Ok(Resource::new_own(self.handle))
    }

    /// The call is over: whatever handle the guest kept stands for nothing.
    pub(crate) fn end(&mut self) {
        self.current = None;
    }

    /// The batch behind a handle.
    pub(crate) fn view(&self, handle: &Resource<BatchHandle>) -> wasmtime::Result<&View> {
        let current = self.current.as_ref().filter(|_| handle.rep() == self.handle);
        current.map(|decoded| &decoded.view).ok_or_else(used_late)
    }

    /// The batch behind a handle, to look at its events.
    pub(crate) fn decoded(
        &mut self,
        handle: &Resource<BatchHandle>,
    ) -> wasmtime::Result<&mut Decoded> {
        let current = self.current.as_mut().filter(|_| handle.rep() == self.handle);
        current.ok_or_else(used_late)
    }

    /// The guest gives a handle back.
    pub(crate) fn give_back(&mut self, handle: &Resource<BatchHandle>) {
        self.held = self.held.saturating_sub(1);
        if handle.rep() == self.handle {
            self.current = None;
        }
    }
}

fn used_late() -> wasmtime::Error {
    wasmtime::format_err!("a batch is used after its call")
}

/// Handles a guest may keep: each costs the host a few bytes for as long as the instance lives. A
/// garbage collector gives them back late.
const MAX_HELD: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use host_events::Stored;

    fn view(timestamps: &[i64]) -> View {
        let records = timestamps.iter().enumerate().map(|(offset, timestamp)| Stored {
            offset: offset as u64,
            record: Record { timestamp: *timestamp, ..Record::default() },
        });
        let batch = Batch {
            flow: Incarnation(Uuid::nil()),
            partition: 3,
            records: records.collect(),
            next: timestamps.len() as u64,
        };
        View::new(0, Arc::from("a.example"), batch)
    }

    #[test]
    fn a_handle_stands_for_its_batch_during_its_call_only() {
        let mut batches = Batches::default();
        let first = batches.begin(view(&[1])).unwrap();
        assert_eq!(batches.view(&first).unwrap().len(), 1);
        batches.end();
        assert!(batches.view(&first).is_err());
        let second = batches.begin(view(&[1, 2])).unwrap();
        assert!(batches.view(&first).is_err());
        assert_eq!(batches.view(&second).unwrap().len(), 2);
        batches.give_back(&first);
        assert!(batches.view(&second).is_ok());
    }

    #[test]
    fn a_guest_that_keeps_every_handle_is_stopped() {
        let mut batches = Batches::default();
        let kept = (0..=MAX_HELD).map_while(|_| batches.begin(view(&[])).ok()).count();
        assert_eq!(kept, MAX_HELD as usize);
    }

    #[test]
    fn a_batch_stands_at_its_newest_timestamp_and_its_first_offset() {
        assert_eq!(view(&[5, 9, 7]).timestamp(), 9);
        assert_eq!(view(&[]).timestamp(), 0);
        assert_ne!(view(&[]).position(), view(&[1]).position().map(|byte| byte ^ 1));
        assert!(view(&[1]).record(1).is_err());
    }
}
