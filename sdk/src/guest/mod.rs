//! The way across the boundary: the generated names meet the SDK's own here and nowhere else.
//!
//! Public only for what [`crate::export!`] expands to; no author names it.

/// The bindings of an optional interface: a world of its own, because a world exports everything that it names.
macro_rules! bindings {
    ($world:literal, $inline:literal) => {
        /// The generated bindings.
        #[expect(missing_docs, reason = "generated from wit/")]
        pub mod bindings {
            wit_bindgen::generate!({
                path: "../wit",
                inline: $inline,
                world: $world,
                pub_export_macro: true,
                with: {
                    "flow:processor/events@1.0.0": crate::guest::generated::flow::processor::events,
                },
            });
        }
    };
}

mod convert;
mod migrate;
mod reconfigure;
mod timer;

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;

use self::generated::exports::flow::processor::lifecycle;
use self::generated::flow::processor::{events, log as log_import, state as state_import};
use crate::{Batch, Error, Event, Header, Processor, Setup, Value};

/// The generated bindings.
#[expect(missing_docs, reason = "generated from wit/")]
pub mod generated {
    wit_bindgen::generate!({
        path: "../wit",
        world: "processor",
        pub_export_macro: true,
    });
}

pub use migrate::bindings as migrate_bindings;
pub use reconfigure::bindings as reconfigure_bindings;
pub use timer::bindings as timer_bindings;

/// The exports of a processor type.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: Processor> lifecycle::Guest for Component<P> {
    fn describe() -> lifecycle::Info {
        P::describe().into()
    }

    fn init(setup: lifecycle::Setup) -> Result<(), events::Error> {
        std::panic::set_hook(Box::new(report_panic));
        let setup = setup.into();
        let processor = P::init(&setup)?;
        INSTANCE.with(|instance| instance.replace(Some(Box::new(processor))));
        SETUP.set(setup);
        Ok(())
    }

    fn process(batch: events::Batch) -> Result<Vec<events::Action>, events::Error> {
        let actions = with_instance(|processor: &mut P| processor.process(&Batch(Handle(batch))))?;
        Ok(actions.into_iter().map(Into::into).collect())
    }

    fn pause() -> Result<(), events::Error> {
        with_instance(|processor: &mut P| processor.pause())
    }

    fn resume() -> Result<(), events::Error> {
        with_instance(|processor: &mut P| processor.resume())
    }

    fn destroy() -> Result<(), events::Error> {
        with_instance(|processor: &mut P| processor.destroy())
    }
}

fn with_instance<P: Processor, T>(
    call: impl FnOnce(&mut P) -> Result<T, Error>,
) -> Result<T, events::Error> {
    INSTANCE.with(|instance| {
        let mut instance = instance.borrow_mut();
        let processor = instance.as_deref_mut().and_then(|made| made.downcast_mut::<P>());
        Ok(call(processor.ok_or_else(|| Error::fatal("called before init"))?)?)
    })
}

/// A panic ends the instance; without this nobody would read its words.
fn report_panic(info: &std::panic::PanicHookInfo<'_>) {
    log_import::log(
        log_import::Level::Error,
        "plugin panicked",
        &[("panic".to_owned(), info.to_string())],
    );
}

/// The host's batch.
#[derive(Debug)]
pub struct Handle(events::Batch);

impl Handle {
    pub(crate) fn len(&self) -> u32 {
        self.0.len()
    }

    pub(crate) fn input(&self) -> u32 {
        self.0.input()
    }

    pub(crate) fn flow(&self) -> String {
        self.0.flow()
    }

    pub(crate) fn partition(&self) -> u32 {
        self.0.partition()
    }

    pub(crate) fn is_event(&self, index: u32) -> bool {
        self.0.is_event(index)
    }

    pub(crate) fn attribute(&self, index: u32, name: &str) -> Option<Value> {
        self.0.attribute(index, name).map(Into::into)
    }

    pub(crate) fn key(&self, index: u32) -> Option<Vec<u8>> {
        self.0.key(index)
    }

    pub(crate) fn data(&self, index: u32) -> Option<Vec<u8>> {
        self.0.data(index)
    }

    pub(crate) fn timestamp(&self, index: u32) -> i64 {
        self.0.timestamp(index)
    }

    pub(crate) fn headers(&self, index: u32) -> Vec<Header> {
        self.0.headers(index).into_iter().map(|header| (header.name, header.value)).collect()
    }

    pub(crate) fn event(&self, index: u32) -> Option<Event> {
        self.0.event(index).map(Into::into)
    }

    pub(crate) fn attributes(&self, name: &str) -> Vec<Option<Value>> {
        self.0.attributes(name).into_iter().map(|value| value.map(Into::into)).collect()
    }

    pub(crate) fn data_sizes(&self) -> Vec<Option<u32>> {
        self.0.data_sizes()
    }

    pub(crate) fn data_all(&self) -> Vec<Option<Vec<u8>>> {
        self.0.data_all()
    }
}

/// What [`crate::state`] stands on.
pub(crate) mod state {
    use super::state_import as host;
    use crate::state::{Entry, StateError};

    pub(crate) fn get(key: &[u8]) -> Option<Vec<u8>> {
        host::get(key)
    }

    pub(crate) fn set(key: &[u8], value: &[u8]) -> Result<(), StateError> {
        host::set(key, value).map_err(Into::into)
    }

    pub(crate) fn delete(key: &[u8]) -> Result<(), StateError> {
        host::delete(key).map_err(Into::into)
    }

    pub(crate) fn scan(prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Vec<Entry> {
        let entry = |entry: host::Entry| Entry { key: entry.key, value: entry.value };
        host::scan(prefix, after, limit).into_iter().map(entry).collect()
    }
}

/// What [`crate::log`] stands on.
pub(crate) mod log {
    use super::log_import as host;
    use crate::log::Level;

    pub(crate) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let fields: Vec<_> = fields.iter().map(owned).collect();
        host::log(level.into(), message, &fields);
    }
}

thread_local! {
    // One instance of the component serves one shard, so one of the type is enough.
    static INSTANCE: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
    /// What it was told last.
    static SETUP: RefCell<Setup> = RefCell::default();
}
