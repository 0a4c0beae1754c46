//! GRANT, REVOKE and GET GRANTS.

use fnap::command::{Format, Grant};
use fnap::reply::{Code, Failure, Reply};
use fnap::rights::{Object, Right};
use fnap::subject::Subject;
use host_events::clock::now;
use host_iam::{Principal, prepared_subject};
use host_registry::{Giver, Granted, MAX_GRANTS_OF_ONE};

use super::describe::{Description, list as list_of, time};
use super::flows::all_streams_settled;
use super::{Answer, lent, registry_failure, subscriptions};
use crate::services::Services;

pub(super) async fn grant(services: &Services, who: &Principal, grant: Grant) -> Answer {
    let grant = Grant { subject: meant(grant.subject)?, ..grant };
    let words = words("granted", &grant, "to");
    let scope = services.grants.reach(who, &grant.object);
    let is_operator = services.grants.may_everywhere(who, Right::Administer);
    let most = (!is_operator).then_some(MAX_GRANTS_OF_ONE);
    let giver = Giver { by: who.subject().clone(), scope, most };
    let new = services.registry.grant(grant, giver).await.map_err(registry_failure)?;
    tracing::info!(principal = %who, new, "{words}");
    Ok(Reply::ok())
}

pub(super) async fn revoke(services: &Services, who: &Principal, grant: Grant) -> Answer {
    let grant = Grant { subject: meant(grant.subject)?, ..grant };
    let words = words("revoked", &grant, "from");
    let scope = services.grants.reach(who, &grant.object);
    let began = now();
    let gone = services.registry.revoke(grant, scope).await.map_err(registry_failure)?;
    tracing::info!(principal = %who, gone, "{words}");
    subscriptions::keep_covered(services).await?;
    // Flows that he could read are followed no more.
    all_streams_settled(services).await?;
    lent::ended_since(services, began, lent::is_revoked).await?;
    Ok(Reply::ok())
}

/// Who is meant: people come in under prepared names, and a right in another spelling would be nobody's.
fn meant(subject: Subject) -> Result<Subject, Failure> {
    let wrong = Failure::new(Code::BadFormat, format!("{subject} can be nobody"));
    prepared_subject(subject).ok_or(wrong)
}

fn words(verb: &str, grant: &Grant, whose: &str) -> String {
    let Grant { rights, object, subject } = grant;
    format!("{verb} {rights} on {object} {whose} {subject}")
}

/// Rights on what somebody administers, and his own.
pub(super) fn list(
    services: &Services,
    who: &Principal,
    object: Option<&Object>,
    subject: Option<Subject>,
    format: Format,
) -> Answer {
    let subject = subject.map(meant).transpose()?;
    // Rows come by object: who may see those of one is asked once.
    let mut last: Option<(Object, bool)> = None;
    let mut administers = |on: &Object| match &last {
        Some((object, his)) if object == on => *his,
        _ => {
            let his = services.grants.may_on(who, Right::Administer, on);
            last = Some((on.clone(), his));
            his
        }
    };
    let granted = services.registry.grants(object, |row| {
        subject.as_ref().is_none_or(|subject| row.subject == *subject)
            && (who.is(&row.subject) || administers(&row.object))
    });
    Ok(list_of(granted.iter().map(described).collect(), format))
}

fn described(row: &Granted) -> (String, Description) {
    let Granted { object, subject, right, scope, by, at } = row;
    let scope = scope.as_str();
    let line = format!("right={right} object={object} scope={scope} subject={subject} by={by}");
    let description = Description::default()
        .with("right", right.as_str())
        .with("object", object.to_string())
        .with("scope", scope)
        .with("subject", subject.to_string())
        .with("by", by.to_string())
        .with("at", time(*at));
    (line, description)
}
