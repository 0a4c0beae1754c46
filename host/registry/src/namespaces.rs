//! What may be done with namespaces.

use host_events::clock::now;

use crate::Name;
use crate::adoption::{ADOPT, Adoption};
use crate::error::RegistryError;
use crate::limits::{MAX_NAMESPACES, check_broker, check_config};
use crate::model::{Config, Namespace, NewNamespace};
use crate::state::{Decision, Row, State};
use crate::words::some_of;

impl State {
    pub(crate) fn create_namespace(&self, new: NewNamespace) -> Result<Decision, RegistryError> {
        if self.namespaces.contains_key(&new.name) {
            return Err(RegistryError::conflict(format!("namespace {} exists", new.name)));
        }
        self.check_free(&new.name)?;
        // A flow belongs to its longest suffix: a longer one would move flows behind their users' backs.
        let moves = |name: &Name| {
            self.namespace_of(name).is_some_and(|found| !found.name.is_within(&new.name))
        };
        let below: Vec<Name> = self.names_below(&new.name).into_iter().filter(moves).collect();
        if !below.is_empty() {
            let words = format!("{} would change hands: {}", plural(below.len()), some_of(&below));
            return Err(RegistryError::conflict(words));
        }
        if self.namespaces.len() >= MAX_NAMESPACES {
            return Err(RegistryError::TooMany { what: "namespaces", limit: MAX_NAMESPACES });
        }
        check_broker(&new.broker)?;
        check_config(&new.config)?;
        let NewNamespace { name, broker, config, owner } = new;
        let row = Namespace { name: name.clone(), broker, config, owner, created_at: now() };
        Ok(Decision::settled(vec![Row::PutNamespace(row)], &name, "creation"))
    }

    pub(crate) fn update_namespace(
        &self,
        name: &Name,
        config: Config,
    ) -> Result<Decision, RegistryError> {
        let mut row = self.find_namespace(name)?.clone();
        row.config.extend(config);
        check_config(&row.config)?;
        if let Some(adopt) = row.config.get(ADOPT) {
            Adoption::parse(adopt).map_err(RegistryError::invalid)?;
        }
        Ok(Decision::settled(vec![Row::PutNamespace(row)], name, "change"))
    }

    pub(crate) fn delete_namespace(&self, name: &Name) -> Result<Decision, RegistryError> {
        self.find_namespace(name)?;
        let inside = self.names_of_namespace(name);
        if !inside.is_empty() {
            let words = format!("namespace {name} holds {}", some_of(&inside));
            return Err(RegistryError::conflict(words));
        }
        let mut rows = self.rights_within_end(name);
        rows.push(Row::DropNamespace(name.clone()));
        Ok(Decision::settled(rows, name, "deletion"))
    }

    /// Flows and processors below a name, whoever's they are.
    fn names_below(&self, name: &Name) -> Vec<Name> {
        let names = self.flows.keys().chain(self.processors.keys()).chain(self.mirrors.keys());
        names.filter(|inner| inner.is_within(name)).cloned().collect()
    }

    /// Flows and processors that belong to a namespace.
    fn names_of_namespace(&self, namespace: &Name) -> Vec<Name> {
        let belongs =
            |name: &Name| self.namespace_of(name).is_some_and(|found| found.name == *namespace);
        self.names_below(namespace).into_iter().filter(belongs).collect()
    }
}

fn plural(count: usize) -> String {
    if count == 1 { "1 name".to_owned() } else { format!("{count} names") }
}
