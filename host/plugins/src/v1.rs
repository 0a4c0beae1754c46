//! The contract `flow:processor@0.1.0`: its generated bindings, and what the host gives a guest.
//!
//! Generated types do not leave this module except towards [`crate::instance`].

mod answer;
mod exports;
mod host;

pub(crate) use answer::{check, info, refused};
pub(crate) use exports::{Exports, Linked};
pub(crate) use generated::exports::flow::processor::lifecycle::Setup;
pub(crate) use host::add_to_linker;

/// The version, as it stands behind the names of interfaces.
const VERSION: &str = "0.1.0";

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        // Never what one component must be: each optional export is looked up by itself.
        inline: "
            package host:all;
            world all {
                include flow:processor/processor@0.1.0;
                export flow:processor/timer@0.1.0;
                export flow:processor/reconfigure@0.1.0;
                export flow:processor/migrate@0.1.0;
            }
        ",
        world: "host:all/all",
        imports: { default: trappable },
        exports: { default: async },
        with: { "flow:processor/events.batch": crate::view::BatchHandle },
    });
}
