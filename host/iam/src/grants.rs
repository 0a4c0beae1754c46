//! What somebody may do: the rights that were granted, who owns what, and who administers everything.
//!
//! Decides from memory and is told of every change; where rights are stored is not known here. A question
//! costs as many look-ups as the name has labels, however many grants there are.

mod table;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fnap::name::Name;
use fnap::rights::{Object, Right, Rights, Scope};
use fnap::subject::Subject;
use tokio::sync::watch;

use crate::principal::Principal;
use table::{Table, revoke};

/// Who may do what. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Grants(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: RwLock<Table>,
    changes: watch::Sender<u64>,
}

/// What is known of a user who is not here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absent {
    /// His groups.
    pub groups: BTreeSet<String>,
    /// Whether he is kept out: he may nothing then.
    pub disabled: bool,
}

/// Whose something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Who made it.
    pub subject: Subject,
    /// Whether all names below it are his, too: so it is with a namespace.
    pub below: bool,
}

impl Default for Grants {
    fn default() -> Self {
        let (changes, _) = watch::channel(0);
        Self(Arc::new(Inner { table: RwLock::default(), changes }))
    }
}

impl Grants {
    /// Whether somebody may do something with a name: by a grant on it, on a name above it or on the whole
    /// host, because it is his or below a namespace of his, or because it is open to everybody.
    #[must_use]
    pub fn may(&self, who: &Principal, right: Right, name: &Name) -> bool {
        self.rights(who, name).allow(right)
    }

    /// Whether somebody may do something with the whole host.
    #[must_use]
    pub fn may_everywhere(&self, who: &Principal, right: Right) -> bool {
        self.table().everywhere(who).allow(right)
    }

    /// Whether somebody may do something with an object.
    #[must_use]
    pub fn may_on(&self, who: &Principal, right: Right, object: &Object) -> bool {
        match object {
            Object::Everything => self.may_everywhere(who, right),
            Object::Name(name) => self.may(who, right, name),
        }
    }

    /// How far somebody's right to administer an object reaches, if he has it: who has it on a name alone
    /// gives it, and every other right, on that name alone.
    #[must_use]
    pub fn reach(&self, who: &Principal, object: &Object) -> Scope {
        let table = self.table();
        let below = match object {
            Object::Everything => table.everywhere(who),
            Object::Name(name) => table.rights_below(who, name),
        };
        if below.allow(Right::Administer) { Scope::Below } else { Scope::Name }
    }

    /// Whether somebody has any right at all on a name; who has none is not told that it is there.
    #[must_use]
    pub fn sees(&self, who: &Principal, name: &Name) -> bool {
        !self.rights(who, name).is_empty()
    }

    /// All rights that somebody has on a name.
    #[must_use]
    pub fn rights(&self, who: &Principal, name: &Name) -> Rights {
        self.table().rights(who, name)
    }

    /// Whether the owner of something may do something with a name. What has no owner is the host's.
    #[must_use]
    pub fn owner_may(&self, owner: Option<&Subject>, right: Right, name: &Name) -> bool {
        let Some(owner) = owner else { return true };
        self.stand_in(owner).is_some_and(|who| self.may(&who, right, name))
    }

    /// Who a stored subject is while he is not here to prove it; none where he is kept out.
    #[must_use]
    pub fn stand_in(&self, subject: &Subject) -> Option<Principal> {
        match subject {
            Subject::User(_) if self.kept_out(subject).is_some() => None,
            Subject::User(name) => {
                let account = self.table().users.get(name).cloned().unwrap_or_default();
                Some(Principal::user(name, account.groups))
            }
            Subject::Domain(name) => Some(Principal::domain(name.clone())),
            // Neither a group nor everybody makes anything.
            Subject::Anonymous | Subject::Group(_) | Subject::Everybody => {
                Some(Principal::anonymous())
            }
        }
    }

    /// Why what somebody has made does not go on, whatever he was granted: what has become of him.
    #[must_use]
    pub fn kept_out(&self, subject: &Subject) -> Option<&'static str> {
        let Subject::User(name) = subject else { return None };
        let table = self.table();
        match table.users.get(name) {
            Some(account) => account.disabled.then_some("is disabled"),
            None => table.removed.contains(name).then_some("was removed from the users"),
        }
    }

    /// Counts the changes that may turn a decision about something that is there.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Takes those who may do everything.
    pub fn set_administrators(&self, administrators: impl IntoIterator<Item = Subject>) {
        let administrators = administrators.into_iter().collect();
        let mut table = self.table_mut();
        if table.administrators != administrators {
            table.administrators = administrators;
            self.changed(table);
        }
    }

    /// Keeps a name, and those below it, for who may do something with the whole host and for whom such a one
    /// gives it to by that name: what is granted above it counts for nothing there.
    pub fn reserve(&self, name: Option<Name>) {
        let mut table = self.table_mut();
        if table.reserved != name {
            table.reserved = name;
            self.changed(table);
        }
    }

    /// Takes those whom the users file once named; before the users that it names now.
    pub fn set_removed(&self, removed: impl IntoIterator<Item = String>) {
        let mut table = self.table_mut();
        table.removed = removed.into_iter().collect();
        self.changed(table);
    }

    /// Takes the users that the users file names. Who was among those before and is not any more counts as
    /// disabled for what he made, until he is there again.
    pub fn set_users(&self, users: HashMap<String, Absent>) {
        let mut table = self.table_mut();
        if table.users != users {
            let before = std::mem::take(&mut table.users);
            table.removed.extend(before.into_keys());
            table.removed.retain(|name| !users.contains_key(name));
            table.users = users;
            self.changed(table);
        }
    }

    /// A right was granted, or reaches further than before.
    pub fn granted(&self, object: &Object, subject: &Subject, right: Right, scope: Scope) {
        let mut table = self.table_mut();
        let held = match object {
            Object::Everything => &mut table.everything,
            Object::Name(name) => {
                let about = table.names.entry(name.clone()).or_default();
                let held = match scope {
                    Scope::Name => &mut about.here,
                    Scope::Below => {
                        revoke(&mut about.here, subject, right);
                        &mut about.granted
                    }
                };
                &mut **held.get_or_insert_default()
            }
        };
        held.change(subject, |rights| rights.with(right));
        self.changed(table);
    }

    /// A right was revoked.
    pub fn revoked(&self, object: &Object, subject: &Subject, right: Right) {
        let mut table = self.table_mut();
        match object {
            Object::Everything => {
                table.everything.change(subject, |rights| rights.without(right));
            }
            Object::Name(name) => table.alter(name, |about| {
                revoke(&mut about.granted, subject, right);
                revoke(&mut about.here, subject, right);
            }),
        }
        self.changed(table);
    }

    /// Something is there, or has changed: whose it is, and whether everybody may read it.
    pub fn named(&self, name: &Name, owner: Option<Owner>, open: bool) {
        let mut table = self.table_mut();
        let about = table.names.entry(name.clone()).or_default();
        let news = (&about.owner, about.open) != (&owner, open);
        // What is new turns no decision, but where names below it have another owner now.
        let was_there = about.owner.is_some() || about.open;
        let below = owner.as_ref().is_some_and(|owner| owner.below);
        (about.owner, about.open) = (owner, open);
        table.alter(name, |_| {});
        if news && (was_there || below || open) {
            self.changed(table);
        }
    }

    /// Something is gone.
    pub fn gone(&self, name: &Name) {
        let mut table = self.table_mut();
        table.alter(name, |about| (about.owner, about.open) = (None, false));
        self.changed(table);
    }

    fn changed(&self, table: RwLockWriteGuard<'_, Table>) {
        drop(table);
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        // Nothing panics while it holds the lock.
        self.0.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
