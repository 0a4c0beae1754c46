//! One compiled component and what it says about itself.

use std::sync::Arc;

use crate::error::CallError;
use crate::instance::{Instance, Setup};

/// A compiled component. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Plugin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    digest: Arc<str>,
    info: Info,
    size: usize,
}

/// How many flows a processor takes on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// Exactly one.
    One,
    /// One or more.
    Many,
}

/// What a component says about itself, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The type's name: lower-case letters, digits, hyphens.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// Inputs it takes.
    pub inputs: Cardinality,
    /// Outputs it takes.
    pub outputs: Cardinality,
    /// A JSON Schema of the configuration.
    pub config_schema: String,
    /// Events that no action names are dropped.
    pub unnamed_dropped: bool,
    /// A JSON object for whatever may grow.
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl Plugin {
    /// SHA-256 of the component's bytes, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &Arc<str> {
        &self.0.digest
    }

    /// What it says about itself.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// Bytes of the component.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Makes an instance and calls `init`.
    ///
    /// # Errors
    /// What `init` answered (`Fatal` names the wrong value of the configuration), or why it could
    /// not be called.
    pub async fn instantiate(&self, setup: Setup) -> Result<Instance, CallError> {
        Instance::start(self, setup).await
    }
}
