//! Whether somebody who came in may stay: a user who is disabled, removed, or put into other groups has to
//! come again.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::principal::{Principal, Subject};
use crate::users::Users;

/// How somebody who came in stands with the list of users.
#[derive(Debug)]
pub struct Standing {
    users: Arc<Users>,
    revision: watch::Receiver<u64>,
    /// The revision by which he came in.
    since: u64,
    name: Option<String>,
    /// His groups when he came in, if the list named him.
    listed: Option<BTreeSet<String>>,
}

impl Users {
    /// Follows what becomes of somebody who just came in.
    #[must_use]
    pub fn follow(self: &Arc<Self>, principal: &Principal) -> Standing {
        let revision = self.revision();
        let name = match principal.subject() {
            Subject::User(name) => Some(name.clone()),
            _ => None,
        };
        let listed = principal.listed().cloned();
        let since = *revision.borrow();
        let mut standing = Standing { users: Arc::clone(self), revision, since, name, listed };
        // The list may have changed since he was let in by it.
        if standing.differs() {
            standing.since = NEVER;
        }
        standing
    }
}

impl Standing {
    /// Whether he may no longer stay.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        // Nothing changed since he came in, for nearly everybody nearly always.
        self.since != *self.revision.borrow() && self.differs()
    }

    /// Waits for that; for whoever is not in the list perhaps for ever. May be dropped and called again.
    pub async fn ended(&mut self) {
        while !self.has_ended() {
            self.revision.borrow_and_update();
            // Looked at once more: it may have changed in between.
            if self.has_ended() {
                return;
            }
            if self.revision.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn differs(&self) -> bool {
        let Some(name) = &self.name else { return false };
        let regrouped = |before| self.users.groups_of(name).as_ref() != Some(before);
        self.users.is_disabled(name) || self.listed.as_ref().is_some_and(regrouped)
    }
}

/// No revision: whoever came in by it is looked at at once.
const NEVER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Account, UserList};

    fn list(accounts: &[Account<'_>]) -> UserList {
        let mut list = UserList::default();
        accounts.iter().for_each(|account| list.add(account).unwrap());
        list
    }

    async fn has_ended(standing: &mut Standing) -> bool {
        tokio::select! {
            biased;
            () = standing.ended() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn who_is_disabled_removed_or_regrouped_has_to_come_again() {
        let ops = ["ops".to_owned()];
        let ana = Account { name: "ana", groups: &ops, ..Account::default() };
        let bo = Account { name: "bo", ..Account::default() };
        for later in [
            list(&[Account { disabled: true, ..ana.clone() }, bo.clone()]),
            list(&[Account { groups: &[], ..ana.clone() }, bo.clone()]),
            list(std::slice::from_ref(&bo)),
        ] {
            let users = Arc::new(Users::new(list(&[ana.clone(), bo.clone()])).unwrap());
            let principal = |name| users.admit(name, ["of-a-token".to_owned()]).unwrap();
            let mut early = users.follow(&principal("ana"));
            let mut bo = users.follow(&principal("bo"));
            let (ana, late_bo) = (principal("ana"), principal("bo"));
            assert!(!has_ended(&mut early).await);
            users.replace(later);
            assert!(has_ended(&mut early).await && !has_ended(&mut bo).await);
            // Who was let in before, and is looked after only now.
            let (mut late, mut late_bo) = (users.follow(&ana), users.follow(&late_bo));
            assert!(has_ended(&mut late).await && !has_ended(&mut late_bo).await);
        }
    }

    #[tokio::test]
    async fn who_is_not_in_the_list_stays_until_it_disables_him() {
        let users = Arc::new(Users::new(UserList::default()).unwrap());
        let mut cy = users.follow(&Principal::user("cy", []));
        let mut nobody = users.follow(&Principal::anonymous());
        users.replace(list(&[Account { name: "ana", ..Account::default() }]));
        assert!(!has_ended(&mut cy).await);
        users.replace(list(&[Account { name: "cy", disabled: true, ..Account::default() }]));
        assert!(has_ended(&mut cy).await && !has_ended(&mut nobody).await);
    }
}
