//! Somebody subscribes, or asks whether he may; and what the owner lets a subscription do.

use fnap::subject::Subject;
use host_events::Incarnation;
use host_events::clock::now;
use uuid::Uuid;

use super::{
    Hold, MAX_FILTER, MAX_SUBSCRIBERS, MAX_SUBSCRIBERS_OF_FLOW, MAX_SUBSCRIBERS_OF_ONE, Subscriber,
    Why, check_length, random_id,
};
use crate::Name;
use crate::error::RegistryError;
use crate::model::Flow;
use crate::registry::{Note, Registry, Settled};
use crate::state::{Row, State};

/// What somebody wants.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The flow.
    pub flow: Name,
    /// Who.
    pub principal: Subject,
    /// By what he knows it: the same again is the same subscription.
    pub reference: Option<Uuid>,
    /// Which events he wants, in CEL.
    pub filter: Option<String>,
    /// Whether he may, by what was decided about him.
    pub way: Way,
    /// The broker that its topic is to lie at, where he wants one of his own.
    pub lend: Option<String>,
}

/// What somebody may who wants to subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Subscribe.
    Granted,
    /// Ask the owner.
    Ask,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// He is: the name of his subscription.
    To(Name),
    /// He waits for the owner's word: the id of his request.
    Pending(String),
}

/// What makes a subscription the same as another one.
pub(crate) type Key<'a> = (Incarnation, &'a Subject, Option<Uuid>);

impl Subscriber {
    pub(crate) const fn key(&self) -> Key<'_> {
        (self.incarnation, &self.principal, self.reference)
    }
}

impl State {
    fn subscribe(&self, asked: Asked, at: i64) -> Result<Settled<Subscribed>, RegistryError> {
        check_length("filter", asked.filter.as_deref(), MAX_FILTER)?;
        let flow = self.flow_in_use(&asked.flow)?;
        if let Some(row) =
            self.subscriptions.values().find(|row| row.remote.as_ref() == Some(&flow.name))
        {
            let words = format!("{} is a subscription: subscribe to {}", flow.name, row.local);
            return Err(RegistryError::conflict(words));
        }
        self.check_topic_of_subscriber(&asked.flow, &asked.flow)?;
        let key = (flow.incarnation, &asked.principal, asked.reference);
        let mut same = self.subscribers.values().filter(|row| row.key() == key);
        let found = match same.clone().find(|row| row.is_live()) {
            Some(live) => Some(live),
            None => same.next(),
        };
        match found {
            Some(row) if row.is_live() && (asked.way == Way::Granted || row.approval.is_some()) => {
                return known(row, &asked, at);
            }
            // Whoever asks again by himself takes the owner's word for an answer.
            Some(Subscriber { ended: Some(end), reference: Some(_), .. })
                if end.why == Why::Removed =>
            {
                return Err(RegistryError::Denied { words: end.words.clone() });
            }
            _ => {}
        }
        if asked.way == Way::Ask {
            return self.ask(flow, asked, at);
        }
        self.check_room(flow, &asked.principal)?;
        let row = Subscriber {
            name: self.free_name(&flow.name)?,
            flow: flow.name.clone(),
            incarnation: flow.incarnation,
            principal: asked.principal,
            reference: asked.reference,
            filter: asked.filter,
            approval: None,
            hold: Hold::Active,
            created_at: at,
            handed_at: Some(at),
            attached_at: None,
            failure: None,
            ended: None,
            lent: None,
        };
        let row = match asked.lend {
            Some(broker) => self.lend(row, broker)?,
            None => row,
        };
        let name = row.name.clone();
        let mut rows = self.former(&row);
        rows.push(Row::PutSubscriber(Box::new(row)));
        let note = Note::new(&name, "subscription", String::new());
        Ok(Settled { rows, notes: vec![note], answer: Subscribed::To(name) })
    }

    /// What goes when a subscription comes: an ended one that is the same, and what was asked for it.
    pub(super) fn former(&self, new: &Subscriber) -> Vec<Row> {
        let ended = self.subscribers.values().filter(|row| row.is_over() && row.key() == new.key());
        let asked = self.requests.values().filter(|row| row.key() == new.key());
        let ended = ended.map(|row| Row::DropSubscriber(row.name.clone()));
        ended.chain(asked.map(|row| Row::DropRequest(row.id.clone()))).collect()
    }

    /// Refuses one more subscription where there are as many as there may be.
    pub(super) fn check_room(&self, flow: &Flow, principal: &Subject) -> Result<(), RegistryError> {
        let live = || self.subscribers.values().filter(|row| row.is_live());
        let of_flow = live().filter(|row| row.flow == flow.name).count();
        let his = live().filter(|row| row.principal == *principal).count();
        if live().count() >= MAX_SUBSCRIBERS {
            return Err(RegistryError::TooMany { what: "subscribers", limit: MAX_SUBSCRIBERS });
        }
        if of_flow >= MAX_SUBSCRIBERS_OF_FLOW {
            let what = "subscribers of one flow";
            return Err(RegistryError::TooMany { what, limit: MAX_SUBSCRIBERS_OF_FLOW });
        }
        if his >= MAX_SUBSCRIBERS_OF_ONE {
            let (what, who) = ("subscriptions", principal.to_string());
            let most = MAX_SUBSCRIBERS_OF_ONE as u64;
            return Err(RegistryError::OverQuota { what, who, most });
        }
        Ok(())
    }

    /// A name for a subscription that nothing has and nobody guesses.
    pub(super) fn free_name(&self, flow: &Name) -> Result<Name, RegistryError> {
        let name = flow.child(&random_id()?).map_err(|error| {
            let words = format!("flow {flow} has no room for the names of subscriptions: {error}");
            RegistryError::conflict(words)
        })?;
        self.check_free(&name)?;
        Ok(name)
    }

    pub(super) fn flow_in_use(&self, name: &Name) -> Result<&Flow, RegistryError> {
        match self.find_flow(name)? {
            flow if flow.is_usable() => Ok(flow),
            _ => Err(RegistryError::not_found("flow", name)),
        }
    }

    fn hold_subscriber(&self, name: &Name, hold: Hold) -> Result<Settled<()>, RegistryError> {
        let row = self.find_subscriber(name)?;
        if let Some(end) = &row.ended {
            let words = format!("subscription {name} has ended: {}", end.words);
            return Err(RegistryError::conflict(words));
        }
        if row.hold == hold {
            return Ok(Settled::nothing(()));
        }
        let verb = match hold {
            Hold::Active => "resumption",
            Hold::Paused => "pause",
            Hold::Stopped => "stop",
        };
        let row = Subscriber { hold, ..row.clone() };
        Ok(Settled {
            rows: vec![Row::PutSubscriber(Box::new(row))],
            notes: vec![Note::new(name, verb, String::new())],
            answer: (),
        })
    }
}

/// The same was asked for before. Its ten minutes begin when it is heard of for the first time.
fn known(row: &Subscriber, asked: &Asked, at: i64) -> Result<Settled<Subscribed>, RegistryError> {
    if row.filter != asked.filter {
        let words = format!("{} has another filter: UNSUBSCRIBE, or give another REF", row.name);
        return Err(RegistryError::conflict(words));
    }
    if row.lent.is_some() != asked.lend.is_some() {
        let words = format!("{} has another transport: UNSUBSCRIBE, or give another REF", row.name);
        return Err(RegistryError::conflict(words));
    }
    let answer = Subscribed::To(row.name.clone());
    if row.handed_at.is_some() {
        return Ok(Settled::nothing(answer));
    }
    let row = Subscriber { handed_at: Some(at), ..row.clone() };
    let note = Note::new(&row.name, "subscription", String::new());
    Ok(Settled { rows: vec![Row::PutSubscriber(Box::new(row))], notes: vec![note], answer })
}

impl Registry {
    /// Somebody subscribes to a flow, or asks to. The same principal with the same reference gets the same
    /// answer for the same life of the flow.
    ///
    /// # Errors
    /// `NotFound`, `Denied` where the owner has said no, `Conflict` where the same has another filter, `Invalid`,
    /// `TooMany`, `OverQuota`.
    pub async fn subscribe_to(&self, asked: Asked) -> Result<Subscribed, RegistryError> {
        self.settled(move |state| state.subscribe(asked, now())).await
    }

    /// PAUSE, RESUME and STOP of a subscription that somebody has here. Repeats are harmless.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when it has ended.
    pub async fn hold_subscriber(&self, name: &Name, hold: Hold) -> Result<(), RegistryError> {
        let name = name.clone();
        self.settled(move |state| state.hold_subscriber(&name, hold)).await
    }
}
