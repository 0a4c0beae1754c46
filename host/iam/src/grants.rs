//! What somebody may do: the rights that were granted, who owns what, and who administers everything.
//!
//! Decides from memory and is told of every change; where rights are stored is not known here. A question
//! costs as many look-ups as the name has labels, however many grants there are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fnap::name::Name;
use fnap::rights::{Object, Right, Rights, Scope};
use fnap::subject::Subject;
use tokio::sync::watch;

use crate::principal::Principal;

/// Who may do what. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Grants(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: RwLock<Table>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Table {
    administrators: HashSet<Subject>,
    everything: Held,
    names: HashMap<Name, About>,
    /// The users that the users file names: what they made works by what they are now, without them.
    users: HashMap<String, Absent>,
    /// Users whom it once named and does not any more. Who never stood there comes in otherwise, and is none of them.
    removed: HashSet<String>,
}

/// What is known of a user who is not here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absent {
    /// His groups.
    pub groups: BTreeSet<String>,
    /// Whether he is kept out: he may nothing then.
    pub disabled: bool,
}

/// What is known of one name.
#[derive(Debug, Default)]
struct About {
    /// Granted on it and all below.
    granted: Option<Box<Held>>,
    /// Granted on it alone.
    here: Option<Box<Held>>,
    owner: Option<Owner>,
    open: bool,
}

/// Whose something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Who made it.
    pub subject: Subject,
    /// Whether all names below it are his, too: so it is with a namespace.
    pub below: bool,
}

/// Rights by whom they were given to; each kind by its name, so that a question needs no subject of its own.
#[derive(Debug, Default)]
struct Held {
    users: HashMap<String, Rights>,
    groups: HashMap<String, Rights>,
    domains: HashMap<Name, Rights>,
    anonymous: Rights,
    everybody: Rights,
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

impl Table {
    fn everywhere(&self, who: &Principal) -> Rights {
        if self.administrates(who) {
            return Rights::NONE.with(Right::Administer);
        }
        self.everything.rights(who)
    }

    fn rights(&self, who: &Principal, name: &Name) -> Rights {
        let mut rights = self.rights_below(who, name);
        let Some(about) = self.names.get(name) else { return rights };
        if about.open {
            rights = rights.with(Right::Read).with(Right::Subscribe);
        }
        if let Some(held) = &about.here {
            rights = rights.and(held.rights(who));
        }
        if about.owner.as_ref().is_some_and(|owner| owner.subject == *who.subject()) {
            rights = rights.with(Right::Administer);
        }
        rights
    }

    /// Rights on a name that cover all names below it, too.
    fn rights_below(&self, who: &Principal, name: &Name) -> Rights {
        let mut rights = self.everywhere(who);
        let mut at = Some(name.as_str());
        while let Some(text) = at {
            if let Some(about) = self.names.get(text) {
                if let Some(held) = &about.granted {
                    rights = rights.and(held.rights(who));
                }
                let is_his = |owner: &Owner| owner.below && owner.subject == *who.subject();
                if about.owner.as_ref().is_some_and(is_his) {
                    rights = rights.with(Right::Administer);
                }
            }
            at = text.split_once('.').map(|(_, above)| above);
        }
        rights
    }

    fn administrates(&self, who: &Principal) -> bool {
        self.administrators.iter().any(|subject| who.is(subject))
    }

    /// Changes what is known of a name, and forgets it when that is nothing any more.
    fn alter(&mut self, name: &Name, change: impl FnOnce(&mut About)) {
        let Some(about) = self.names.get_mut(name) else { return };
        change(about);
        if about.granted.is_none() && about.here.is_none() && about.owner.is_none() && !about.open {
            self.names.remove(name);
        }
    }
}

impl Held {
    fn rights(&self, who: &Principal) -> Rights {
        let own = match who.subject() {
            Subject::User(name) => self.users.get(name).copied().unwrap_or_default(),
            Subject::Domain(name) => self.domains.get(name).copied().unwrap_or_default(),
            Subject::Anonymous => self.anonymous,
            Subject::Group(_) | Subject::Everybody => Rights::NONE,
        };
        let mut rights = own.and(self.everybody);
        if !self.groups.is_empty() {
            for group in who.groups() {
                rights = rights.and(self.groups.get(group).copied().unwrap_or_default());
            }
        }
        rights
    }

    fn change(&mut self, subject: &Subject, change: impl FnOnce(Rights) -> Rights) {
        match subject {
            Subject::User(name) => change_in(&mut self.users, name, change),
            Subject::Group(name) => change_in(&mut self.groups, name, change),
            Subject::Domain(name) => change_in(&mut self.domains, name, change),
            Subject::Anonymous => self.anonymous = change(self.anonymous),
            Subject::Everybody => self.everybody = change(self.everybody),
        }
    }

    fn is_empty(&self) -> bool {
        let named = self.users.len() + self.groups.len() + self.domains.len();
        named == 0 && self.anonymous.is_empty() && self.everybody.is_empty()
    }
}

/// Takes a right out of what may be held, and forgets that when it is nothing any more.
fn revoke(held: &mut Option<Box<Held>>, subject: &Subject, right: Right) {
    let Some(some) = held else { return };
    some.change(subject, |rights| rights.without(right));
    if some.is_empty() {
        *held = None;
    }
}

fn change_in<K: Clone + Eq + std::hash::Hash>(
    held: &mut HashMap<K, Rights>,
    key: &K,
    change: impl FnOnce(Rights) -> Rights,
) {
    let rights = change(held.get(key).copied().unwrap_or_default());
    if rights.is_empty() {
        held.remove(key);
    } else {
        held.insert(key.clone(), rights);
    }
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
