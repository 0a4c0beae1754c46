//! Requests: asked by who may not subscribe, answered by the owner, forgotten in time.

use fnap::subject::Subject;
use host_events::clock::now;

use super::change::Key;
use super::{
    Approval, Asked, Denial, Hold, MAX_FILTER, MAX_POLICY, MAX_REASON, MAX_REQUESTS,
    MAX_REQUESTS_FOR_FLOW, MAX_REQUESTS_OF_ONE, REMEMBERED_FOR, Request, Subscribed, Subscriber,
    check_length, random_id,
};
use crate::Name;
use crate::error::RegistryError;
use crate::model::Flow;
use crate::registry::{Note, Registry, Settled};
use crate::state::{Row, State};

impl Request {
    pub(crate) const fn key(&self) -> Key<'_> {
        (self.incarnation, &self.principal, self.reference)
    }
}

impl State {
    /// Somebody asks, or asks again.
    pub(super) fn ask(
        &self,
        flow: &Flow,
        asked: Asked,
        at: i64,
    ) -> Result<Settled<Subscribed>, RegistryError> {
        let Asked { principal, reference, filter, lend, .. } = asked;
        let key = (flow.incarnation, &principal, reference);
        let mut same = self.requests.values();
        match same.find(|row| row.key() == key && row.expires_at > at) {
            Some(Request { id, denied: None, .. }) => {
                return Ok(Settled::nothing(Subscribed::Pending(id.clone())));
            }
            Some(Request { denied: Some(denial), .. }) => {
                let reason = denial.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
                return Err(RegistryError::Denied { words: format!("denied{reason}") });
            }
            None => {}
        }
        self.check_room_to_ask(flow, &principal, at)?;
        let row = Request {
            id: random_id()?,
            flow: flow.name.clone(),
            incarnation: flow.incarnation,
            principal,
            reference,
            filter,
            asked_at: at,
            expires_at: at.saturating_add(REMEMBERED_FOR),
            denied: None,
            lend,
        };
        let answer = Subscribed::Pending(row.id.clone());
        let note = Note::new(&row.flow, "request", String::new());
        Ok(Settled { rows: vec![Row::PutRequest(Box::new(row))], notes: vec![note], answer })
    }

    fn check_room_to_ask(&self, flow: &Flow, who: &Subject, at: i64) -> Result<(), RegistryError> {
        let (mut all, mut his, mut for_flow) = (0, 0, 0);
        for row in self.requests.values().filter(|row| row.expires_at > at) {
            all += 1;
            his += usize::from(row.principal == *who);
            for_flow += usize::from(row.principal == *who && row.flow == flow.name);
        }
        let over = |what, most: usize| {
            Err(RegistryError::OverQuota { what, who: who.to_string(), most: most as u64 })
        };
        if for_flow >= MAX_REQUESTS_FOR_FLOW {
            return over("requests for one flow", MAX_REQUESTS_FOR_FLOW);
        }
        if his >= MAX_REQUESTS_OF_ONE {
            return over("requests", MAX_REQUESTS_OF_ONE);
        }
        if all >= MAX_REQUESTS {
            return Err(RegistryError::TooMany { what: "requests", limit: MAX_REQUESTS });
        }
        Ok(())
    }

    fn find_request(&self, id: &str, at: i64) -> Result<&Request, RegistryError> {
        let found = self.requests.get(id).filter(|row| row.expires_at > at);
        found.ok_or_else(|| RegistryError::not_found("request", id))
    }

    fn approved(&self, id: &str) -> Option<&Subscriber> {
        let answers = |row: &&Subscriber| {
            row.is_live() && row.approval.as_ref().is_some_and(|approval| approval.request == id)
        };
        self.subscribers.values().find(answers)
    }

    /// What a request is about, also when it was approved.
    fn flow_of_request(&self, id: &str, at: i64) -> Option<&Name> {
        let asked = self.find_request(id, at).map(|row| &row.flow).ok();
        asked.or_else(|| self.approved(id).map(|row| &row.flow))
    }

    fn approve(&self, approval: Approval) -> Result<Settled<Name>, RegistryError> {
        check_length("filter", approval.filter.as_deref(), MAX_FILTER)?;
        check_length("policy", approval.policy.as_deref(), MAX_POLICY)?;
        if let Some(row) = self.approved(&approval.request) {
            let said = |approval: &Approval| (approval.filter.clone(), approval.policy.clone());
            if row.approval.as_ref().map(said) != Some(said(&approval)) {
                let words = format!(
                    "request {} was approved with another filter or policy: {}",
                    approval.request, row.name
                );
                return Err(RegistryError::conflict(words));
            }
            return Ok(Settled::nothing(row.name.clone()));
        }
        let at = approval.at;
        let request = self.find_request(&approval.request, at)?;
        let flow = self.flow_in_use(&request.flow)?;
        if flow.incarnation != request.incarnation {
            let words = format!("flow {} is another one than was asked for", flow.name);
            return Err(RegistryError::conflict(words));
        }
        let live = |row: &&Subscriber| row.is_live() && row.key() == request.key();
        let row = match self.subscribers.values().find(live) {
            // He was granted the right meanwhile, and has come again.
            Some(row) => {
                let row = Subscriber { approval: Some(approval), ..row.clone() };
                check_carried(&row)?;
                row
            }
            None => {
                self.check_room(flow, &request.principal)?;
                let row = Subscriber {
                    name: self.free_name(&flow.name)?,
                    flow: flow.name.clone(),
                    incarnation: flow.incarnation,
                    principal: request.principal.clone(),
                    reference: request.reference,
                    filter: request.filter.clone(),
                    approval: Some(approval),
                    hold: Hold::Active,
                    created_at: at,
                    handed_at: None,
                    attached_at: None,
                    failure: None,
                    ended: None,
                    lent: None,
                };
                match &request.lend {
                    Some(broker) => self.lend(row, broker.clone())?,
                    None => row,
                }
            }
        };
        let answer = row.name.clone();
        let note = Note::new(&row.name, "approval", String::new());
        let mut rows = self.former(&row);
        rows.push(Row::PutSubscriber(Box::new(row)));
        Ok(Settled { rows, notes: vec![note], answer })
    }

    fn deny(&self, id: &str, denial: Denial) -> Result<Settled<()>, RegistryError> {
        check_length("reason", denial.reason.as_deref(), MAX_REASON)?;
        if let Some(row) = self.approved(id) {
            let words = format!("request {id} was approved: REMOVE SUBSCRIBER {}", row.name);
            return Err(RegistryError::conflict(words));
        }
        let row = self.find_request(id, denial.at)?;
        if row.denied.as_ref().is_some_and(|before| before.reason == denial.reason) {
            return Ok(Settled::nothing(()));
        }
        let note = Note::new(&row.flow, "denial", String::new());
        let row = Request { denied: Some(denial), ..row.clone() };
        Ok(Settled { rows: vec![Row::PutRequest(Box::new(row))], notes: vec![note], answer: () })
    }
}

/// Refuses an owner's word that the processor of a subscription that is there does not know.
fn check_carried(row: &Subscriber) -> Result<(), RegistryError> {
    let said = |approval: &Approval| approval.filter.is_some() || approval.policy.is_some();
    if row.lent.is_some() && row.approval.as_ref().is_some_and(said) {
        let words =
            format!("{} is there, and its topic is filled already: REMOVE SUBSCRIBER", row.name);
        return Err(RegistryError::conflict(words));
    }
    Ok(())
}

impl Registry {
    /// What a request is about, also when it was approved already; none where there is no such request.
    #[must_use]
    pub fn flow_of_request(&self, id: &str) -> Option<Name> {
        self.look(|state| state.flow_of_request(id, now()).cloned())
    }

    /// The owner says yes: whoever asked finds his subscription when he comes again. Gives its name. Repeats are
    /// harmless.
    ///
    /// # Errors
    /// `NotFound` for a request that is not there or has expired, `Conflict`, `Invalid`, `TooMany`, `OverQuota`.
    pub async fn approve(
        &self,
        request: &str,
        by: Subject,
        filter: Option<String>,
        policy: Option<String>,
    ) -> Result<Name, RegistryError> {
        let request = request.to_owned();
        self.settled(move |state| {
            state.approve(Approval { request, by, at: now(), filter, policy })
        })
        .await
    }

    /// The owner says no, which is remembered until the request would have expired. Repeats are harmless, and a
    /// yes may follow.
    ///
    /// # Errors
    /// `NotFound` for a request that is not there or has expired, `Conflict` when it was approved, `Invalid`.
    pub async fn deny(
        &self,
        request: &str,
        by: Subject,
        reason: Option<String>,
    ) -> Result<(), RegistryError> {
        let request = request.to_owned();
        self.settled(move |state| state.deny(&request, Denial { by, reason, at: now() })).await
    }
}
