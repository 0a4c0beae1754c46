//! The contract `flow:processor@1.0.0`: its generated bindings, and what the host gives a guest.
//!
//! 0.1.0 has the same types and functions under other names, so both are served from here: what is looked up or
//! offered by name takes the version. A version with other types needs bindings of its own.
//!
//! Generated types do not leave this module except towards [`crate::instance`].

mod answer;
mod exports;
mod host;

pub(crate) use answer::{Terms, check, info, refused};
pub(crate) use exports::{Exports, Linked};
pub(crate) use generated::exports::flow::processor::lifecycle::Setup;
pub(crate) use host::add_to_linker;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        // Never what one component must be: each optional export is looked up by itself.
        inline: "
            package host:all;
            world all {
                include flow:processor/processor@1.0.0;
                export flow:processor/timer@1.0.0;
                export flow:processor/reconfigure@1.0.0;
                export flow:processor/migrate@1.0.0;
            }
        ",
        world: "host:all/all",
        imports: { default: trappable },
        exports: { default: async },
        with: { "flow:processor/events.batch": crate::view::BatchHandle },
    });
}
