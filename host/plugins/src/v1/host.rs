//! What a guest imports: events, state, log.

use bytes::Bytes;
use host_events::CloudEvent;
use wasmtime::StoreContextMut;
use wasmtime::component::{HasSelf, Linker, Resource};

use super::generated::flow::processor::events::{Attribute, Event, Header, Value};
use super::generated::flow::processor::{events, log, state};
use crate::host::Host;
use crate::log::Level;
use crate::state::WriteError;
use crate::version::Version;
use crate::view::BatchHandle;

type Handle = Resource<BatchHandle>;

/// Adds the imports of every version that is served from here to what components may import.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    type Own = HasSelf<Host>;
    for (_, version) in Version::KNOWN {
        let name = |interface| version.interface(interface);
        events::add_to_linker_instance::<_, Own>(&mut linker.instance(&name("events"))?, |h| h)?;
        state::add_to_linker_instance::<_, Own>(&mut linker.instance(&name("state"))?, |h| h)?;
        log::add_to_linker_instance::<_, Own>(&mut linker.instance(&name("log"))?, |h| h)?;
        add_payloads(linker, &name("events"))?;
    }
    Ok(())
}

/// The functions that give whole payloads, once more: generated ones would copy each into a `Vec`
/// before it is copied into the guest.
fn add_payloads(linker: &mut Linker<Host>, events: &str) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut events = linker.instance(events)?;
    type Store<'a> = StoreContextMut<'a, Host>;
    events.func_wrap(
        "[method]batch.data",
        |mut host: Store<'_>, (batch, index): (Handle, u32)| {
            Ok((host.data_mut().batches.decoded(&batch)?.data(index)?,))
        },
    )?;
    events.func_wrap("[method]batch.data-all", |mut host: Store<'_>, (batch,): (Handle,)| {
        Ok((host.data_mut().batches.decoded(&batch)?.all_data(),))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl events::Host for Host {}

impl events::HostBatch for Host {
    fn len(&mut self, batch: Handle) -> wasmtime::Result<u32> {
        Ok(self.batches.view(&batch)?.len())
    }

    fn input(&mut self, batch: Handle) -> wasmtime::Result<u32> {
        Ok(self.batches.view(&batch)?.input)
    }

    fn flow(&mut self, batch: Handle) -> wasmtime::Result<String> {
        Ok(self.batches.view(&batch)?.flow.to_string())
    }

    fn partition(&mut self, batch: Handle) -> wasmtime::Result<u32> {
        Ok(self.batches.view(&batch)?.batch.partition)
    }

    fn is_event(&mut self, batch: Handle, index: u32) -> wasmtime::Result<bool> {
        Ok(self.batches.decoded(&batch)?.seen(index)?.is_event())
    }

    fn attribute(
        &mut self,
        batch: Handle,
        index: u32,
        name: String,
    ) -> wasmtime::Result<Option<Value>> {
        Ok(self.batches.decoded(&batch)?.seen(index)?.attribute(&name).map(Value::from))
    }

    fn key(&mut self, batch: Handle, index: u32) -> wasmtime::Result<Option<Vec<u8>>> {
        let record = self.batches.view(&batch)?.record(index)?;
        Ok(record.key.as_deref().map(<[u8]>::to_vec))
    }

    fn data(&mut self, batch: Handle, index: u32) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.batches.decoded(&batch)?.data(index)?.map(Vec::from))
    }

    fn timestamp(&mut self, batch: Handle, index: u32) -> wasmtime::Result<i64> {
        Ok(self.batches.view(&batch)?.record(index)?.timestamp)
    }

    fn headers(&mut self, batch: Handle, index: u32) -> wasmtime::Result<Vec<Header>> {
        let record = self.batches.view(&batch)?.record(index)?;
        let headers = record.headers.iter().map(|(name, value)| Header {
            name: String::from_utf8_lossy(name).into_owned(),
            value: value.map(<[u8]>::to_vec),
        });
        Ok(headers.collect())
    }

    fn event(&mut self, batch: Handle, index: u32) -> wasmtime::Result<Option<Event>> {
        Ok(self.batches.decoded(&batch)?.seen(index)?.event().map(Event::from))
    }

    fn attributes(&mut self, batch: Handle, name: String) -> wasmtime::Result<Vec<Option<Value>>> {
        let events = self.batches.decoded(&batch)?.all_seen();
        Ok(events.map(|seen| seen.attribute(&name).map(Value::from)).collect())
    }

    fn data_sizes(&mut self, batch: Handle) -> wasmtime::Result<Vec<Option<u32>>> {
        let size = |data: Bytes| u32::try_from(data.len()).unwrap_or(u32::MAX);
        let data = self.batches.decoded(&batch)?.all_data();
        Ok(data.into_iter().map(|data| data.map(size)).collect())
    }

    fn data_all(&mut self, batch: Handle) -> wasmtime::Result<Vec<Option<Vec<u8>>>> {
        let data = self.batches.decoded(&batch)?.all_data();
        Ok(data.into_iter().map(|data| data.map(Vec::from)).collect())
    }

    fn drop(&mut self, batch: Handle) -> wasmtime::Result<()> {
        self.batches.give_back(&batch);
        Ok(())
    }
}

impl state::Host for Host {
    fn get(&mut self, key: Vec<u8>) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.state.lock().get(&key).map(Vec::from))
    }

    fn set(
        &mut self,
        key: Vec<u8>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), state::StateError>> {
        if !self.may_write {
            self.state.lock().wrote_untimely();
            return Ok(Err(not_now()));
        }
        let written = self.state.lock().set(key.into(), value.into(), self.state_limits);
        Ok(written.map_err(state::StateError::from))
    }

    fn delete(&mut self, key: Vec<u8>) -> wasmtime::Result<Result<(), state::StateError>> {
        if !self.may_write {
            self.state.lock().wrote_untimely();
            return Ok(Err(not_now()));
        }
        let deleted = self.state.lock().delete(key.into());
        Ok(deleted.map_err(state::StateError::from))
    }

    fn scan(
        &mut self,
        prefix: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<Vec<state::Entry>> {
        let found = self.state.lock().scan(&prefix, after.as_deref(), limit);
        let entry = |(key, value)| state::Entry { key: Vec::from(key), value: Vec::from(value) };
        Ok(found.into_iter().map(entry).collect())
    }
}

fn not_now() -> state::StateError {
    state::StateError::Denied(
        "state is written while a batch, a tick or a migration is under way".to_owned(),
    )
}

impl From<WriteError> for state::StateError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full(limit) => Self::Full(limit),
            WriteError::TooLong(what, limit, most) => {
                Self::Denied(format!("{what} is too long: limit passed: {limit}={most}"))
            }
            WriteError::Denied(reason) => Self::Denied(reason.to_owned()),
        }
    }
}

impl log::Host for Host {
    fn log(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.gate().log(level, &message, fields);
        Ok(())
    }
}

impl From<host_events::Value> for Value {
    fn from(value: host_events::Value) -> Self {
        match value {
            host_events::Value::Boolean(value) => Self::Boolean(value),
            host_events::Value::Integer(value) => Self::Integer(value),
            host_events::Value::String(value) => Self::Text(value),
            host_events::Value::Binary(value) => Self::Binary(value.into()),
            host_events::Value::Uri(value) => Self::Uri(value),
            host_events::Value::UriReference(value) => Self::UriReference(value),
            host_events::Value::Timestamp(value) => Self::Timestamp(value.as_str().to_owned()),
        }
    }
}

impl From<CloudEvent> for Event {
    fn from(event: CloudEvent) -> Self {
        let attributes = event
            .attributes()
            .map(|(name, value)| Attribute { name: name.to_owned(), value: value.clone().into() });
        Self { attributes: attributes.collect(), data: event.data().map(|data| data.to_vec()) }
    }
}
