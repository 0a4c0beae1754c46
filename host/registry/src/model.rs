//! What should be: namespaces, flows and processors, and what a caller hands over to make them.
//!
//! Times are milliseconds since 1970 UTC.

mod flow;
mod processor;

use std::collections::BTreeMap;

use fnap::subject::Subject;
use serde::{Deserialize, Serialize};

use crate::Name;
use crate::access::ACCESS;
use crate::publish::PUBLISH;
use crate::views::POLICY;
pub use flow::{Flow, FlowChange, FlowStatus, NewFlow, PEER, Taken};
pub use processor::{
    Desired, LIMIT_PREFIX, NewProcessor, PROCESSOR_LIMITS, PROCESSOR_OPTIONS, Processor,
    ProcessorChange, Start,
};

/// Settings as the operator wrote them.
pub type Config = BTreeMap<String, String>;

/// A name under which flows live, and the broker that new ones go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its name.
    pub name: Name,
    /// Broker of flows that name none.
    pub broker: String,
    /// Further settings.
    pub config: Config,
    /// Whose it is; none where the host made it, or an earlier version that did not ask.
    #[serde(default)]
    pub owner: Option<Subject>,
    /// When it was created.
    pub created_at: i64,
}

/// A namespace to create.
#[derive(Clone, Debug)]
pub struct NewNamespace {
    /// Its name.
    pub name: Name,
    /// Broker of its flows.
    pub broker: String,
    /// Further settings.
    pub config: Config,
    /// Whose it is.
    pub owner: Option<Subject>,
}

/// Flow setting: `true` refuses whatever would destroy the flow's events.
pub const PROTECTED: &str = "protected";

/// Flow settings that are the host's and not the topic's.
pub const HOST_KEYS: &[&str] = &[PROTECTED, ACCESS, PUBLISH, POLICY];
