//! Whose comparison it is: it shows what events hold, so it ends with his rights.

use fnap::name::Name;
use fnap::rights::Right;
use fnap::subject::Subject;
use host_iam::{Grants, Principal};
use host_registry::Processor;

/// Who wants to know, and what he has to be allowed for as long as it runs.
pub(super) struct AskedBy {
    grants: Grants,
    who: Subject,
    needs: Vec<(Right, Name)>,
}

impl AskedBy {
    /// What holds only of his session says nothing about later.
    pub(super) fn of(grants: &Grants, who: &Principal, processor: &Processor) -> Self {
        let who = who.subject().clone();
        let reads = processor.inputs.iter().map(|input| (Right::Read, input.clone()));
        let mut needs: Vec<_> = reads.collect();
        needs.push((Right::Administer, processor.name.clone()));
        needs.retain(|(right, name)| grants.owner_may(Some(&who), *right, name));
        Self { grants: grants.clone(), who, needs }
    }

    /// Waits until he may not any more, and says what.
    pub(super) async fn until_forbidden(&self) -> String {
        let mut changes = self.grants.subscribe();
        let refused =
            |(right, name): &&(Right, Name)| !self.grants.owner_may(Some(&self.who), *right, name);
        loop {
            changes.mark_unchanged();
            if let Some((right, name)) = self.needs.iter().find(refused) {
                return format!("{} may not {right} {name} any more", self.who);
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
