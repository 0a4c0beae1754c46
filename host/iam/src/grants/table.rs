//! All that decides, in memory: rights by name and by whom they were given to.

use std::collections::{HashMap, HashSet};

use fnap::name::Name;
use fnap::rights::{Right, Rights};
use fnap::subject::Subject;

use super::{Absent, Owner};
use crate::principal::Principal;

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) administrators: HashSet<Subject>,
    pub(super) everything: Held,
    pub(super) names: HashMap<Name, About>,
    /// The users that the users file names: what they made works by what they are now, without them.
    pub(super) users: HashMap<String, Absent>,
    /// A name on which nothing counts that was granted above it, but for the whole host.
    pub(super) reserved: Option<Name>,
    /// Users whom it once named and does not any more. Who never stood there comes in otherwise, and is none of them.
    pub(super) removed: HashSet<String>,
}

/// What is known of one name.
#[derive(Debug, Default)]
pub(super) struct About {
    /// Granted on it and all below.
    pub(super) granted: Option<Box<Held>>,
    /// Granted on it alone.
    pub(super) here: Option<Box<Held>>,
    pub(super) owner: Option<Owner>,
    pub(super) open: bool,
}

/// Rights by whom they were given to; each kind by its name, so that a question needs no subject of its own.
#[derive(Debug, Default)]
pub(super) struct Held {
    users: HashMap<String, Rights>,
    groups: HashMap<String, Rights>,
    domains: HashMap<Name, Rights>,
    anonymous: Rights,
    everybody: Rights,
}

impl Table {
    pub(super) fn everywhere(&self, who: &Principal) -> Rights {
        if self.administrates(who) {
            return Rights::NONE.with(Right::Administer);
        }
        self.everything.rights(who)
    }

    pub(super) fn rights(&self, who: &Principal, name: &Name) -> Rights {
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
    pub(super) fn rights_below(&self, who: &Principal, name: &Name) -> Rights {
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
            let ends = self.reserved.as_ref().is_some_and(|reserved| reserved.as_str() == text);
            at = text.split_once('.').map(|(_, above)| above).filter(|_| !ends);
        }
        rights
    }

    fn administrates(&self, who: &Principal) -> bool {
        self.administrators.iter().any(|subject| who.is(subject))
    }

    /// Changes what is known of a name, and forgets it when that is nothing any more.
    pub(super) fn alter(&mut self, name: &Name, change: impl FnOnce(&mut About)) {
        let Some(about) = self.names.get_mut(name) else { return };
        change(about);
        if about.granted.is_none() && about.here.is_none() && about.owner.is_none() && !about.open {
            self.names.remove(name);
        }
    }
}

impl Held {
    pub(super) fn rights(&self, who: &Principal) -> Rights {
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

    pub(super) fn change(&mut self, subject: &Subject, change: impl FnOnce(Rights) -> Rights) {
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
pub(super) fn revoke(held: &mut Option<Box<Held>>, subject: &Subject, right: Right) {
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
