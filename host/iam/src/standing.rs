//! Whether somebody who came in may stay: a user who is disabled, removed, or put into other groups has to
//! come again, and so has whoever came in with something that has expired since.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::principal::{Principal, Subject};
use crate::users::Users;

/// Until when what somebody came in with holds, by the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// A token's end, and the leeway that it was taken with.
    Token(SystemTime),
    /// A certificate's end.
    Certificate(SystemTime),
}

/// Why somebody may no longer stay, in words that he is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// He was disabled, removed, or put into other groups.
    #[error("the user was changed, authenticate again")]
    Changed,
    /// His token has expired.
    #[error("the token has expired, authenticate again")]
    Token,
    /// His certificate has expired.
    #[error("the certificate has expired, authenticate again")]
    Certificate,
}

impl Until {
    /// How long it still holds, and what it is when it does no more.
    fn left(self, now: SystemTime) -> Result<Duration, Ended> {
        let (at, ended) = match self {
            Self::Token(at) => (at, Ended::Token),
            Self::Certificate(at) => (at, Ended::Certificate),
        };
        at.duration_since(now).map_err(|_| ended)
    }
}

/// How somebody who came in stands with the list of users, and with time.
#[derive(Debug)]
pub struct Standing {
    users: Arc<Users>,
    revision: watch::Receiver<u64>,
    /// The revision by which he came in.
    since: u64,
    name: Option<String>,
    /// His groups when he came in, if the list named him.
    listed: Option<BTreeSet<String>>,
    until: Option<Until>,
}

impl Users {
    /// Follows what becomes of somebody who just came in with something that holds `until` then.
    #[must_use]
    pub fn follow(self: &Arc<Self>, principal: &Principal, until: Option<Until>) -> Standing {
        let revision = self.revision();
        let name = match principal.subject() {
            Subject::User(name) => Some(name.clone()),
            _ => None,
        };
        let listed = principal.listed().cloned();
        let since = *revision.borrow();
        let mut standing =
            Standing { users: Arc::clone(self), revision, since, name, listed, until };
        // The list may have changed since he was let in by it.
        if standing.differs() {
            standing.since = NEVER;
        }
        standing
    }
}

impl Standing {
    /// Why he may no longer stay; none while he may.
    #[must_use]
    pub fn has_ended(&self) -> Option<Ended> {
        // Nothing changed since he came in, for nearly everybody nearly always.
        if self.since != *self.revision.borrow() && self.differs() {
            return Some(Ended::Changed);
        }
        self.until.and_then(|until| until.left(SystemTime::now()).err())
    }

    /// Waits for that; for whoever is not in the list perhaps for ever. May be dropped and called again.
    pub async fn ended(&mut self) -> Ended {
        loop {
            self.revision.borrow_and_update();
            // Looked at behind that, so that no change is missed.
            if let Some(why) = self.has_ended() {
                return why;
            }
            let until = self.until;
            tokio::select! {
                changed = self.revision.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                () = expired(until) => {}
            }
        }
    }

    fn differs(&self) -> bool {
        let Some(name) = &self.name else { return false };
        let regrouped = |before| self.users.groups_of(name).as_ref() != Some(before);
        self.users.is_disabled(name) || self.listed.as_ref().is_some_and(regrouped)
    }
}

/// Waits until something does not hold any more; without end where it has none.
async fn expired(until: Option<Until>) {
    let Some(until) = until else { return std::future::pending().await };
    while let Ok(left) = until.left(SystemTime::now()) {
        // A machine that slept, or whose clock was set, has got another time than it waited for.
        tokio::time::sleep(left.clamp(SHORTEST, LONGEST)).await;
    }
}

/// So soon after an end it is noticed.
const SHORTEST: Duration = Duration::from_millis(1);

/// So often the clock on the wall is looked at, at least.
const LONGEST: Duration = Duration::from_secs(30);

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
            _ = standing.ended() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn what_somebody_came_in_with_ends_his_stay_when_it_expires() {
        let users = Arc::new(Users::new(UserList::default()).unwrap());
        let ana = Principal::user("ana", []);
        let soon = SystemTime::now() + Duration::from_millis(50);
        for (until, why) in
            [(Until::Token(soon), Ended::Token), (Until::Certificate(soon), Ended::Certificate)]
        {
            assert_eq!(users.follow(&ana, Some(until)).ended().await, why);
            assert_eq!(users.follow(&ana, Some(until)).has_ended(), Some(why), "from the start");
        }
        let later = Until::Token(SystemTime::now() + Duration::from_secs(86_400));
        let mut standing = users.follow(&ana, Some(later));
        assert!(!has_ended(&mut standing).await && standing.has_ended().is_none());
        users.replace(list(&[Account { name: "ana", disabled: true, ..Account::default() }]));
        assert_eq!(standing.ended().await, Ended::Changed);
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
            let mut early = users.follow(&principal("ana"), None);
            let mut bo = users.follow(&principal("bo"), None);
            let (ana, late_bo) = (principal("ana"), principal("bo"));
            assert!(!has_ended(&mut early).await);
            users.replace(later);
            assert!(has_ended(&mut early).await && !has_ended(&mut bo).await);
            // Who was let in before, and is looked after only now.
            let (mut late, mut late_bo) = (users.follow(&ana, None), users.follow(&late_bo, None));
            assert!(has_ended(&mut late).await && !has_ended(&mut late_bo).await);
        }
    }

    #[tokio::test]
    async fn who_is_not_in_the_list_stays_until_it_disables_him() {
        let users = Arc::new(Users::new(UserList::default()).unwrap());
        let mut cy = users.follow(&Principal::user("cy", []), None);
        let mut nobody = users.follow(&Principal::anonymous(), None);
        users.replace(list(&[Account { name: "ana", ..Account::default() }]));
        assert!(!has_ended(&mut cy).await);
        users.replace(list(&[Account { name: "cy", disabled: true, ..Account::default() }]));
        assert!(has_ended(&mut cy).await && !has_ended(&mut nobody).await);
    }
}
