//! Subscriptions that somebody here has to flows elsewhere, or of this very host: how far each has come, and what stands in its way.
//!
//! A row is made before the other participant hears anything, and goes after he was told of the end: so whatever a crash
//! interrupts is known afterwards. Asks nobody and carries nothing; that is for whoever looks after the rows.

mod row;

use fnap::subject::Subject;
use host_events::clock::now;
use uuid::Uuid;

use crate::Name;
use crate::error::RegistryError;
use crate::grants::Maker;
use crate::limits::MAX_CONFIG_VALUE;
use crate::model::Flow;
use crate::registry::{Note, Registry, Settled};
use crate::state::{Row, State};
pub use row::{Condition, ConditionKind, Most, NewSubscription, Stage, Subscription, Transport};

/// Subscriptions of a host: each is a processor, and a tenth of those that there may be is left to others.
pub const MAX_SUBSCRIPTIONS: usize = 9_000;

impl State {
    /// Whose the flows are that count: with those that subscriptions will make, without what lies elsewhere.
    pub(crate) fn owners_of_flows(&self) -> impl Iterator<Item = Option<&Subject>> {
        let here = self.flows.values().filter(|flow| !flow.is_remote());
        let coming = self.coming().filter(|row| !self.flows.contains_key(&row.local));
        here.map(|flow| flow.owner.as_ref()).chain(coming.map(|row| row.owner.as_ref()))
    }

    /// The same of processors.
    pub(crate) fn owners_of_processors(&self) -> impl Iterator<Item = Option<&Subject>> {
        let here = self.processors.values().map(|processor| processor.owner.as_ref());
        let coming = self.coming().filter(|row| !self.processors.contains_key(&row.processor));
        here.chain(coming.map(|row| row.owner.as_ref()))
    }

    /// The namespace that a local name counts to: the one that it lies in, or, of an alias, the one whose name and a hyphen
    /// it begins with.
    pub(crate) fn counts_to(&self, local: &Name) -> Option<Name> {
        let begins = |name: &&Name| {
            local.as_str().strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('-'))
        };
        let within = self.namespace_of(local).map(|one| &one.name);
        let names = self.namespaces.keys().filter(begins);
        within.or_else(|| names.max_by_key(|name| name.as_str().len())).cloned()
    }

    /// Whether a flow is this host's: in one of its namespaces, or an alias that nobody else knows.
    fn is_here(&self, flow: &Name) -> bool {
        let is_alias = self.flows.get(flow).is_some_and(|flow| !flow.is_remote());
        is_alias || self.namespace_of(flow).is_some()
    }

    /// Subscriptions whose flow and processor may yet be made.
    fn coming(&self) -> impl Iterator<Item = &Subscription> {
        let open = |row: &&Subscription| {
            matches!(row.stage, Stage::Asking | Stage::Pending { .. } | Stage::Making)
        };
        self.subscriptions.values().filter(open)
    }

    fn begin(&self, new: NewSubscription) -> Result<Settled<Subscription>, RegistryError> {
        if let Some(row) = self.subscriptions.get(&new.local) {
            let same = row.flow == new.flow && row.owner == new.owner && row.filter == new.filter;
            let same = same && row.wanted == new.transport;
            return match row.stage {
                // Whoever lost the answer asks again.
                Stage::Asking | Stage::Pending { .. } | Stage::Making | Stage::Active if same => {
                    Ok(Settled::nothing(row.clone()))
                }
                // Whoever wants again what he has just taken back need not wait until its owner was told.
                Stage::Ending if same && row.remote.is_none() && !row.carried => {
                    let (stage, since) = (Stage::Asking, now());
                    let why = String::new();
                    let row = Subscription { stage, since, why, unheard: false, ..row.clone() };
                    let note = Note::new(&row.local, "subscription", String::new());
                    Ok(put(row, vec![note]))
                }
                _ => Err(RegistryError::conflict(taken(row))),
            };
        }
        self.check_local(&new.local)?;
        self.check_free(&new.processor)?;
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(RegistryError::TooMany { what: "subscriptions", limit: MAX_SUBSCRIPTIONS });
        }
        if new.filter.as_ref().is_some_and(|filter| filter.len() > MAX_CONFIG_VALUE) {
            return Err(RegistryError::TooMany {
                what: "octets of a filter",
                limit: MAX_CONFIG_VALUE,
            });
        }
        let maker = |most| Maker { owner: new.owner.clone(), most };
        Self::check_most(&maker(new.most.flows), "flows", self.owners_of_flows())?;
        let processors = self.owners_of_processors();
        Self::check_most(&maker(new.most.processors), "processors", processors)?;
        let at = now();
        let row = Subscription {
            here: self.is_here(&new.flow),
            local: new.local,
            flow: new.flow,
            reference: Uuid::new_v4(),
            filter: new.filter,
            wanted: new.transport,
            transport: new.transport.unwrap_or_default(),
            owner: new.owner,
            remote: None,
            processor: new.processor,
            stage: Stage::Asking,
            carried: false,
            cleared: false,
            unheard: false,
            since: at,
            why: String::new(),
            condition: None,
            created_at: at,
        };
        let note = Note::new(&row.local, "subscription", String::new());
        Ok(put(row, vec![note]))
    }

    /// Whether a name is free for a local flow.
    fn check_local(&self, local: &Name) -> Result<(), RegistryError> {
        if self.flows.get(local).is_some_and(Flow::is_usable) {
            let words = format!(
                "flow {local} exists: a subscription makes its own, so DELETE FLOW {local} or choose another LOCAL"
            );
            return Err(RegistryError::conflict(words));
        }
        self.check_free(local)
    }

    fn advance(
        &self,
        local: &Name,
        change: impl FnOnce(&mut Subscription),
    ) -> Result<Settled<Subscription>, RegistryError> {
        let before = self.subscriptions.get(local);
        let before = before.ok_or_else(|| RegistryError::not_found("subscription", local))?;
        let mut row = before.clone();
        change(&mut row);
        if row.stage != Stage::Active {
            row.condition = None;
        }
        if row == *before {
            return Ok(Settled::nothing(row));
        }
        if (&row.stage, row.why.is_empty()) != (&before.stage, before.why.is_empty()) {
            row.since = now();
        }
        let notes = if row.stage == before.stage {
            vec![]
        } else {
            let words = format!("{} {}", row.stage.as_str(), row.why);
            vec![Note::new(local, "subscription", words.trim_end().to_owned())]
        };
        Ok(put(row, notes))
    }
}

/// Why nothing else can be subscribed to under a local name, and what helps.
fn taken(row: &Subscription) -> String {
    let Subscription { local, flow, .. } = row;
    match row.stage {
        Stage::Ended => {
            format!(
                "the subscription of {local} to {flow} has ended: UNSUBSCRIBE {local} forgets it"
            )
        }
        Stage::Ending => format!("{local} is being unsubscribed from {flow}: try again later"),
        _ => format!(
            "{local} is subscribed to {flow} already, by somebody else or with another filter or transport: UNSUBSCRIBE {local}, or choose another LOCAL"
        ),
    }
}

fn put(row: Subscription, notes: Vec<Note>) -> Settled<Subscription> {
    Settled { rows: vec![Row::PutSubscription(Box::new(row.clone()))], notes, answer: row }
}

impl Registry {
    /// Writes down that somebody wants a subscription. The same again is the same one.
    ///
    /// # Errors
    /// `Conflict` when a name is taken, `TooMany`, `OverQuota`.
    pub async fn begin_subscription(
        &self,
        new: NewSubscription,
    ) -> Result<Subscription, RegistryError> {
        self.settled(move |state| state.begin(new)).await
    }

    /// Writes down how far it has come.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn advance_subscription(
        &self,
        local: &Name,
        change: impl FnOnce(&mut Subscription) + Send + 'static,
    ) -> Result<Subscription, RegistryError> {
        let local = local.clone();
        self.settled(move |state| state.advance(&local, change)).await
    }

    /// Forgets one that ends: nothing of it is left anywhere.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn forget_subscription(&self, local: &Name) -> Result<(), RegistryError> {
        let local = local.clone();
        self.settled(move |state| {
            let row = state.subscriptions.get(&local);
            if row.is_none_or(|row| row.stage != Stage::Ending) {
                return Ok(Settled::nothing(()));
            }
            let notes = vec![Note::new(&local, "end", String::new())];
            Ok(Settled { rows: vec![Row::DropSubscription(local)], notes, answer: () })
        })
        .await
    }

    /// The namespace that a local flow counts to: the one that it lies in, or, of an alias, the one whose name and a hyphen
    /// it begins with.
    ///
    /// # Errors
    /// `NoNamespace`.
    pub fn counts_to(&self, local: &Name) -> Result<Name, RegistryError> {
        self.look(|state| state.counts_to(local))
            .ok_or_else(|| RegistryError::NoNamespace { name: local.to_string() })
    }

    /// A subscription by its local flow, or by the name that its owner gave it.
    #[must_use]
    pub fn subscription(&self, name: &Name) -> Option<Subscription> {
        self.look(|state| {
            let by_remote = || {
                let mut rows = state.subscriptions.values();
                rows.find(|row| row.remote.as_ref() == Some(name))
            };
            state.subscriptions.get(name).or_else(by_remote).cloned()
        })
    }

    /// The subscription that a processor carries, if it does.
    #[must_use]
    pub fn carried_by(&self, processor: &Name) -> Option<Subscription> {
        self.look(|state| {
            let mut rows = state.subscriptions.values();
            rows.find(|row| row.processor == *processor).cloned()
        })
    }

    /// All of them, by their local flows.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Subscription> {
        self.look(|state| state.subscriptions.values().cloned().collect())
    }
}
