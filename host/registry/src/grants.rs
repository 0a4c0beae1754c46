//! Rights as rows: who has which on what, who gave it and when.
//!
//! Only keeps them. Whether somebody may do something is decided elsewhere, by one who is told of every row
//! ([`Registry::tell`]).

use fnap::command::Grant;
use fnap::rights::{Object, Right, Scope};
use fnap::subject::Subject;
use host_events::clock::now;

use crate::Name;
use crate::access::{ACCESS, Access};
use crate::error::RegistryError;
use crate::journal::Intent;
use crate::registry::Registry;
use crate::state::{Row, State};

/// Rights of a host, each of a list counted. About 200 octets in memory: 40 MiB with what decides by them.
pub const MAX_GRANTS: usize = 100_000;

/// Rights that one may have given who does not administer the whole host: a tenth, so that no owner of a flow
/// leaves nothing to all others.
pub const MAX_GRANTS_OF_ONE: u64 = 10_000;

/// One right of somebody on something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// On what.
    pub object: Object,
    /// Whose.
    pub subject: Subject,
    /// Which.
    pub right: Right,
    /// How far it reaches.
    pub scope: Scope,
    /// Who gave it.
    pub by: Subject,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
}

impl Granted {
    pub(crate) fn key(&self) -> Key {
        (self.object.clone(), self.subject.clone(), self.right)
    }
}

/// Who gives or takes rights, and how far he may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Giver {
    /// Who.
    pub by: Subject,
    /// How far his own right to administer the object reaches.
    pub scope: Scope,
    /// Most rights that he may have given; none is no limit but the host's.
    pub most: Option<u64>,
}

/// What makes a row of rights unlike any other.
pub(crate) type Key = (Object, Subject, Right);

/// Who made something, and how many of the kind he may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maker {
    /// Whose it is; none where the host made it.
    pub owner: Option<Subject>,
    /// Most of the kind that may be his; none is no limit.
    pub most: Option<u64>,
}

/// What a change means to who decides about rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// A namespace is there: whose it is.
    Namespace(&'a Name, Option<&'a Subject>),
    /// A flow is there: whose it is, and whether everybody may read it.
    Flow(&'a Name, Option<&'a Subject>, bool),
    /// A processor or a pattern is there: whose it is.
    Processor(&'a Name, Option<&'a Subject>),
    /// What had this name is gone.
    Gone(&'a Name),
    /// A right is there.
    Granted(&'a Object, &'a Subject, Right, Scope),
    /// A right is gone.
    Revoked(&'a Object, &'a Subject, Right),
}

/// Is told of changes, in their order and before anybody else sees them.
pub(crate) type Listener = Box<dyn Fn(Told<'_>) + Send + Sync>;

impl State {
    /// Rights that are not there yet, or not as far as the giver's own reach.
    pub(crate) fn grant(&self, grant: &Grant, giver: &Giver) -> Result<Vec<Row>, RegistryError> {
        let Grant { rights, object, subject } = grant;
        let there = |right| self.grants.get(&key(grant, right));
        let missing: Vec<Right> = rights
            .iter()
            .filter(|right| there(*right).is_none_or(|row| row.scope < giver.scope))
            .collect();
        let more = missing.iter().filter(|right| there(**right).is_none()).count();
        if self.grants.len() + more > MAX_GRANTS {
            return Err(RegistryError::TooMany { what: "granted rights", limit: MAX_GRANTS });
        }
        if let Some(most) = giver.most {
            let his = self.grants.values().filter(|row| row.by == giver.by).count();
            if (his + missing.len()) as u64 > most {
                let (what, who) = ("rights given to others", giver.by.to_string());
                return Err(RegistryError::OverQuota { what, who, most });
            }
        }
        let row = |right| Granted {
            object: object.clone(),
            subject: subject.clone(),
            right,
            scope: giver.scope,
            by: giver.by.clone(),
            at: now(),
        };
        Ok(missing.into_iter().map(|right| Row::PutGrant(row(right))).collect())
    }

    /// Rights that are there. What reaches further than he could give is not his to take.
    pub(crate) fn revoke(&self, grant: &Grant, scope: Scope) -> Result<Vec<Row>, RegistryError> {
        let keys = grant.rights.iter().map(|right| key(grant, right));
        let there = keys.filter_map(|key| self.grants.get_key_value(&key));
        let take = |(key, row): (&Key, &Granted)| match row.scope > scope {
            true => Err(RegistryError::Beyond { object: key.0.to_string() }),
            false => Ok(Row::DropGrant(key.clone())),
        };
        let mut rows: Vec<Row> = there.map(take).collect::<Result<_, _>>()?;
        rows.extend(self.approvals_revoked(grant, scope));
        Ok(rows)
    }

    /// Rights on a name end with what had it: they were given by its owner, and the next one of this name may
    /// be somebody else's.
    pub(crate) fn rights_end(&self, name: &Name) -> Vec<Row> {
        let object = Object::Name(name.clone());
        self.grants_on(&object).map(|row| Row::DropGrant(row.key())).collect()
    }

    fn grants_on(&self, object: &Object) -> impl Iterator<Item = &Granted> {
        // The first subject that there can be.
        let from = (object.clone(), Subject::User(String::new()), Right::Read);
        self.grants.range(from..).map(|(_, row)| row).take_while(move |row| row.object == *object)
    }

    /// Rights on a namespace, and on what lies in it and in no other one, end with it.
    pub(crate) fn rights_within_end(&self, namespace: &Name) -> Vec<Row> {
        let its = |on: &Name| match self.namespaces.contains_key(on) {
            true => on == namespace,
            false => self.namespace_of(on).is_some_and(|found| found.name == *namespace),
        };
        let within = |(on, ..): &&Key| match on {
            Object::Everything => false,
            Object::Name(name) => its(name),
        };
        self.grants.keys().filter(within).cloned().map(Row::DropGrant).collect()
    }

    /// Rights that somebody gave as the owner of what never came to be. Those that were there before stay:
    /// some of them let him make it.
    fn rights_since(&self, name: &Name, owner: Option<&Subject>, since: i64) -> Vec<Row> {
        let mut rows = self.rights_end(name);
        rows.retain(|row| {
            let Row::DropGrant(key) = row else { return false };
            let given = |row: &Granted| row.at >= since && Some(&row.by) == owner;
            self.grants.get(key).is_some_and(given)
        });
        rows
    }

    /// Rows of rights that end when an entry is undone.
    pub(crate) fn rights_undone(&self, intent: &Intent) -> Vec<Row> {
        let (name, owner, since) = match intent {
            Intent::CreateFlow { flow } => (&flow.name, &flow.owner, flow.created_at),
            Intent::CreateProcessor { processor } => {
                (&processor.name, &processor.owner, processor.created_at)
            }
            _ => return vec![],
        };
        self.rights_since(name, owner.as_ref(), since)
    }

    /// Refuses one more of a kind to who has as many as he may.
    pub(crate) fn check_most<'a>(
        maker: &Maker,
        what: &'static str,
        owners: impl Iterator<Item = Option<&'a Subject>>,
    ) -> Result<(), RegistryError> {
        let (Some(most), Some(owner)) = (maker.most, &maker.owner) else { return Ok(()) };
        let his = owners.filter(|other| *other == Some(owner)).count();
        if his as u64 >= most {
            let who = owner.to_string();
            return Err(RegistryError::OverQuota { what, who, most });
        }
        Ok(())
    }

    /// All that who decides about rights has to know.
    pub(crate) fn tell_all(&self, listener: &dyn Fn(Told<'_>)) {
        let namespaces = self.namespaces.values().cloned().map(Row::PutNamespace);
        let flows = self.flows.values().cloned().map(Row::PutFlow);
        let processors = self.processors.values().cloned().map(Row::PutProcessor);
        let mirrors = self.mirrors.values().cloned().map(Row::PutMirror);
        let grants = self.grants.values().cloned().map(Row::PutGrant);
        for row in namespaces.chain(flows).chain(processors).chain(mirrors).chain(grants) {
            row.told().map(listener);
        }
    }
}

impl Row {
    /// What it means to who decides about rights; nothing for some.
    pub(crate) fn told(&self) -> Option<Told<'_>> {
        Some(match self {
            Self::PutNamespace(row) => Told::Namespace(&row.name, row.owner.as_ref()),
            Self::PutFlow(row) => {
                let open = row.config.get(ACCESS).is_some_and(|text| {
                    text.parse::<Access>().is_ok_and(|access| access == Access::Open)
                });
                Told::Flow(&row.name, row.owner.as_ref(), open)
            }
            Self::PutProcessor(row) => Told::Processor(&row.name, row.owner.as_ref()),
            Self::PutMirror(row) => Told::Processor(&row.name, row.owner.as_ref()),
            Self::DropNamespace(name)
            | Self::DropFlow(name)
            | Self::DropProcessor(name)
            | Self::DropMirror(name) => Told::Gone(name),
            Self::PutGrant(row) => Told::Granted(&row.object, &row.subject, row.right, row.scope),
            Self::DropGrant((object, subject, right)) => Told::Revoked(object, subject, *right),
            Self::PutSubscriber(_)
            | Self::DropSubscriber(_)
            | Self::PutSubscription(_)
            | Self::DropSubscription(_)
            | Self::PutRequest(_)
            | Self::DropRequest(_) => return None,
        })
    }
}

impl Registry {
    /// Grants rights, as far as the giver's own reach; what is granted as far already stays as it is. Gives how
    /// many are new or reach further now.
    ///
    /// # Errors
    /// `TooMany`, or when it could not be written.
    pub async fn grant(&self, grant: Grant, giver: Giver) -> Result<usize, RegistryError> {
        let object = grant.object.to_string();
        self.settle(object, "grant", move |state| state.grant(&grant, &giver)).await
    }

    /// Revokes rights that reach no further than so, and ends the subscriptions that were approved to who loses
    /// the right to subscribe; what is not there is left as it is. Gives how many rows changed.
    ///
    /// # Errors
    /// `Beyond` where one of them reaches further, and all stay; or when it could not be written.
    pub async fn revoke(&self, grant: Grant, scope: Scope) -> Result<usize, RegistryError> {
        let object = grant.object.to_string();
        self.settle(object, "revocation", move |state| state.revoke(&grant, scope)).await
    }

    /// Rights on an object, or on all, that are to be shown; by object and subject.
    #[must_use]
    pub fn grants(
        &self,
        on: Option<&Object>,
        mut shown: impl FnMut(&Granted) -> bool,
    ) -> Vec<Granted> {
        self.look(|state| match on {
            Some(object) => state.grants_on(object).filter(|row| shown(row)).cloned().collect(),
            None => state.grants.values().filter(|row| shown(row)).cloned().collect(),
        })
    }
}

fn key(grant: &Grant, right: Right) -> Key {
    (grant.object.clone(), grant.subject.clone(), right)
}
