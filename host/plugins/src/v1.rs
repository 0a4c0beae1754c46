//! The contract `flow:processor@0.1.0`: its generated bindings, and what the host gives a guest.
//!
//! Generated types do not leave this module except towards [`crate::instance`].

mod answer;
mod host;

pub(crate) use answer::{check, info, refused};
pub(crate) use generated::exports::flow::processor::lifecycle::{Guest as Lifecycle, Setup};
pub(crate) use generated::{Processor, ProcessorPre};
pub(crate) use host::add_to_linker;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "processor",
        imports: { default: trappable },
        exports: { default: async },
        with: { "flow:processor/events.batch": crate::view::BatchHandle },
    });
}
