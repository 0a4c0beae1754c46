//! Who may have the events of a flow sent to him, and whether he still may: rights first, then what the flow's
//! `access` says to domains that have none.
//!
//! The one place where that is decided: when somebody subscribes, and again for everybody when rights change.

use fnap::name::Name;
use fnap::reply::{Code, Failure};
use fnap::rights::Right;
use fnap::subject::Subject;
use host_iam::{Grants, Principal};
use host_registry::{ACCESS, Access, Flow, Subscriber, Way};

use super::forbidden;
use super::needs::Kind;
use crate::perform::registry_failure;
use crate::services::Services;

/// How somebody comes who subscribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// Over a connection: the host of a domain, or a user who attaches by himself.
    Connection,
    /// A user of this host, with LOCAL: he may ask as domains may.
    Here,
}

/// What somebody may who wants to subscribe to a flow.
///
/// # Errors
/// `404` where he may not know that there is such a flow, `403` where he may know and no more.
pub(crate) async fn way(
    services: &Services,
    who: &Principal,
    name: &Name,
    from: From,
) -> Result<Way, Failure> {
    let rights = services.grants.rights(who, name);
    let refused = match rights.is_empty() {
        true => Kind::Flow.absent(name),
        false => forbidden(Right::Subscribe, name),
    };
    match who.subject() {
        // It would be everybody's.
        Subject::Anonymous => return Err(refused),
        _ if rights.allow(Right::Subscribe) => {
            let lasts = services.grants.owner_may(Some(who.subject()), Right::Subscribe, name);
            return if lasts { Ok(Way::Granted) } else { Err(of_a_token(who, name)) };
        }
        _ => {}
    }
    let flow = services.registry.flow(name).await.map_err(registry_failure)?;
    let access = flow.map(|flow| access_of(&flow));
    let given = access.as_ref().and_then(|access| access_gives(access, who.subject()));
    match (given, access) {
        (Some(way), _) => Ok(way),
        (None, Some(Access::Ask)) if from == From::Here => Ok(Way::Ask),
        _ => Err(refused),
    }
}

/// Whether somebody may do something with a subscription that others have to a flow: who administers that.
///
/// # Errors
/// As [`way`].
pub(crate) fn of_owner(services: &Services, who: &Principal, name: &Name) -> Result<(), Failure> {
    let flow = name.parent().unwrap_or_else(|| name.clone());
    let rights = services.grants.rights(who, &flow);
    if rights.allow(Right::Administer) {
        Ok(())
    } else if rights.is_empty() {
        Err(Kind::Subscription.absent(name))
    } else {
        Err(forbidden(Right::Administer, &flow))
    }
}

/// Whether somebody administers the flow of a subscription that is there. Who does not hears of its name what he
/// would hear if it were not.
pub(crate) fn is_owner(services: &Services, who: &Principal, name: &Name) -> bool {
    let row = services.registry.subscriber(name);
    row.is_some_and(|row| services.grants.may(who, Right::Administer, &row.flow))
}

/// Words, where nothing covers a subscription any more: neither the owner's word, nor a right, nor `access`.
pub(crate) fn uncovered(grants: &Grants, row: &Subscriber, flow: Option<&Flow>) -> Option<String> {
    let who = &row.principal;
    if let Some(why) = grants.kept_out(who) {
        return Some(format!("{who} {why}"));
    }
    if row.approval.is_some() || grants.owner_may(Some(who), Right::Subscribe, &row.flow) {
        return None;
    }
    let given = flow.and_then(|flow| access_gives(&access_of(flow), who));
    (given != Some(Way::Granted))
        .then(|| format!("{who} may not subscribe to {} any more", row.flow))
}

fn access_of(flow: &Flow) -> Access {
    // It was checked when it was set.
    flow.config.get(ACCESS).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// What a flow gives somebody without any right: only domains are meant.
fn access_gives(access: &Access, who: &Subject) -> Option<Way> {
    let Subject::Domain(domain) = who else { return None };
    match access {
        Access::Open => Some(Way::Granted),
        Access::Domains(listed) => listed.contains(domain).then_some(Way::Granted),
        Access::Ask => Some(Way::Ask),
        Access::Closed => None,
    }
}

fn of_a_token(who: &Principal, name: &Name) -> Failure {
    let words = format!(
        "subscribe on {name} is granted by groups of a token alone, and a subscription lasts longer: it takes a grant to {}, or groups in the users file",
        who.subject()
    );
    Failure::new(Code::Forbidden, words)
}
