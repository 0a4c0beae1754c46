//! What may be done with processors.

use std::collections::BTreeSet;

use host_events::clock::now;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Name;
use crate::error::RegistryError;
use crate::journal::Intent;
use crate::limits::{MAX_ENDS, MAX_PROCESSORS, check_kind, check_options, check_processor_config};
use crate::model::{Desired, NewProcessor, Processor, ProcessorChange, Start};
use crate::state::{Change, Decision, Row, State};

impl State {
    pub(crate) fn create_processor(&self, new: NewProcessor) -> Result<Decision, RegistryError> {
        self.namespace_of(&new.name)
            .ok_or_else(|| RegistryError::NoNamespace { name: new.name.to_string() })?;
        self.check_free(&new.name)?;
        if self.processors.len() >= MAX_PROCESSORS {
            return Err(RegistryError::TooMany { what: "processors", limit: MAX_PROCESSORS });
        }
        Self::check_most(&new.maker, "processors", self.owners_of_processors())?;
        check_new(&new)?;
        let mut input_incarnations = std::collections::BTreeMap::new();
        let mut input_partitions = std::collections::BTreeMap::new();
        for name in new.inputs.iter().chain(&new.outputs) {
            self.check_topic_of_subscriber(name, &new.name)?;
        }
        for name in &new.inputs {
            let flow = self.usable_flow(name)?;
            input_incarnations.insert(name.clone(), flow.incarnation);
            input_partitions.insert(name.clone(), flow.partitions);
        }
        for name in &new.outputs {
            self.usable_flow(name)?;
        }
        if new.options.get("ring").is_none_or(|ring| ring != "allow") {
            self.check_ring(&new)?;
        }
        self.check_dead_flow_of(&new)?;
        let mut processor = Processor {
            id: Uuid::new_v4(),
            name: new.name,
            kind: new.kind,
            inputs: new.inputs,
            outputs: new.outputs,
            config: new.config,
            start: new.start,
            desired: Desired::Running,
            because: None,
            options: new.options,
            revision: 1,
            input_incarnations,
            input_partitions,
            pinned: None,
            before: None,
            shadow: None,
            successor: None,
            dead: Default::default(),
            mirror: new.mirror,
            owner: new.maker.owner,
            created_at: now(),
        };
        processor.settle_pin(new.pin)?;
        if let Some((flow, letters)) = &new.former {
            processor.dead.handle(*flow, letters);
        }
        Ok(Decision::change(
            vec![Row::PutProcessor(processor.clone())],
            Intent::CreateProcessor { processor },
        ))
    }

    pub(crate) fn update_processor(
        &self,
        name: &Name,
        change: ProcessorChange,
    ) -> Result<Decision, RegistryError> {
        let before = self.settled_processor(name)?.clone();
        let mut after = before.clone();
        after.config = change.config.unwrap_or(after.config);
        after.options.extend(change.options);
        check_processor_config(&after.config)?;
        check_options(&after.options)?;
        after.settle_pin(change.pin)?;
        after.compare_anew(&before);
        if let Some(change) = change.shadow {
            after.settle_shadow(change)?;
        }
        Ok(update(before, after))
    }

    /// Sets what a processor should do. Asking for what is already under way waits for it.
    pub(crate) fn set_desired(
        &self,
        name: &Name,
        desired: Desired,
        because: Option<String>,
    ) -> Result<Decision, RegistryError> {
        if desired == Desired::Deleted {
            return self.delete_processor(name);
        }
        let same = |intent: &Intent| match intent {
            Intent::UpdateProcessor { after, .. } => after.desired == desired,
            _ => false,
        };
        self.find_processor(name)?;
        if let Some(entry) = self.pending_of(name).find(|entry| same(&entry.intent)) {
            return Ok(Decision::Already(entry.id));
        }
        let before = self.settled_processor(name)?.clone();
        let after = Processor { desired, because, ..before.clone() };
        Ok(update(before, after))
    }

    pub(crate) fn move_processor(
        &self,
        name: &Name,
        to: Start,
        keep_state: bool,
    ) -> Result<Decision, RegistryError> {
        let processor = self.settled_processor(name)?.clone();
        if processor.desired == Desired::Running {
            let words = format!("processor {name} is running: pause it first");
            return Err(RegistryError::conflict(words));
        }
        Ok(Decision::change(vec![], Intent::MoveProcessor { processor, to, keep_state }))
    }

    pub(crate) fn delete_processor(&self, name: &Name) -> Result<Decision, RegistryError> {
        let before = self.find_processor(name)?;
        if before.desired == Desired::Deleted {
            return self.deletion_under_way(name);
        }
        let mut processor = Processor { desired: Desired::Deleted, ..before.clone() };
        processor.revision += 1;
        Ok(Decision::Change(Box::new(Change {
            rows: vec![Row::PutProcessor(processor.clone())],
            intent: Intent::DeleteProcessor { processor },
            supersedes: self.superseded_by_deletion(name),
        })))
    }

    fn settled_processor(&self, name: &Name) -> Result<&Processor, RegistryError> {
        let processor = self.find_processor(name)?;
        self.check_settled(name)?;
        Ok(processor)
    }
}

/// The name of a processor that was given none: `<type>-<hash>.<namespace>`, the hash over what it
/// does, so that the same command again finds the name taken.
///
/// # Errors
/// When the type is no label or the whole is too long for a name.
pub fn derived_name(
    kind: &str,
    inputs: &[Name],
    outputs: &[Name],
    config: &str,
    namespace: &Name,
) -> Result<Name, RegistryError> {
    check_kind(kind)?;
    let mut hash = Sha256::new();
    for part in [kind, config] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    for names in [inputs, outputs] {
        hash.update((names.len() as u64).to_be_bytes());
        for name in names {
            hash.update((name.as_str().len() as u64).to_be_bytes());
            hash.update(name.as_str());
        }
    }
    let hash = hash.finalize();
    let hex: String = hash.iter().take(HASH_OCTETS).map(|byte| format!("{byte:02x}")).collect();
    namespace
        .child(&format!("{kind}-{hex}"))
        .map_err(|error| RegistryError::invalid(error.to_string()))
}

/// Octets of the hash in a derived name: 40 bits, so that 10,000 processors collide with a chance of
/// one in 20,000; a collision is a 409 and `AS name` helps.
const HASH_OCTETS: usize = 5;

impl State {
    /// Whether events would come back to where they were read: one event then goes round for ever.
    fn check_ring(&self, new: &NewProcessor) -> Result<(), RegistryError> {
        let mut reached: BTreeSet<Name> = new.outputs.iter().cloned().collect();
        // What cannot get through comes out as a dead letter.
        reached.extend(self.dead_flow_of(&new.name));
        loop {
            let before = reached.len();
            for processor in self.processors.values() {
                let mut inputs = processor.inputs.iter().map(|input| self.source_of(input));
                if inputs.any(|input| reached.contains(input)) {
                    reached.extend(processor.outputs.iter().cloned());
                    reached.extend(self.dead_flow_of(&processor.name));
                }
            }
            let mut inputs = new.inputs.iter().map(|input| self.source_of(input));
            if let Some(input) = inputs.find(|input| reached.contains(*input)) {
                let words =
                    format!("events would come back to {input} for ever: a ring needs ring=allow");
                return Err(RegistryError::conflict(words));
            }
            if reached.len() == before {
                return Ok(());
            }
        }
    }

    /// The flow whose events a name brings: of a subscription that somebody has to a flow here, that flow.
    fn source_of<'a>(&'a self, name: &'a Name) -> &'a Name {
        self.subscribers.get(name).map_or(name, |row| &row.flow)
    }
}

fn update(before: Processor, mut after: Processor) -> Decision {
    after.revision += 1;
    Decision::change(
        vec![Row::PutProcessor(after.clone())],
        Intent::UpdateProcessor { before: Box::new(before), after },
    )
}

fn check_new(new: &NewProcessor) -> Result<(), RegistryError> {
    check_kind(&new.kind)?;
    check_processor_config(&new.config)?;
    check_options(&new.options)?;
    for (what, names) in [("input", &new.inputs), ("output", &new.outputs)] {
        if names.is_empty() {
            return Err(RegistryError::invalid(format!("no {what}")));
        }
        if names.len() > MAX_ENDS {
            return Err(RegistryError::TooMany { what: "flows on one side", limit: MAX_ENDS });
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(RegistryError::invalid(format!("{what} {twice} is named twice")));
        }
    }
    match new.inputs.iter().find(|name| new.outputs.contains(name)) {
        None => Ok(()),
        Some(name) => Err(RegistryError::invalid(format!("{name} would feed itself"))),
    }
}
