//! What takes in flows by a pattern: those that are there, and those that come later.
//!
//! A row says what is wanted. Who looks for flows and makes what is missing (`host-processors`) makes
//! ordinary flows and processors, which stay when the row goes.

use std::collections::BTreeMap;

use fnap::command::MirrorTo;
use fnap::pattern::Pattern;
use fnap::subject::Subject;
use host_events::clock::now;
use serde::{Deserialize, Serialize};

use crate::Name;
use crate::error::RegistryError;
use crate::grants::Maker;
use crate::journal::{Intent, JournalId};
use crate::limits::{MAX_ENDS, check_options, check_processor_config};
use crate::model::{Config, Flow, Processor, Start};
use crate::registry::Registry;
use crate::state::{Decision, Row, State};

/// A pattern, and what is made of the flows that it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// Its name, unlike that of any flow, processor or namespace.
    pub name: Name,
    /// Which flows are read.
    pub from: Pattern,
    /// Where to.
    pub to: MirrorTo,
    /// Where flows are read from that were there before it; later ones from their beginning.
    pub start: Start,
    /// Options of its processors.
    pub options: Config,
    /// Configuration of their plugin, JSON.
    pub config: String,
    /// Whose it is, and by whose rights it takes flows in; none where an earlier version did not ask.
    #[serde(default)]
    pub owner: Option<Subject>,
    /// When it was created.
    pub created_at: i64,
    /// How many changes the registry had seen then; 0 where that was not counted yet.
    #[serde(default)]
    pub made: u64,
}

impl Mirror {
    /// Whether a flow was there before it. Clocks are asked only where nothing else is known: they jump, and two
    /// things are made within a millisecond.
    #[must_use]
    pub fn found(&self, flow: &Flow) -> bool {
        match (flow.made, self.made) {
            (0, 0) => flow.created_at <= self.created_at,
            (flow, mirror) => flow < mirror,
        }
    }

    /// The type of its processors.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.to {
            MirrorTo::Each(_) => "bridge",
            MirrorTo::One(_) => "collector",
        }
    }

    /// A name that lies where its outputs do.
    ///
    /// # Errors
    /// When there is none.
    pub fn output(&self) -> Result<Name, RegistryError> {
        match &self.to {
            MirrorTo::One(to) => Ok(to.clone()),
            MirrorTo::Each(to) => {
                to.fill("x").map_err(|error| RegistryError::invalid(error.to_string()))
            }
        }
    }

    /// Flows that a pattern means and that nothing stands against. What patterns have made, and dead
    /// letters, are taken in by none, or one event could go round for ever under ever longer names.
    fn takes(&self, state: &State, flow: &Name, made: &BTreeMap<&Name, ()>) -> bool {
        let is_output = matches!(&self.to, MirrorTo::One(to) if to == flow);
        let is_lent = state.subscribers.contains_key(flow);
        !is_output && !is_lent && self.from.star_of(flow).is_some() && !made.contains_key(flow) && {
            let dead = |processor: &Processor| state.dead_flow_of(&processor.name).ok();
            let may_be_dead = flow.labels().any(|label| label == "dead");
            !may_be_dead || !state.processors.values().filter_map(dead).any(|dead| dead == *flow)
        }
    }
}

impl State {
    fn create_mirror(
        &self,
        mut mirror: Mirror,
        most: Option<u64>,
    ) -> Result<Decision, RegistryError> {
        mirror.made = self.revision;
        let none = |name: &Name| RegistryError::NoNamespace { name: name.to_string() };
        self.namespace_of(&mirror.name).ok_or_else(|| none(&mirror.name))?;
        self.check_free(&mirror.name)?;
        if self.mirrors.len() >= MAX_MIRRORS {
            return Err(RegistryError::TooMany { what: "patterns", limit: MAX_MIRRORS });
        }
        let owners = self.mirrors.values().map(|mirror| mirror.owner.as_ref());
        let maker = Maker { owner: mirror.owner.clone(), most };
        Self::check_most(&maker, "patterns", owners)?;
        check_options(&mirror.options)?;
        check_processor_config(&mirror.config)?;
        let output = mirror.output()?;
        match &mirror.to {
            MirrorTo::One(to) => drop(self.usable_flow(to)?),
            MirrorTo::Each(_) => drop(self.namespace_of(&output).ok_or_else(|| none(&output))?),
        }
        if matches!(mirror.to, MirrorTo::Each(_)) && mirror.from.star_of(&output).is_some() {
            let words = format!("{} would take in what it makes", mirror.from);
            return Err(RegistryError::conflict(words));
        }
        let name = mirror.name.clone();
        Ok(Decision::settled(vec![Row::PutMirror(mirror)], &name, "creation"))
    }

    fn delete_mirror(&self, name: &Name) -> Result<Decision, RegistryError> {
        if !self.mirrors.contains_key(name) {
            return Err(RegistryError::not_found("processor", name));
        }
        let mut rows = self.rights_end(name);
        rows.push(Row::DropMirror(name.clone()));
        Ok(Decision::settled(rows, name, "deletion"))
    }

    /// Lets a processor read more flows, from their beginning.
    fn add_inputs(&self, name: &Name, more: &[Name]) -> Result<Decision, RegistryError> {
        self.check_settled(name)?;
        let before = self.find_processor(name)?.clone();
        let mut after = Processor { revision: before.revision + 1, ..before.clone() };
        for input in more.iter().filter(|input| !before.inputs.contains(input)) {
            let flow = self.usable_flow(input)?;
            after.inputs.push(input.clone());
            after.input_incarnations.insert(input.clone(), flow.incarnation);
            // All that is in it was written since.
            after.input_partitions.insert(input.clone(), 0);
        }
        if after.inputs.len() > MAX_ENDS {
            return Err(RegistryError::TooMany { what: "flows on one side", limit: MAX_ENDS });
        }
        let rows = vec![Row::PutProcessor(after.clone())];
        Ok(Decision::change(rows, Intent::UpdateProcessor { before: Box::new(before), after }))
    }

    fn taken_by(&self, mirror: &Mirror) -> Vec<Name> {
        let made = self.processors.values().filter(|processor| processor.mirror.is_some());
        let made =
            made.flat_map(|processor| processor.outputs.iter().map(|name| (name, ()))).collect();
        let usable = |name: &&Name| self.usable_flow(name).is_ok();
        let flows = self.flows.keys().filter(usable);
        flows.filter(|flow| mirror.takes(self, flow, &made)).cloned().collect()
    }
}

impl Registry {
    /// Creates a mirror; what it wants is made from then on. Its owner may have so many.
    ///
    /// # Errors
    /// `NoNamespace`, `NotFound`, `Conflict`, `Invalid`, `TooMany`, `OverQuota`.
    pub async fn create_mirror(
        &self,
        mut mirror: Mirror,
        most: Option<u64>,
    ) -> Result<JournalId, RegistryError> {
        mirror.created_at = now();
        self.command(move |state| state.create_mirror(mirror, most)).await
    }

    /// Takes in nothing more. What was made stays.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_mirror(&self, name: &Name) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.delete_mirror(&name)).await
    }

    /// All mirrors, by name.
    #[must_use]
    pub fn mirrors(&self) -> Vec<Mirror> {
        self.look(|state| state.mirrors.values().cloned().collect())
    }

    /// Flows that a mirror means now.
    #[must_use]
    pub fn taken_by(&self, mirror: &Mirror) -> Vec<Name> {
        self.look(|state| state.taken_by(mirror))
    }

    /// Lets a processor read more flows, from their beginning.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while something else of it is under way, `TooMany`.
    pub async fn add_inputs(
        &self,
        name: &Name,
        more: Vec<Name>,
    ) -> Result<JournalId, RegistryError> {
        let name = name.clone();
        self.command(move |state| state.add_inputs(&name, &more)).await
    }
}

/// Mirrors of a host. Each is looked after again and again.
const MAX_MIRRORS: usize = 1_000;

/// Mirrors of one who does not administer the whole host: a tenth, so that nobody leaves nothing to all others.
pub const MAX_MIRRORS_OF_ONE: u64 = 100;
