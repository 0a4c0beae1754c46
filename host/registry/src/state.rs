//! The registry's rows in memory, and how a decided change alters them.
//!
//! Decides nothing; what may be changed and how is in `namespaces`, `flows` and `processors`.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::Name;
use crate::error::RegistryError;
use crate::grants::{Granted, Key};
use crate::journal::{Entry, Intent, JournalId, Outcome};
use crate::mirrors::Mirror;
use crate::model::{Flow, FlowStatus, Namespace, Processor};
use crate::subscribers::{Request, Subscriber};
use crate::subscriptions::Subscription;

/// Everything the registry knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) namespaces: BTreeMap<Name, Namespace>,
    pub(crate) flows: BTreeMap<Name, Flow>,
    pub(crate) processors: BTreeMap<Name, Processor>,
    pub(crate) mirrors: BTreeMap<Name, Mirror>,
    pub(crate) grants: BTreeMap<Key, Granted>,
    pub(crate) subscribers: BTreeMap<Name, Subscriber>,
    /// Subscriptions to flows elsewhere, by the local flow.
    pub(crate) subscriptions: BTreeMap<Name, Subscription>,
    /// Requests by id.
    pub(crate) requests: BTreeMap<String, Request>,
    /// Entries that are not ended.
    pub(crate) pending: BTreeMap<JournalId, Entry>,
    /// The last entries that ended.
    pub(crate) ended: BTreeMap<JournalId, Outcome>,
    /// Why an entry's last try failed; not stored.
    pub(crate) trouble: BTreeMap<JournalId, String>,
    /// Counts the changes of rows and journal.
    pub(crate) revision: u64,
}

/// A row that changes.
#[derive(Clone, Debug)]
pub(crate) enum Row {
    PutNamespace(Namespace),
    DropNamespace(Name),
    PutFlow(Flow),
    DropFlow(Name),
    PutProcessor(Processor),
    DropProcessor(Name),
    PutMirror(Mirror),
    DropMirror(Name),
    PutGrant(Granted),
    DropGrant(Key),
    PutSubscriber(Box<Subscriber>),
    DropSubscriber(Name),
    PutSubscription(Box<Subscription>),
    DropSubscription(Name),
    PutRequest(Box<Request>),
    DropRequest(String),
}

impl Row {
    /// Whether who carries events to subscribers has to look.
    pub(crate) const fn is_of_subscribers(&self) -> bool {
        matches!(self, Self::PutSubscriber(_) | Self::DropSubscriber(_))
    }
}

/// What one command decides: rows and one journal entry, in one transaction.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) rows: Vec<Row>,
    pub(crate) intent: Intent,
    /// Entries that this one overtakes.
    pub(crate) supersedes: Vec<JournalId>,
}

/// What became of a command.
#[derive(Debug)]
pub(crate) enum Decision {
    Change(Box<Change>),
    /// The same was asked before and is being carried out.
    Already(JournalId),
}

impl Decision {
    pub(crate) fn change(rows: Vec<Row>, intent: Intent) -> Self {
        Self::Change(Box::new(Change { rows, intent, supersedes: vec![] }))
    }

    /// A change that concerns the registry alone.
    pub(crate) fn settled(rows: Vec<Row>, name: &Name, verb: &str) -> Self {
        Self::change(rows, Intent::Settled { name: name.clone(), verb: verb.to_owned() })
    }
}

impl State {
    /// Makes rows so, after they are on disk.
    pub(crate) fn apply(&mut self, rows: &[Row]) {
        for row in rows {
            match row.clone() {
                Row::PutNamespace(row) => drop(self.namespaces.insert(row.name.clone(), row)),
                Row::DropNamespace(name) => drop(self.namespaces.remove(&name)),
                Row::PutFlow(row) => drop(self.flows.insert(row.name.clone(), row)),
                Row::DropFlow(name) => drop(self.flows.remove(&name)),
                Row::PutProcessor(row) => drop(self.processors.insert(row.name.clone(), row)),
                Row::DropProcessor(name) => drop(self.processors.remove(&name)),
                Row::PutMirror(row) => drop(self.mirrors.insert(row.name.clone(), row)),
                Row::DropMirror(name) => drop(self.mirrors.remove(&name)),
                Row::PutGrant(row) => {
                    drop(self.grants.insert(row.key(), row));
                }
                Row::DropGrant(key) => drop(self.grants.remove(&key)),
                Row::PutSubscriber(row) => {
                    drop(self.subscribers.insert(row.name.clone(), *row));
                }
                Row::DropSubscriber(name) => drop(self.subscribers.remove(&name)),
                Row::PutSubscription(row) => {
                    drop(self.subscriptions.insert(row.local.clone(), *row));
                }
                Row::DropSubscription(name) => drop(self.subscriptions.remove(&name)),
                Row::PutRequest(row) => drop(self.requests.insert(row.id.clone(), *row)),
                Row::DropRequest(id) => drop(self.requests.remove(&id)),
            }
        }
    }

    /// Ends an entry, after that is on disk. Only so many ended ones are remembered.
    pub(crate) fn end(&mut self, id: JournalId, outcome: Outcome) {
        self.pending.remove(&id);
        self.trouble.remove(&id);
        self.ended.insert(id, outcome);
        while self.ended.len() > KEPT_ENTRIES {
            self.ended.pop_first();
        }
    }

    pub(crate) fn find_namespace(&self, name: &Name) -> Result<&Namespace, RegistryError> {
        self.namespaces.get(name).ok_or_else(|| RegistryError::not_found("namespace", name))
    }

    pub(crate) fn find_flow(&self, name: &Name) -> Result<&Flow, RegistryError> {
        self.flows.get(name).ok_or_else(|| RegistryError::not_found("flow", name))
    }

    pub(crate) fn find_processor(&self, name: &Name) -> Result<&Processor, RegistryError> {
        self.processors.get(name).ok_or_else(|| RegistryError::not_found("processor", name))
    }

    /// The namespace that is the longest suffix of a name.
    pub(crate) fn namespace_of(&self, name: &Name) -> Option<&Namespace> {
        std::iter::successors(name.parent(), Name::parent)
            .find_map(|name| self.namespaces.get(&name))
    }

    /// Processors that read or write a flow, or whose dead letters lie in it.
    pub(crate) fn users_of_flow(&self, flow: &Name) -> Vec<Name> {
        let may_be_dead = flow.labels().any(|label| label == "dead");
        // What somebody else has put there is not to be had for letters, and can go.
        let owner = self.flows.get(flow).map(|flow| &flow.owner);
        let dead = |processor: &Processor| {
            may_be_dead
                && owner.is_none_or(|owner| *owner == processor.owner)
                && self.dead_flow_of(&processor.name).is_ok_and(|name| name == *flow)
        };
        let uses = |processor: &&Processor| {
            let named = processor.inputs.contains(flow) || processor.outputs.contains(flow);
            named || dead(processor)
        };
        self.processors.values().filter(uses).map(|processor| processor.name.clone()).collect()
    }

    /// Whether a name is free for a flow or a processor.
    pub(crate) fn check_free(&self, name: &Name) -> Result<(), RegistryError> {
        if self.subscribers.contains_key(name) {
            return Err(RegistryError::conflict(format!("subscription {name} exists")));
        }
        self.check_free_but_for_subscriptions(name)
    }

    /// The same for the flow of a subscription, which is called as that is.
    pub(crate) fn check_free_but_for_subscriptions(
        &self,
        name: &Name,
    ) -> Result<(), RegistryError> {
        if let Some(flow) = self.flows.get(name) {
            let words = match flow.status {
                FlowStatus::Deleting => "is being deleted",
                _ => "exists",
            };
            return Err(RegistryError::conflict(format!("flow {name} {words}")));
        }
        if self.processors.contains_key(name) {
            return Err(RegistryError::conflict(format!("processor {name} exists")));
        }
        if self.mirrors.contains_key(name) {
            return Err(RegistryError::conflict(format!("processor {name} exists")));
        }
        if self.namespaces.contains_key(name) {
            return Err(RegistryError::conflict(format!("namespace {name} exists")));
        }
        Ok(())
    }

    /// Entries about a name that are not ended, oldest first.
    pub(crate) fn pending_of<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Entry> {
        self.pending.values().filter(move |entry| entry.subject() == name)
    }

    /// One change of a thing at a time: the next one would not know what it starts from.
    pub(crate) fn check_settled(&self, name: &Name) -> Result<(), RegistryError> {
        match self.pending_of(name).next() {
            None => Ok(()),
            Some(entry) => Err(RegistryError::conflict(format!(
                "{} of {name} is under way",
                entry.intent.verb()
            ))),
        }
    }

    /// What a deletion of a name overtakes.
    pub(crate) fn superseded_by_deletion(&self, name: &Name) -> Vec<JournalId> {
        self.pending_of(name).map(|entry| entry.id).collect()
    }

    /// Rows that change when every step of an entry is made, and a topic with it.
    pub(crate) fn rows_when_done(&self, intent: &Intent, topic: Option<Uuid>) -> Vec<Row> {
        match intent {
            Intent::CreateFlow { flow } => match self.flows.get(&flow.name) {
                Some(row) if row.status == FlowStatus::Creating => {
                    let topic_id = topic.or(row.topic_id);
                    let status = FlowStatus::Active;
                    vec![Row::PutFlow(Flow { status, topic_id, ..row.clone() })]
                }
                _ => vec![],
            },
            Intent::DeleteFlow { flow, .. } => {
                let mut rows = self.rights_end(&flow.name);
                rows.extend(self.subscribers_go(&flow.name));
                rows.push(Row::DropFlow(flow.name.clone()));
                rows
            }
            Intent::DeleteProcessor { processor } => {
                let mut rows = self.rights_end(&processor.name);
                rows.push(Row::DropProcessor(processor.name.clone()));
                rows
            }
            // From where it was moved to it counts on what its inputs have now.
            Intent::MoveProcessor { processor, .. } => {
                let Some(row) = self.processors.get(&processor.name) else { return vec![] };
                let mut row = row.clone();
                for (name, partitions) in &mut row.input_partitions {
                    *partitions = self.flows.get(name).map_or(*partitions, |flow| flow.partitions);
                }
                vec![Row::PutProcessor(row)]
            }
            _ => vec![],
        }
    }
}

/// Rows that change when an entry was refused: as it was before. `None` where there is no way back.
pub(crate) fn rows_when_undone(intent: &Intent) -> Option<Vec<Row>> {
    Some(match intent {
        Intent::CreateFlow { flow } => vec![Row::DropFlow(flow.name.clone())],
        Intent::CreateProcessor { processor } => vec![Row::DropProcessor(processor.name.clone())],
        Intent::UpdateFlow { before, .. } => vec![Row::PutFlow(before.clone())],
        Intent::DeleteFlow { before, .. } if before.is_usable() => {
            vec![Row::PutFlow(before.clone())]
        }
        // It was never whole: there is nothing to go back to.
        Intent::DeleteFlow { .. } => return None,
        Intent::UpdateProcessor { before, .. } => {
            vec![Row::PutProcessor(Processor::clone(before))]
        }
        Intent::PurgeFlow { .. } | Intent::MoveProcessor { .. } | Intent::Settled { .. } => vec![],
        Intent::DeleteProcessor { .. } => return None,
    })
}

/// Ended entries that are kept, so that whoever waits for one (or asks after a lost reply) hears how
/// it ended; the oldest go first. A command waits a minute at most, no host ends 1,000 in that time
/// without the one that waits having been told.
pub(crate) const KEPT_ENTRIES: usize = 1_000;
