//! What the author of a processor plugin writes against.
//!
//! A plugin is a type that implements [`Processor`] and one line that exports it. The host owns the
//! brokers, the events and the commit; the plugin is handed a [`Batch`], reads only what it asks
//! for and answers with [`Action`]s. It has no socket, file or clock.
//!
//! ```
//! use flow_sdk::{Action, Batch, Error, Info, Processor, Setup};
//!
//! /// Passes on what is an alert and drops the rest.
//! pub struct Alerts;
//!
//! impl Processor for Alerts {
//!     fn describe() -> Info {
//!         Info::new("alerts", "0.1.0").summary("passes on alerts").unnamed_dropped()
//!     }
//!
//!     fn init(_setup: &Setup) -> Result<Self, Error> {
//!         Ok(Self)
//!     }
//!
//!     fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
//!         let alert = |kind: Option<String>| kind.is_some_and(|kind| kind.starts_with("alert."));
//!         let events = (0..).zip(batch.texts("type"));
//!         Ok(events.filter(|(_, kind)| alert(kind.clone())).map(|(i, _)| Action::forward(i, 0)).collect())
//!     }
//! }
//!
//! flow_sdk::export!(Alerts);
//!
//! // and its test, with `cargo test` alone:
//! use flow_sdk::{Event, testing::{Batches, Harness}};
//! let mut plugin = Harness::<Alerts>::new("{}")?;
//! let batch = Batches::new().event(Event::new("1", "/sensor", "alert.fire")).build();
//! assert_eq!(plugin.process(&batch)?, [Action::forward(0, 0)]);
//! # Ok::<(), Error>(())
//! ```
//!
//! Build it with `crate-type = ["cdylib", "rlib"]` for `wasm32-wasip2`; the file that comes out is
//! the component, to be named after the type in [`Info`].
//!
//! # Layout
//!
//! [`Processor`], [`Info`] and [`Setup`] are the contract; [`Batch`], [`Event`] and [`Value`] what
//! is read; [`Action`] and [`Error`] what is answered; [`state`] and [`log`] what the host offers;
//! [`Timer`], [`Reconfigure`] and [`Migrate`] what a type may do more; [`testing`] what stands in for the host in a native test; `rules` (a feature) the rule language
//! that the four plugins of the host share.

mod action;
mod batch;
mod event;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;
pub mod log;
mod more;
mod outputs;
mod processor;
#[cfg(feature = "rules")]
pub mod rules;
pub mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use action::{Action, DataChange, Error, Rewrite};
pub use batch::Batch;
pub use event::{Event, Header, Value};
pub use more::{Migrate, Reconfigure, Timer};
pub use outputs::OutputNames;
pub use processor::{Cardinality, Info, Processor, Setup};

/// Makes a type that implements [`Processor`] the component's processor. Once in a crate. What it
/// implements beyond that is named behind it: `export!(Counts: Timer)`.
#[macro_export]
macro_rules! export {
    ($processor:ty $(: $($more:ident),+)?) => {
        // The exported names are no native symbols, so a native build only checks the type.
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Component = $crate::guest::Component<$processor>;
    $crate::guest::generated::export!(Component with_types_in $crate::guest::generated);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::Info = <$processor as $crate::Processor>::describe;
        $($($crate::export_more!($more $processor);)+)?
    };
}

/// One interface more, for [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! export_more {
    (Timer $processor:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Component = $crate::guest::Component<$processor>;
            $crate::guest::timer_bindings::export!(Component with_types_in $crate::guest::timer_bindings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: fn(&$processor) -> ::core::time::Duration =
            <$processor as $crate::Timer>::interval;
    };
    (Migrate $processor:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Component = $crate::guest::Component<$processor>;
            $crate::guest::migrate_bindings::export!(Component with_types_in $crate::guest::migrate_bindings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: fn(&str, &str) -> Result<(), $crate::Error> =
            <$processor as $crate::Migrate>::migrate;
    };
    (Reconfigure $processor:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Component = $crate::guest::Component<$processor>;
            $crate::guest::reconfigure_bindings::export!(Component with_types_in $crate::guest::reconfigure_bindings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: fn(&mut $processor, &$crate::Setup) -> Result<(), $crate::Error> =
            <$processor as $crate::Reconfigure>::reconfigure;
    };
}
