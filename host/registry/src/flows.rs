//! What may be done with flows.

use host_events::Incarnation;
use host_events::clock::now;
use uuid::Uuid;

use crate::Name;
use crate::access::{ACCESS, Access};
use crate::error::RegistryError;
use crate::journal::Intent;
use crate::limits::{MAX_FLOWS, check_broker, check_config, check_partitions, check_topic};
use crate::model::{Flow, FlowChange, FlowStatus, HOST_KEYS, NewFlow, PROTECTED, Taken};
use crate::publish::{PUBLISH, Publish};
use crate::state::{Change, Decision, Row, State};
use crate::views::{POLICY, check_policy};
use crate::words::some_of;

impl State {
    pub(crate) fn create_flow(&self, new: NewFlow) -> Result<Decision, RegistryError> {
        let (namespace, alias) = match (self.namespace_of(&new.name), &new.alias_of) {
            (Some(namespace), _) => (namespace, false),
            (None, Some(name)) => (self.find_namespace(name)?, true),
            (None, None) => {
                return Err(RegistryError::NoNamespace { name: new.name.to_string() });
            }
        };
        if new.for_subscription {
            self.check_free_but_for_subscriptions(&new.name)?;
        } else {
            self.check_free(&new.name)?;
        }
        if self.flows.len() >= MAX_FLOWS {
            return Err(RegistryError::TooMany { what: "flows", limit: MAX_FLOWS });
        }
        Self::check_most(&new.maker, "flows", self.owners_of_flows())?;
        let flow = Flow {
            namespace: namespace.name.clone(),
            incarnation: Incarnation(Uuid::new_v4()),
            broker: new.broker.unwrap_or_else(|| namespace.broker.clone()),
            topic: new.topic.unwrap_or_else(|| new.name.to_string()),
            topic_id: new.topic_id,
            name: new.name,
            partitions: new.partitions,
            replication: new.replication,
            config: new.config,
            owned: new.owned,
            status: FlowStatus::Creating,
            owner: new.maker.owner,
            revision: 1,
            created_at: now(),
            made: self.revision,
            alias,
        };
        let flow = if flow.owned { flow } else { protected(flow) };
        check_flow(&flow)?;
        self.check_topic_free(&flow)?;
        Ok(Decision::change(vec![Row::PutFlow(flow.clone())], Intent::CreateFlow { flow }))
    }

    pub(crate) fn update_flow(
        &self,
        name: &Name,
        change: FlowChange,
    ) -> Result<Decision, RegistryError> {
        let before = self.usable_flow(name)?.clone();
        let mut after = before.clone();
        after.config.extend(change.config);
        // Without it everybody gets everything.
        if after.policy() == Some("") {
            after.config.remove(POLICY);
        }
        after.partitions = change.partitions.unwrap_or(before.partitions);
        after.revision += 1;
        if let Some(taken) = change.taken {
            after = take_over(after, taken)?;
            self.check_topic_free(&after)?;
        }
        check_flow(&after)?;
        self.check_lent(&before, &after)?;
        if after.incarnation == before.incarnation && after.partitions < before.partitions {
            let words = format!("flow {name} has {} partitions: never fewer", before.partitions);
            return Err(RegistryError::invalid(words));
        }
        Ok(Decision::change(
            vec![Row::PutFlow(after.clone())],
            Intent::UpdateFlow { before, after },
        ))
    }

    /// A flow's topic has gained partitions by somebody else's hand. `None` where that is known, or is
    /// about another life of it.
    pub(crate) fn flow_grew(
        &self,
        name: &Name,
        life: Incarnation,
        partitions: u32,
    ) -> Option<Decision> {
        let flow = self.usable_flow(name).ok()?;
        if flow.incarnation != life || flow.partitions >= partitions {
            return None;
        }
        let grown = Flow { partitions, revision: flow.revision + 1, ..flow.clone() };
        check_flow(&grown).ok()?;
        Some(Decision::settled(vec![Row::PutFlow(grown)], name, "growth"))
    }

    /// Holds a flow or lets it go on. Asking for what already is changes nothing.
    pub(crate) fn hold_flow(&self, name: &Name, hold: bool) -> Result<Decision, RegistryError> {
        let mut flow = self.usable_flow(name)?.clone();
        flow.status = if hold { FlowStatus::Paused } else { FlowStatus::Active };
        flow.revision += 1;
        let verb = if hold { "pause" } else { "resumption" };
        Ok(Decision::settled(vec![Row::PutFlow(flow)], name, verb))
    }

    pub(crate) fn purge_flow(&self, name: &Name) -> Result<Decision, RegistryError> {
        let flow = self.usable_flow(name)?.clone();
        check_unprotected(&flow)?;
        Ok(Decision::change(vec![], Intent::PurgeFlow { flow }))
    }

    /// Deletes a flow; one whose topic we made is destroyed with its events, another is released.
    pub(crate) fn delete_flow(&self, name: &Name) -> Result<Decision, RegistryError> {
        let before = self.find_flow(name)?.clone();
        if before.status == FlowStatus::Deleting {
            return self.deletion_under_way(name);
        }
        let mut users = self.users_of_flow(name);
        users.extend(self.subscribers_of(name).map(|row| row.name.clone()));
        if !users.is_empty() {
            let words = format!("flow {name} is used by {}", some_of(&users));
            return Err(RegistryError::conflict(words));
        }
        if before.owned {
            check_unprotected(&before)?;
        }
        let mut flow = Flow { status: FlowStatus::Deleting, ..before.clone() };
        flow.revision += 1;
        Ok(Decision::Change(Box::new(Change {
            rows: vec![Row::PutFlow(flow.clone())],
            intent: Intent::DeleteFlow { before, flow },
            supersedes: self.superseded_by_deletion(name),
        })))
    }

    /// A second deletion waits for the first one.
    pub(crate) fn deletion_under_way(&self, name: &Name) -> Result<Decision, RegistryError> {
        match self.pending_of(name).find(|entry| entry.intent.is_deletion()) {
            Some(entry) => Ok(Decision::Already(entry.id)),
            None => Err(RegistryError::Damaged(format!("{name} is going, but nobody deletes it"))),
        }
    }

    /// A flow that is neither being made nor on its way out, with nothing else under way.
    pub(crate) fn usable_flow(&self, name: &Name) -> Result<&Flow, RegistryError> {
        let flow = self.find_flow(name)?;
        self.check_settled(name)?;
        if flow.is_usable() {
            return Ok(flow);
        }
        let words = format!("flow {name} is half made, but nobody goes on with it");
        Err(RegistryError::Damaged(words))
    }

    fn check_topic_free(&self, new: &Flow) -> Result<(), RegistryError> {
        let same = |flow: &&Flow| {
            flow.broker == new.broker && flow.topic == new.topic && flow.name != new.name
        };
        match self.flows.values().find(same) {
            None => Ok(()),
            Some(flow) => Err(RegistryError::conflict(format!(
                "topic {} belongs to flow {}",
                new.topic, flow.name
            ))),
        }
    }
}

/// The flow with another topic, which is another life of it; or as it is where it has that one.
fn take_over(flow: Flow, taken: Taken) -> Result<Flow, RegistryError> {
    if taken.id.is_some() && (&flow.topic, flow.topic_id) == (&taken.topic, taken.id) {
        return Ok(flow);
    }
    if flow.owned && flow.topic != taken.topic {
        let words = format!("flow {} has topic {} of its own", flow.name, flow.topic);
        return Err(RegistryError::conflict(words));
    }
    Ok(protected(Flow {
        incarnation: Incarnation(Uuid::new_v4()),
        topic: taken.topic,
        topic_id: taken.id,
        partitions: taken.partitions,
        replication: None,
        // What was set was set on the former topic.
        config: flow.config.into_iter().filter(|(key, _)| HOST_KEYS.contains(&&**key)).collect(),
        owned: false,
        ..flow
    }))
}

/// Somebody else's events are not destroyed unless that is said in so many words.
fn protected(mut flow: Flow) -> Flow {
    flow.config.entry(PROTECTED.to_owned()).or_insert_with(|| "true".to_owned());
    flow
}

fn check_flow(flow: &Flow) -> Result<(), RegistryError> {
    check_broker(&flow.broker)?;
    check_topic(&flow.topic)?;
    check_partitions(flow.partitions)?;
    if let Some(access) = flow.config.get(ACCESS) {
        access.parse::<Access>().map_err(RegistryError::invalid)?;
    }
    if let Some(publish) = flow.config.get(PUBLISH) {
        publish.parse::<Publish>().map_err(RegistryError::invalid)?;
    }
    flow.policy().map_or(Ok(()), check_policy)?;
    check_config(&flow.config)
}

fn check_unprotected(flow: &Flow) -> Result<(), RegistryError> {
    if flow.is_protected() {
        let words = format!("flow {} is protected: its events are not destroyed", flow.name);
        return Err(RegistryError::conflict(words));
    }
    Ok(())
}
