//! What should be: namespaces, flows and processors in SQLite, with a journal of what is being made
//! so, and the reconciler that makes it so.
//!
//! Every change is one transaction: the rows and a journal entry whose steps somebody else (a
//! [`Performer`]) makes. So whatever a crash interrupts is finished or undone after the next start.
//! Knows no broker and no plugin; holds no event.

mod error;
mod journal;
mod model;
mod name;
mod performer;

pub use error::RegistryError;
pub use journal::{Entry, Intent, JournalId, Outcome, Refusal, Step};
pub use model::{
    Config, Desired, Flow, FlowChange, FlowStatus, HOST_KEYS, Namespace, NewFlow, NewNamespace,
    NewProcessor, PROCESSOR_OPTIONS, PROTECTED, Processor, ProcessorChange, Start,
};
pub use name::Name;
pub use performer::{PerformError, Performer};
