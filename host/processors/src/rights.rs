//! By whose rights a processor reads and writes: those of its owner, as they are now.
//!
//! A processor whose owner may not any more is held where it is, and goes on by itself when he may again.
//! Decides nothing about rights; that is what [`host_iam::Grants`] does.

use std::collections::BTreeMap;

use fnap::name::Name;
use fnap::rights::Right;
use fnap::subject::Subject;
use host_iam::{Grants, Quota};
use host_registry::{Desired, Flow, Maker, Mirror, Processor, dead_flow_taken};

use crate::supervisor::{Options, Processors};

/// Whether the dead letters of a processor may go to a flow, and come from there again: its owner may write to it,
/// and whose flow it is could have made the processor himself. What he reads there he may read anyway, and what he
/// puts there to be replayed he may write anyway.
pub(crate) fn may_hold_letters(grants: &Grants, processor: &Processor, flow: &Flow) -> bool {
    let (owner, whose) = (processor.owner.as_ref(), flow.owner.as_ref());
    grants.owner_may(owner, Right::Write, &flow.name)
        && processor.inputs.iter().all(|name| grants.owner_may(whose, Right::Read, name))
        && processor.outputs.iter().all(|name| grants.owner_may(whose, Right::Write, name))
}

/// By processor.
type Obstacles = BTreeMap<uuid::Uuid, Option<String>>;

impl Processors {
    /// Looks again at every processor when rights change, until the future is dropped.
    pub async fn watch_rights(&self) {
        let mut changes = self.0.options.grants.subscribe();
        let mut known = None;
        loop {
            changes.mark_unchanged();
            known = Some(self.look_at_rights(known).await);
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// What stands against each processor, if anything does; given what did at the last look. At the first one all
    /// have just been started by it.
    async fn look_at_rights(&self, known: Option<Obstacles>) -> Obstacles {
        let rows = self.0.registry.processors().await.unwrap_or_default();
        let mut now = BTreeMap::new();
        for row in rows.iter().filter(|row| row.desired != Desired::Deleted) {
            let forbidden = self.forbidden(row);
            let news = match &known {
                Some(known) => known.get(&row.id).is_none_or(|before| *before != forbidden),
                None => forbidden.is_some(),
            };
            if news {
                // One that is busy must not keep the others running.
                let (processors, name) = (self.clone(), row.name.clone());
                tokio::spawn(async move { processors.agree_again(&name).await });
            }
            now.insert(row.id, forbidden);
        }
        now
    }

    /// What stands against a processor: something that its owner may not do.
    pub(crate) fn forbidden(&self, processor: &Processor) -> Option<String> {
        let reads = processor.inputs.iter().map(|name| (Right::Read, name));
        let writes = processor.outputs.iter().map(|name| (Right::Write, name));
        let owner = processor.owner.as_ref();
        if let Some(words) = self.kept_out(owner) {
            return Some(words);
        }
        let refused =
            reads.chain(writes).find_map(|(right, name)| self.refused(owner, right, name));
        refused.or_else(|| {
            let flow = self.0.registry.dead_letters_of(processor)?;
            self.unfit_for_letters(processor, &flow)
        })
    }

    /// Words, where the owner of something is kept out of the host.
    pub(crate) fn kept_out(&self, owner: Option<&Subject>) -> Option<String> {
        let why = self.0.options.grants.kept_out(owner?)?;
        Some(format!("{} {why}", owner?))
    }

    /// Words, where the dead letters of a processor must not go to a flow.
    #[must_use]
    pub fn unfit_for_letters(&self, processor: &Processor, flow: &Flow) -> Option<String> {
        let fit = may_hold_letters(&self.0.options.grants, processor, flow);
        (!fit).then(|| dead_flow_taken(&flow.name))
    }

    /// Words, where the owner of something may not do this with a name.
    pub(crate) fn refused(
        &self,
        owner: Option<&Subject>,
        right: Right,
        name: &Name,
    ) -> Option<String> {
        let owner = owner?;
        let allowed = self.0.options.grants.owner_may(Some(owner), right, name);
        (!allowed).then(|| format!("{owner} may not {right} {name}"))
    }

    /// Flows that a pattern takes in now: those that it means and its owner may read.
    #[must_use]
    pub fn taken_by(&self, mirror: &Mirror) -> Vec<Name> {
        let mut taken = self.0.registry.taken_by(mirror);
        let owner = mirror.owner.as_ref();
        taken.retain(|name| self.0.options.grants.owner_may(owner, Right::Read, name));
        taken
    }

    /// Who makes the flows of a pattern.
    pub(crate) fn maker_of_flows(&self, owner: Option<&Subject>) -> Maker {
        Maker { owner: owner.cloned(), most: self.quota(owner).flows }
    }

    /// Who makes the processors of a pattern.
    pub(crate) fn maker_of_processors(&self, owner: Option<&Subject>) -> Maker {
        Maker { owner: owner.cloned(), most: self.quota(owner).processors }
    }

    fn quota(&self, owner: Option<&Subject>) -> Quota {
        let Options { grants, quotas, .. } = &self.0.options;
        let who = owner.and_then(|owner| grants.stand_in(owner));
        who.map_or_else(Quota::default, |who| quotas.of(&who))
    }
}
