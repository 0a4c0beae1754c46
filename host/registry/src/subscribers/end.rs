//! How subscriptions end: by either side's word, by a right that is gone, by time.

use fnap::command::Grant;
use fnap::rights::{Object, Right, Scope};
use fnap::subject::Subject;
use host_events::clock::now;
use uuid::Uuid;

use super::{End, MAX_ENDED_OF_ONE, REMEMBERED_FOR, Request, Subscriber, UNATTACHED_FOR, Why};
use crate::Name;
use crate::error::RegistryError;
use crate::model::Flow;
use crate::registry::{Note, Registry, Settled};
use crate::state::{Row, State};

/// The words of an end that the subscriber wanted.
const BY_SUBSCRIBER: &str = "by the subscriber";

impl State {
    /// A subscription that is over, and the oldest of those that its subscriber had before.
    fn ended(&self, row: &Subscriber, why: Why, words: String, at: i64) -> Vec<Row> {
        let over = |other: &&Subscriber| other.principal == row.principal && other.is_over();
        let mut before: Vec<_> = self.subscribers.values().filter(over).collect();
        before.sort_by_key(|row| row.ended.as_ref().map(|end| end.at));
        let many = (before.len() + 1).saturating_sub(MAX_ENDED_OF_ONE);
        let mut rows: Vec<Row> =
            before.iter().take(many).map(|row| Row::DropSubscriber(row.name.clone())).collect();
        let ended = Some(End { why, words, at });
        rows.push(Row::PutSubscriber(Box::new(Subscriber { ended, ..row.clone() })));
        rows
    }

    fn end_one(
        &self,
        name: &Name,
        his: Option<&Subject>,
        at: i64,
    ) -> Result<Settled<()>, RegistryError> {
        let row = self.find_subscriber(name)?;
        if his.is_some_and(|subscriber| row.principal != *subscriber) {
            return Err(RegistryError::not_found("subscription", name));
        }
        if !row.is_live() {
            return Ok(Settled::nothing(()));
        }
        let (why, words, verb) = match his {
            Some(_) => (Why::Unsubscribed, BY_SUBSCRIBER, "unsubscription"),
            None => (Why::Removed, "by the owner of the flow", "removal"),
        };
        let rows = self.ended(row, why, words.to_owned(), at);
        Ok(Settled { rows, notes: vec![Note::new(name, verb, String::new())], answer: () })
    }

    /// What somebody asked for under a reference: a subscription by now, or a request that waits. The owner's no
    /// stays what it is.
    fn withdraw(
        &self,
        flow: &Name,
        his: &Subject,
        reference: Uuid,
        at: i64,
    ) -> Result<Settled<()>, RegistryError> {
        let same = |other: &Name, who: &Subject, by: Option<Uuid>| {
            other == flow && who == his && by == Some(reference)
        };
        let subscriber = |row: &&Subscriber| same(&row.flow, &row.principal, row.reference);
        let request =
            |row: &&Request| same(&row.flow, &row.principal, row.reference) && row.denied.is_none();
        let mut subscribers = self.subscribers.values().filter(subscriber).peekable();
        let mut requests = self.requests.values().filter(request).peekable();
        if subscribers.peek().is_none() && requests.peek().is_none() {
            let name = format!("{flow} with ref {reference}");
            return Err(RegistryError::not_found("subscription", name));
        }
        let (mut rows, mut notes) = (Vec::new(), Vec::new());
        for row in subscribers.filter(|row| row.is_live()) {
            rows.extend(self.ended(row, Why::Unsubscribed, BY_SUBSCRIBER.to_owned(), at));
            notes.push(Note::new(&row.name, "unsubscription", String::new()));
        }
        for row in requests {
            rows.push(Row::DropRequest(row.id.clone()));
            notes.push(Note::new(flow, "withdrawal", format!("request {}", row.id)));
        }
        Ok(Settled { rows, notes, answer: () })
    }

    /// Ends those for which there are words against them.
    fn end_some(
        &self,
        why: Why,
        at: i64,
        against: impl Fn(&Subscriber, Option<&Flow>) -> Option<String>,
    ) -> Settled<usize> {
        let (mut rows, mut notes) = (Vec::new(), Vec::new());
        for row in self.subscribers.values().filter(|row| row.is_live()) {
            let Some(words) = against(row, self.flows.get(&row.flow)) else { continue };
            notes.push(Note::new(&row.name, "end", words.clone()));
            rows.extend(self.ended(row, why, words, at));
        }
        let answer = notes.len();
        Settled { rows, notes, answer }
    }

    /// What a REVOKE takes from who was approved: that was a right, too.
    pub(crate) fn approvals_revoked(&self, grant: &Grant, scope: Scope) -> Vec<Row> {
        if !grant.rights.has(Right::Subscribe) {
            return vec![];
        }
        let covers = |flow: &Name| match &grant.object {
            Object::Everything => true,
            Object::Name(name) if name == flow => true,
            Object::Name(name) => scope == Scope::Below && flow.is_within(name),
        };
        let his = |row: &&Subscriber| {
            row.is_live()
                && row.approval.is_some()
                && row.principal == grant.subject
                && covers(&row.flow)
        };
        let end = |row| self.ended(row, Why::Revoked, "the approval was revoked".to_owned(), now());
        self.subscribers.values().filter(his).flat_map(end).collect()
    }

    /// What goes with a flow: all that has to do with it.
    pub(crate) fn subscribers_go(&self, flow: &Name) -> Vec<Row> {
        let subscribers = self.subscribers.values().filter(|row| row.flow == *flow);
        let requests = self.requests.values().filter(|row| row.flow == *flow);
        let subscribers = subscribers.map(|row| Row::DropSubscriber(row.name.clone()));
        subscribers.chain(requests.map(|row| Row::DropRequest(row.id.clone()))).collect()
    }

    /// What time ends, and what it makes forget.
    fn pass(&self, at: i64) -> Settled<usize> {
        let moved = |row: &Subscriber, flow: Option<&Flow>| {
            if flow.is_some_and(|flow| flow.incarnation == row.incarnation) {
                return None;
            }
            // It may be undone yet.
            let open = self.pending_of(&row.flow).next().is_some();
            (!open).then(|| format!("flow {} is another one now", row.flow))
        };
        let unused = |row: &Subscriber, _: Option<&Flow>| {
            let until = match (row.attached_at, row.handed_at) {
                (Some(_), _) => return None,
                (None, Some(handed)) => handed.saturating_add(UNATTACHED_FOR),
                (None, None) => row.created_at.saturating_add(REMEMBERED_FOR),
            };
            (at >= until && moved(row, self.flows.get(&row.flow)).is_none())
                .then(|| "nobody attached to it in time".to_owned())
        };
        let mut over = self.end_some(Why::Moved, at, moved);
        let unused = self.end_some(Why::Unused, at, unused);
        over.rows.extend(unused.rows);
        over.notes.extend(unused.notes);
        let is_old = |row: &&Subscriber| {
            let past = |end: &End| at >= end.at.saturating_add(REMEMBERED_FOR);
            row.is_over() && row.ended.as_ref().is_some_and(past)
        };
        let old = self.subscribers.values().filter(is_old);
        over.rows.extend(old.map(|row| Row::DropSubscriber(row.name.clone())));
        let expired = self.requests.values().filter(|row| at >= row.expires_at);
        for row in expired {
            over.notes.push(Note::new(&row.flow, "expiry", format!("request {}", row.id)));
            over.rows.push(Row::DropRequest(row.id.clone()));
        }
        over.answer = over.rows.len();
        over
    }
}

impl Registry {
    /// The subscriber ends what is his. Repeats are harmless.
    ///
    /// # Errors
    /// `NotFound`, also where it is somebody else's.
    pub async fn unsubscribe(&self, name: &Name, his: Subject) -> Result<(), RegistryError> {
        let name = name.clone();
        self.settled(move |state| state.end_one(&name, Some(&his), now())).await
    }

    /// The subscriber ends what he asked for under a reference, also while it is no more than a request that waits.
    ///
    /// # Errors
    /// `NotFound` where there is neither; for a request that was denied, too.
    pub async fn withdraw(
        &self,
        flow: &Name,
        his: Subject,
        reference: Uuid,
    ) -> Result<(), RegistryError> {
        let flow = flow.clone();
        self.settled(move |state| state.withdraw(&flow, &his, reference, now())).await
    }

    /// The owner of the flow ends it. Whoever asks for it again with the same reference is told so. Repeats are
    /// harmless.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_subscriber(&self, name: &Name) -> Result<(), RegistryError> {
        let name = name.clone();
        self.settled(move |state| state.end_one(&name, None, now())).await
    }

    /// Ends subscriptions that are no longer covered: those for which there are words why. Gives how many.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn end_uncovered<F>(&self, why: F) -> Result<usize, RegistryError>
    where
        F: Fn(&Subscriber, Option<&Flow>) -> Option<String> + Send + 'static,
    {
        // Mostly there is nothing to do, and then nobody waits for the disk.
        let uncovered = |row: &Subscriber, state: &State| {
            row.is_live() && why(row, state.flows.get(&row.flow)).is_some()
        };
        if !self.look(|state| state.subscribers.values().any(|row| uncovered(row, state))) {
            return Ok(0);
        }
        self.settled(move |state| Ok(state.end_some(Why::Revoked, now(), why))).await
    }

    /// Ends and forgets what is over at a time, in milliseconds since 1970 UTC. Gives how many rows changed.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn subscriptions_pass(&self, at: i64) -> Result<usize, RegistryError> {
        if self.look(|state| state.pass(at).rows.is_empty()) {
            return Ok(0);
        }
        self.settled(move |state| Ok(state.pass(at))).await
    }

    /// The same for this moment.
    ///
    /// # Errors
    /// As [`Self::subscriptions_pass`].
    pub async fn subscriptions_pass_now(&self) -> Result<usize, RegistryError> {
        self.subscriptions_pass(now()).await
    }
}
