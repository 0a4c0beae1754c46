//! What should be: namespaces, flows and processors in SQLite, with a journal of what is being made
//! so, and the reconciler that makes it so.
//!
//! Every change is one transaction: the rows and a journal entry whose steps somebody else (a
//! [`Performer`]) makes. So whatever a crash interrupts is finished or undone after the next start.
//! Knows no broker and no plugin; holds no event.

mod access;
mod adoption;
mod audit;
mod commands;
mod dead;
mod error;
mod flows;
mod grants;
mod in_force;
mod journal;
mod letters;
pub mod limits;
mod mirrors;
mod model;
mod namespaces;
mod performer;
mod plugin_books;
mod plugins;
mod processors;
mod publish;
mod published;
mod reconciler;
mod registry;
mod reports;
mod state;
mod store;
mod subscribers;
mod subscriptions;
mod successor;
#[cfg(test)]
mod tests;
mod views;
mod words;

pub use access::{ACCESS, Access, MAX_DOMAINS};
pub use adoption::{ADOPT, Adoption, flow_of_topic};
pub use audit::{Audited, By, Carried, MAX_UNCARRIED, as_by, by_somebody};
pub use dead::{DeadLetters, MOST_REPLAYS, Replay, dead_flow_taken};
pub use error::RegistryError;
pub use fnap::name::Name;
pub use grants::{Giver, Granted, MAX_GRANTS, MAX_GRANTS_OF_ONE, Maker, Told};
pub use in_force::InForce;
pub use journal::{Entry, Intent, JournalId, Outcome, Refusal, Step};
pub use letters::Letters;
pub use mirrors::{MAX_MIRRORS_OF_ONE, Mirror};
pub use model::{
    Config, Desired, Flow, FlowChange, FlowStatus, HOST_KEYS, LIMIT_PREFIX, Namespace, NewFlow,
    NewNamespace, NewProcessor, PEER, PROCESSOR_LIMITS, PROCESSOR_OPTIONS, PROTECTED, Processor,
    ProcessorChange, Start, Taken,
};
pub use performer::{PerformError, Performer};
pub use plugin_books::{Books, Kept, Ran, peek_answer, peek_plugins, peek_processors, put_wish};
pub use plugins::{Activation, MAX_COMPONENT, NewActivation};
pub use processors::derived_name;
pub use publish::{PUBLISH, Publish};
pub use published::{Findable, Published, PublishedRow, peek, peek_published};
pub use reconciler::{COMMAND_WAIT, Reconciler};
pub use registry::Registry;
pub use reports::{MAX_REPORTS, REPORTS, Report, Waiting};
pub use subscribers::{
    Approval, Asked, Attachment, Denial, End, FAILED_AGAIN, Hold, Lent, MAX_ENDED_OF_ONE,
    MAX_FILTER, MAX_LENT, MAX_LENT_OF_ONE, MAX_POLICY, MAX_REASON, MAX_REQUESTS,
    MAX_REQUESTS_FOR_FLOW, MAX_REQUESTS_OF_ONE, MAX_SUBSCRIBERS, MAX_SUBSCRIBERS_OF_FLOW,
    MAX_SUBSCRIBERS_OF_ONE, REMEMBERED_FOR, Request, Sent, Standing, Subscribed, Subscriber,
    UNATTACHED_FOR, ViewFailure, Way, Why,
};
pub use subscriptions::{
    Condition, ConditionKind, MAX_SUBSCRIPTIONS, Most, NewSubscription, Stage, Subscription,
    Transport,
};
pub use successor::{Rule, ShadowChange, Successor, Verdict};
pub use views::{FILTERS, Lens, POLICY, Whose};
