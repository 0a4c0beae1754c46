//! What changes of rows mean to the two ends of a subscription.
//!
//! Says who, what and why, and nothing that its reader could not ask the host for: no filter, no policy, no configuration.

use fnap::subject::Subject;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Draft, is_reports};
use crate::Name;
use crate::state::{Row, State};
use crate::subscribers::{Hold, Request, Subscriber, Why};
use crate::subscriptions::{Stage, Subscription};

/// How the word of an owner's host begins who has taken something away.
const FORBIDDEN: &str = "403 ";

/// What is told: a kind, and data.
type Told = Option<(&'static str, Value)>;

/// Who has a subscription, or asks for one, to what, and by what he knows it.
#[derive(Clone, Copy)]
struct Of<'a> {
    flow: &'a Name,
    principal: &'a Subject,
    reference: Option<Uuid>,
}

impl<'a> Of<'a> {
    const fn request(row: &'a Request) -> Self {
        Self { flow: &row.flow, principal: &row.principal, reference: row.reference }
    }

    const fn subscriber(row: &'a Subscriber) -> Self {
        Self { flow: &row.flow, principal: &row.principal, reference: row.reference }
    }
}

impl State {
    /// What the rows that are about to change mean. `by` is who does it.
    pub(super) fn reports(&self, rows: &[Row], by: &str, at: i64) -> Vec<Draft> {
        rows.iter().flat_map(|row| self.report(row, rows, by, at)).collect()
    }

    fn report(&self, row: &Row, all: &[Row], by: &str, at: i64) -> Vec<Draft> {
        match row {
            Row::PutRequest(new) => {
                let old = self.requests.get(&new.id);
                self.to_owner(Of::request(new), &new.flow, request(old, new))
            }
            Row::DropRequest(id) => match self.requests.get(id) {
                Some(old) if !is_answered(old, all) => {
                    self.to_owner(Of::request(old), &old.flow, gone(old, at))
                }
                _ => vec![],
            },
            Row::PutSubscriber(new) => {
                let old = self.subscribers.get(&new.name);
                let told = subscriber(old, new, by).into_iter();
                let to_owner = |told| self.to_owner(Of::subscriber(new), &new.name, Some(told));
                told.flat_map(to_owner).collect()
            }
            Row::DropSubscriber(name) => match self.subscribers.get(name) {
                Some(old) if old.is_live() => {
                    let told = ("subscriber.ended", with(old, &[("why", "deleted")]));
                    self.to_owner(Of::subscriber(old), name, Some(told))
                }
                _ => vec![],
            },
            Row::PutSubscription(new) => self.to_subscriber(new),
            _ => vec![],
        }
    }

    /// What users of this host do among themselves is for the audit log, but where one of them subscribes as others do.
    fn to_owner(&self, row: Of<'_>, subject: &Name, told: Told) -> Vec<Draft> {
        let Of { flow, principal, reference } = row;
        if !matches!(principal, Subject::Domain(_)) && !self.is_by_a_local(reference) {
            return vec![];
        }
        let namespace = match self.flows.get(flow) {
            _ if is_reports(flow) => None,
            Some(flow) => Some(flow.namespace.clone()),
            None => self.namespace_of(flow).map(|namespace| namespace.name.clone()),
        };
        draft(namespace, subject, told)
    }

    /// Whether a reference is that of a subscription of this host's own.
    fn is_by_a_local(&self, reference: Option<Uuid>) -> bool {
        let same = |row: &Subscription| row.here && Some(row.reference) == reference;
        reference.is_some() && self.subscriptions.values().any(same)
    }

    fn to_subscriber(&self, new: &Subscription) -> Vec<Draft> {
        let told = self.subscriptions.get(&new.local).and_then(|old| subscription(old, new));
        // Where its namespace is gone nobody is told: those of another one are none of whom it concerns.
        let namespace = match told {
            Some(_) if !is_reports(&new.flow) => self.counts_to(&new.local),
            _ => None,
        };
        draft(namespace, &new.local, told)
    }
}

fn draft(namespace: Option<Name>, subject: &Name, told: Told) -> Vec<Draft> {
    let draft = |((kind, data), namespace)| {
        let subject = subject.to_string();
        Draft { namespace, kind, subject, data }
    };
    told.zip(namespace).map(draft).into_iter().collect()
}

fn request(old: Option<&Request>, new: &Request) -> Told {
    let mut data = about(new);
    let denial = match old {
        None => return Some(("subscriber.requested", data)),
        Some(old) if old.denied == new.denied => return None,
        Some(_) => new.denied.as_ref()?,
    };
    put(&mut data, "by", denial.by.to_string());
    if let Some(reason) = &denial.reason {
        put(&mut data, "reason", reason.clone());
    }
    Some(("subscriber.denied", data))
}

/// A request that nobody answered, or that who has asked takes back.
fn gone(old: &Request, at: i64) -> Told {
    let kind = match at >= old.expires_at {
        // The no was told when it was said.
        _ if old.denied.is_some() => return None,
        true => "subscriber.expired",
        false => "subscriber.withdrawn",
    };
    Some((kind, about(old)))
}

/// Whether a request goes because there is a subscription instead, or with its flow.
fn is_answered(request: &Request, rows: &[Row]) -> bool {
    rows.iter().any(|row| match row {
        Row::PutSubscriber(row) => row.key() == request.key(),
        Row::DropFlow(flow) => *flow == request.flow,
        _ => false,
    })
}

fn about(row: &Request) -> Value {
    json!({
        "request": row.id,
        "flow": row.flow.to_string(),
        "principal": row.principal.to_string(),
    })
}

fn subscriber(old: Option<&Subscriber>, new: &Subscriber, by: &str) -> Vec<(&'static str, Value)> {
    let mut told = Vec::new();
    let was = |seen: fn(&Subscriber) -> bool| old.is_some_and(seen);
    match &new.approval {
        Some(yes) if !was(|old| old.approval.is_some()) => {
            let facts = [("by", &*yes.by.to_string()), ("request", &*yes.request)];
            told.push(("subscriber.approved", with(new, &facts)));
        }
        None if old.is_none() => told.push(("subscriber.subscribed", with(new, &[]))),
        _ => {}
    }
    if new.attached_at.is_some() && !was(|old| old.attached_at.is_some()) {
        told.push(("subscriber.attached", with(new, &[])));
    }
    if new.hold != old.map_or(Hold::Active, |old| old.hold) {
        let kind = match new.hold {
            Hold::Active => "subscriber.resumed",
            Hold::Paused => "subscriber.paused",
            Hold::Stopped => "subscriber.stopped",
        };
        told.push((kind, with(new, &[("by", by)])));
    }
    match &new.failure {
        Some(failure) if old.is_some_and(|old| old.failure != new.failure) => {
            told.push(("subscriber.policy-failed", with(new, &[("reason", &failure.words)])));
        }
        _ => {}
    }
    match &new.ended {
        Some(end) if !was(|old| old.ended.is_some()) => {
            let mut facts = vec![("why", end.why.as_str()), ("reason", &*end.words)];
            if end.why == Why::Removed {
                facts.push(("by", by));
            }
            told.push(("subscriber.ended", with(new, &facts)));
        }
        _ => {}
    }
    told
}

fn with(row: &Subscriber, facts: &[(&str, &str)]) -> Value {
    let mut data = json!({
        "subscription": row.name.to_string(),
        "flow": row.flow.to_string(),
        "principal": row.principal.to_string(),
    });
    for (key, fact) in facts {
        put(&mut data, key, (*fact).to_owned());
    }
    data
}

fn subscription(old: &Subscription, new: &Subscription) -> Told {
    let mut data = Map::new();
    let mut say = |key: &str, text: String| drop(data.insert(key.to_owned(), Value::String(text)));
    say("flow", new.flow.to_string());
    say("local", new.local.to_string());
    if let Some(remote) = &new.remote {
        say("subscription", remote.to_string());
    }
    let kind = match (&old.stage, &new.stage) {
        (before, now) if before == now => return condition(old, new, data),
        (_, Stage::Pending { request }) => {
            say("request", request.clone());
            "subscription.pending"
        }
        (Stage::Pending { .. }, Stage::Making) => "subscription.approved",
        (_, Stage::Active) => "subscription.active",
        (before, Stage::Ended) => {
            say("reason", new.why.clone());
            match before {
                Stage::Pending { .. } => "subscription.denied",
                _ if new.why.starts_with(FORBIDDEN) => "subscription.revoked",
                _ => "subscription.ended",
            }
        }
        (Stage::Pending { .. } | Stage::Making | Stage::Active, Stage::Ending) => {
            say("reason", "by the subscriber".to_owned());
            "subscription.ended"
        }
        _ => return None,
    };
    Some((kind, Value::Object(data)))
}

/// What stands in the way of an active one, and when nothing does any more.
fn condition(old: &Subscription, new: &Subscription, mut data: Map<String, Value>) -> Told {
    let kind = |row: &Subscription| row.condition.as_ref().map(|condition| condition.kind);
    if new.stage != Stage::Active || kind(old) == kind(new) {
        return None;
    }
    let kind = match (&new.condition, &old.condition) {
        (Some(now), _) => {
            if !now.words.is_empty() {
                data.insert("reason".to_owned(), now.words.clone().into());
            }
            data.extend(now.facts.iter().map(|(key, fact)| (key.clone(), (*fact).into())));
            now.kind.begins()
        }
        (None, Some(before)) => before.kind.ends(),
        (None, None) => return None,
    };
    Some((kind, Value::Object(data)))
}

fn put(data: &mut Value, key: &str, text: String) {
    if let Value::Object(data) = data {
        data.insert(key.to_owned(), Value::String(text));
    }
}
