//! Batches that lie in the test instead of the host.

use crate::{Batch, Event, Header, Value};

/// Makes a batch: records one after another, then [`Batches::build`].
#[derive(Clone, Debug)]
pub struct Batches {
    input: u32,
    flow: String,
    partition: u32,
    records: Vec<Record>,
}

impl Default for Batches {
    fn default() -> Self {
        Self::new()
    }
}

impl Batches {
    /// An empty batch of partition 0 of input 0, the flow `in`.
    #[must_use]
    pub fn new() -> Self {
        Self { input: 0, flow: "in".to_owned(), partition: 0, records: Vec::new() }
    }

    /// From another input.
    #[must_use]
    pub fn input(self, input: u32, flow: &str) -> Self {
        Self { input, flow: flow.to_owned(), ..self }
    }

    /// From another partition.
    #[must_use]
    pub fn partition(self, partition: u32) -> Self {
        Self { partition, ..self }
    }

    /// Adds an event.
    #[must_use]
    pub fn event(self, event: Event) -> Self {
        self.record(Record { data: event.data.clone(), event: Some(event), ..Record::default() })
    }

    /// Adds a record that is no CloudEvent.
    #[must_use]
    pub fn foreign(self, value: impl Into<Vec<u8>>) -> Self {
        self.record(Record { data: Some(value.into()), ..Record::default() })
    }

    /// Gives the last record a key.
    #[must_use]
    pub fn key(self, key: impl Into<Vec<u8>>) -> Self {
        self.change(|record| record.key = Some(key.into()))
    }

    /// Gives the last record a timestamp, in milliseconds since 1970 UTC.
    #[must_use]
    pub fn timestamp(self, timestamp: i64) -> Self {
        self.change(|record| record.timestamp = timestamp)
    }

    /// Gives the last record one more header.
    #[must_use]
    pub fn header(self, name: &str, value: Option<&[u8]>) -> Self {
        self.change(|record| record.headers.push((name.to_owned(), value.map(<[u8]>::to_vec))))
    }

    /// The batch.
    #[must_use]
    pub fn build(self) -> Batch {
        Batch(Handle(self))
    }

    fn record(mut self, record: Record) -> Self {
        self.records.push(record);
        self
    }

    fn change(mut self, change: impl FnOnce(&mut Record)) -> Self {
        if let Some(record) = self.records.last_mut() {
            change(record);
        }
        self
    }
}

#[derive(Clone, Debug, Default)]
struct Record {
    event: Option<Event>,
    data: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    timestamp: i64,
    headers: Vec<Header>,
}

#[derive(Debug)]
pub(crate) struct Handle(Batches);

impl Handle {
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.0.records.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn input(&self) -> u32 {
        self.0.input
    }

    pub(crate) fn flow(&self) -> String {
        self.0.flow.clone()
    }

    pub(crate) fn partition(&self) -> u32 {
        self.0.partition
    }

    pub(crate) fn is_event(&self, index: u32) -> bool {
        self.record(index).event.is_some()
    }

    pub(crate) fn attribute(&self, index: u32, name: &str) -> Option<Value> {
        attribute(self.record(index), name)
    }

    pub(crate) fn key(&self, index: u32) -> Option<Vec<u8>> {
        self.record(index).key.clone()
    }

    pub(crate) fn data(&self, index: u32) -> Option<Vec<u8>> {
        self.record(index).data.clone()
    }

    pub(crate) fn timestamp(&self, index: u32) -> i64 {
        self.record(index).timestamp
    }

    pub(crate) fn headers(&self, index: u32) -> Vec<Header> {
        self.record(index).headers.clone()
    }

    pub(crate) fn event(&self, index: u32) -> Option<Event> {
        self.record(index).event.clone()
    }

    pub(crate) fn attributes(&self, name: &str) -> Vec<Option<Value>> {
        self.0.records.iter().map(|record| attribute(record, name)).collect()
    }

    pub(crate) fn data_sizes(&self) -> Vec<Option<u32>> {
        let size = |data: &Vec<u8>| u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.0.records.iter().map(|record| record.data.as_ref().map(size)).collect()
    }

    pub(crate) fn data_all(&self) -> Vec<Option<Vec<u8>>> {
        self.0.records.iter().map(|record| record.data.clone()).collect()
    }

    #[expect(clippy::panic, reason = "stands for the host's trap")]
    fn record(&self, index: u32) -> &Record {
        let Some(record) = self.0.records.get(index as usize) else {
            panic!("index {index} is not in a batch of {}", self.0.records.len());
        };
        record
    }
}

fn attribute(record: &Record, name: &str) -> Option<Value> {
    record.event.as_ref()?.attribute(name).cloned()
}
