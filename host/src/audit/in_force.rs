//! Writes down what changed of the configuration: users, administrators and quotas.
//!
//! Compared with what was in force when that was last written down, so that a change made while the host was
//! stopped has its line, and one that could not be written gets it later. Puts nothing in force itself.

use std::collections::BTreeMap;

use fnap::subject::Subject;
use host_iam::{Quota, Users};
use host_registry::{InForce, Registry, RegistryError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{FIRST_WAIT, LONGEST_WAIT};
use crate::config::Config;

/// What stands in the configuration and the users file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Configured {
    users: InForce,
    administrators: InForce,
    quotas: InForce,
}

impl Configured {
    /// As it is now.
    pub(crate) fn of(config: &Config, users: &Users) -> Self {
        let administrators =
            config.administrators.iter().map(|one| (one.to_string(), String::new()));
        Self {
            users: users.states(),
            administrators: administrators.collect(),
            quotas: quotas(&config.quotas),
        }
    }
}

fn quotas(quotas: &BTreeMap<Subject, Quota>) -> InForce {
    quotas.iter().map(|(subject, quota)| (subject.to_string(), quota.to_string())).collect()
}

/// Writes down what is in force at the start, and then in the background each state that comes, until nobody
/// sends one any more.
pub(crate) async fn keep(
    registry: Registry,
    mut states: watch::Receiver<Configured>,
) -> JoinHandle<()> {
    let now = states.borrow_and_update().clone();
    let mut written = write(&registry, now).await;
    tokio::spawn(async move {
        let mut wait = FIRST_WAIT;
        loop {
            match written {
                Ok(()) => {
                    wait = FIRST_WAIT;
                    if states.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(cause = %error, "changes of the configuration wait for the audit log");
                    sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
            let now = states.borrow_and_update().clone();
            written = write(&registry, now).await;
        }
    })
}

/// Names that stood among the users once and do not now: what they own waits for them.
///
/// # Errors
/// When the registry cannot be read.
pub(crate) async fn removed(registry: &Registry, now: &InForce) -> Result<InForce, RegistryError> {
    let mut removed = registry.in_force(REMOVED).await?;
    let before = registry.in_force(USERS).await?;
    removed.extend(before.into_keys().map(|name| (name, String::new())));
    removed.retain(|name, _| !now.contains_key(name));
    Ok(removed)
}

async fn write(registry: &Registry, now: Configured) -> Result<(), RegistryError> {
    let Configured { users, administrators, quotas } = now;
    // Before the list that it is told from.
    let removed = removed(registry, &users).await?;
    if registry.in_force(REMOVED).await? != removed {
        registry.put_in_force(REMOVED, removed, "users file", vec![]).await?;
    }
    for (list, origin, now) in [
        (USERS, "users file", users),
        ("administrators", "configuration", administrators),
        ("quotas", "configuration", quotas),
    ] {
        let before = registry.in_force(list).await?;
        if before != now {
            let changes = changes(&before, &now);
            registry.put_in_force(list, now, origin, changes).await?;
        }
    }
    Ok(())
}

/// What is different, in lines that are no longer than one of the audit log may be.
fn changes(before: &InForce, now: &InForce) -> Vec<(&'static str, String)> {
    let mut lines: Vec<(&'static str, String)> = Vec::new();
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    let gone = gone.map(|name| ("removal", name.clone()));
    let come = now.iter().filter_map(|(name, state)| {
        let change = match before.get(name) {
            Some(before) if before == state => return None,
            None => "addition",
            Some(before) if is_disabled(state) && !is_disabled(before) => "disabling",
            Some(_) => "change",
        };
        Some((change, word(name, state)))
    });
    let mut all: Vec<_> = gone.chain(come).collect();
    all.sort_by_key(|(change, _)| *change);
    for (change, word) in all {
        match lines.last_mut() {
            Some((same, line)) if *same == change && line.len() + word.len() < LINE => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push((change, word)),
        }
    }
    lines
}

/// A name, and what stands there of it where that is for people.
fn word(name: &str, state: &str) -> String {
    if state.contains('=') { format!("{name} {state}") } else { name.to_owned() }
}

fn is_disabled(state: &str) -> bool {
    state.starts_with(host_iam::DISABLED)
}

/// The list of users.
const USERS: &str = "users";

/// The list of those who stood there once.
const REMOVED: &str = "removed users";

/// Octets of a line: half of what the audit log takes, which cuts what is longer.
const LINE: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rows: &[(&str, &str)]) -> InForce {
        rows.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect()
    }

    #[test]
    fn what_came_went_and_is_another_is_told_and_nothing_else() {
        let before = list(&[("ana", "1"), ("bo", "2"), ("cy", "3"), ("di", "disabled 4")]);
        let now =
            list(&[("bo", "disabled 2"), ("cy", "5"), ("di", "4"), ("ed", "6"), ("flo", "7")]);
        let told = |rows: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
            rows.iter().map(|(change, words)| (*change, (*words).to_owned())).collect()
        };
        let expected =
            [("addition", "ed flo"), ("change", "cy di"), ("disabling", "bo"), ("removal", "ana")];
        assert_eq!(changes(&before, &now), told(&expected));
        assert_eq!(changes(&now, &now), []);
        let quotas = list(&[("everybody", "flows=2")]);
        let expected = [("addition", "everybody flows=2")];
        assert_eq!(changes(&InForce::new(), &quotas), told(&expected));
    }

    #[test]
    fn many_names_become_several_lines_and_none_is_lost() {
        let names: Vec<String> = (0..10_000).map(|n| format!("user-number-{n}")).collect();
        let now: InForce = names.iter().map(|name| (name.clone(), String::new())).collect();
        let lines = changes(&InForce::new(), &now);
        assert!(lines.iter().all(|(_, line)| line.len() <= LINE), "longer than a line");
        let told: Vec<&str> = lines.iter().flat_map(|(_, line)| line.split(' ')).collect();
        assert_eq!(told, now.keys().map(String::as_str).collect::<Vec<_>>());
    }
}
