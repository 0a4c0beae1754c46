//! The batch in a plugin's hands: a handle to what lies in the host.
//!
//! Every method that gives bytes copies them out of the host; a column costs one call where the
//! same for each event costs `len` calls.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::event::is_json;
#[cfg(target_family = "wasm")]
use crate::guest::Handle;
#[cfg(not(target_family = "wasm"))]
use crate::testing::Handle;
use crate::{Event, Header, Value};

/// One contiguous piece of one partition of one input flow. Any index that is not below
/// [`Batch::len`] ends the call: the host traps, a native test panics.
#[derive(Debug)]
pub struct Batch(pub(crate) Handle);

impl Batch {
    /// How many events it holds.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.0.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The input, counted from 0.
    #[must_use]
    pub fn input(&self) -> u32 {
        self.0.input()
    }

    /// The name of that input's flow.
    #[must_use]
    pub fn flow(&self) -> String {
        self.0.flow()
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.0.partition()
    }

    /// Whether the record is a CloudEvent.
    #[must_use]
    pub fn is_event(&self, index: u32) -> bool {
        self.0.is_event(index)
    }

    /// One attribute of one event; see [`Batch::attributes`] for all events at once.
    #[must_use]
    pub fn attribute(&self, index: u32, name: &str) -> Option<Value> {
        self.0.attribute(index, name)
    }

    /// The record's key.
    #[must_use]
    pub fn key(&self, index: u32) -> Option<Vec<u8>> {
        self.0.key(index)
    }

    /// The event's data; of a record that is no CloudEvent, its value.
    #[must_use]
    pub fn data(&self, index: u32) -> Option<Vec<u8>> {
        self.0.data(index)
    }

    /// The data read as JSON; absent data is an error.
    ///
    /// # Errors
    /// When the data is no JSON of that shape.
    pub fn json<T: DeserializeOwned>(&self, index: u32) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.data(index).unwrap_or_default())
    }

    /// The data as the JSON text it is; none where it is absent, of another content type or no JSON.
    #[must_use]
    pub fn json_text(&self, index: u32) -> Option<Box<RawValue>> {
        if !is_json(self.attribute(index, "datacontenttype").as_ref()) {
            return None;
        }
        self.json(index).ok()
    }

    /// Milliseconds since 1970 UTC that the broker keeps beside the record.
    #[must_use]
    pub fn timestamp(&self, index: u32) -> i64 {
        self.0.timestamp(index)
    }

    /// The record's headers, as they lie on the broker.
    #[must_use]
    pub fn headers(&self, index: u32) -> Vec<Header> {
        self.0.headers(index)
    }

    /// The whole event; none where the record is no CloudEvent.
    #[must_use]
    pub fn event(&self, index: u32) -> Option<Event> {
        self.0.event(index)
    }

    /// One attribute of every event, in order.
    #[must_use]
    pub fn attributes(&self, name: &str) -> Vec<Option<Value>> {
        self.0.attributes(name)
    }

    /// One attribute of every event as its canonical text, in order.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<Option<String>> {
        let text = |value: Option<Value>| value.map(|value| value.to_string());
        self.attributes(name).into_iter().map(text).collect()
    }

    /// The length of every event's data, in order.
    #[must_use]
    pub fn data_sizes(&self) -> Vec<Option<u32>> {
        self.0.data_sizes()
    }

    /// The data of every event, in order.
    #[must_use]
    pub fn data_all(&self) -> Vec<Option<Vec<u8>>> {
        self.0.data_all()
    }
}
