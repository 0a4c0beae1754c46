//! The commands that change what should be. Each is decided on the rows as they are and answers with
//! the journal entry that carries it out; whoever needs the outcome waits for that.

use host_events::Incarnation;

use crate::Name;
use crate::error::RegistryError;
use crate::journal::JournalId;
use crate::model::{
    Config, Desired, FlowChange, NewFlow, NewNamespace, NewProcessor, ProcessorChange, Start,
};
use crate::registry::Registry;

impl Registry {
    /// Creates a namespace.
    ///
    /// # Errors
    /// `Conflict` when the name is taken or flows of another namespace lie below it.
    pub async fn create_namespace(&self, new: NewNamespace) -> Result<JournalId, RegistryError> {
        self.command(move |state| state.create_namespace(new)).await
    }

    /// Sets settings of a namespace.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`.
    pub async fn update_namespace(
        &self,
        name: &Name,
        config: Config,
    ) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.update_namespace(&name, config)).await
    }

    /// Deletes a namespace that holds nothing.
    ///
    /// # Errors
    /// `Conflict` that names some of what it holds.
    pub async fn delete_namespace(&self, name: &Name) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.delete_namespace(&name)).await
    }

    /// Creates a flow; it can be used when the entry has ended.
    ///
    /// # Errors
    /// `NoNamespace`, `Conflict`, `Invalid`, `TooMany`.
    pub async fn create_flow(&self, new: NewFlow) -> Result<JournalId, RegistryError> {
        self.command(move |state| state.create_flow(new)).await
    }

    /// Changes a flow's settings or adds partitions.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while something else of it is under way, `Invalid`.
    pub async fn update_flow(
        &self,
        name: &Name,
        change: FlowChange,
    ) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.update_flow(&name, change)).await
    }

    /// Notes that a flow's topic has gained partitions by somebody else's hand; says whether that is new.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn flow_grew(
        &self,
        name: &Name,
        life: Incarnation,
        partitions: u32,
    ) -> Result<bool, RegistryError> {
        if self.look(|state| state.flow_grew(name, life, partitions).is_none()) {
            return Ok(false);
        }
        let name = name.clone();
        let decided = self.command(move |state| {
            let decision = state.flow_grew(&name, life, partitions);
            decision.ok_or_else(|| RegistryError::conflict("the flow has changed"))
        });
        match decided.await {
            Ok(_) => Ok(true),
            Err(RegistryError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Holds a flow's readers and refuses WRITE.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while something else of it is under way.
    pub async fn pause_flow(&self, name: &Name) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.hold_flow(&name, true)).await
    }

    /// Lets a held flow go on.
    ///
    /// # Errors
    /// As [`Self::pause_flow`].
    pub async fn resume_flow(&self, name: &Name) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.hold_flow(&name, false)).await
    }

    /// Deletes every event of a flow.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when it is protected or something else of it is under way.
    pub async fn purge_flow(&self, name: &Name) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.purge_flow(&name)).await
    }

    /// Deletes a flow: with its topic if we made that, otherwise the topic is released. The name is
    /// free when the entry has ended.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when it is protected, or in use (which names the users).
    pub async fn delete_flow(&self, name: &Name) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.delete_flow(&name)).await
    }

    /// Whether a processor could be created now; changes nothing.
    ///
    /// # Errors
    /// As [`Self::create_processor`].
    pub async fn check_new_processor(&self, new: &NewProcessor) -> Result<(), RegistryError> {
        self.look(|state| state.create_processor(new.clone())).map(drop)
    }

    /// Creates a processor that should run.
    ///
    /// # Errors
    /// `NoNamespace`, `NotFound` for a flow, `Conflict`, `Invalid`, `TooMany`.
    pub async fn create_processor(&self, new: NewProcessor) -> Result<JournalId, RegistryError> {
        self.command(move |state| state.create_processor(new)).await
    }

    /// Changes a processor's configuration or options.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while something else of it is under way, `Invalid`.
    pub async fn update_processor(
        &self,
        name: &Name,
        change: ProcessorChange,
    ) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.update_processor(&name, change)).await
    }

    /// PAUSE, RESUME and STOP of a processor. Repeats are harmless.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while something else of it is under way.
    pub async fn set_desired(
        &self,
        name: &Name,
        desired: Desired,
    ) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.set_desired(&name, desired, None)).await
    }

    /// Pauses a processor, and keeps why, until somebody says something else of it.
    ///
    /// # Errors
    /// As [`Self::set_desired`].
    pub async fn pause_because(
        &self,
        name: &Name,
        why: String,
    ) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.set_desired(&name, Desired::Paused, Some(why))).await
    }

    /// Moves the position of a processor that is paused or stopped.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when it should be running.
    pub async fn move_processor(
        &self,
        name: &Name,
        to: Start,
        keep_state: bool,
    ) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.move_processor(&name, to, keep_state)).await
    }

    /// Deletes a processor. The name is free when the entry has ended.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_processor(&self, name: &Name) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.delete_processor(&name)).await
    }
}
