//! One zone's task with a name server that does as it is told.

use std::path::Path;
use std::sync::{Arc, Mutex};

use host_names::publish::{Change, Outcome, PublishError, Publisher, Zone};
use host_registry::{NewFlow, Registry};
use tokio::time::Instant;

use super::plan::Row;
use super::wanted::tests::presence;
use super::zone::Agreement;

/// Answers by what a change holds, and keeps what was sent.
#[derive(Debug)]
struct Server {
    answer: fn(&Change) -> Result<Outcome, PublishError>,
    sent: Mutex<Vec<Change>>,
}

#[async_trait::async_trait]
impl Publisher for Server {
    async fn change(&self, _: &Zone, change: &Change) -> Result<Outcome, PublishError> {
        self.sent.lock().unwrap().push(change.clone());
        (self.answer)(change)
    }
}

async fn registry(dir: &Path, flows: usize) -> Registry {
    let registry = Registry::open(&dir.join("registry.db")).await.unwrap();
    let new = host_registry::NewNamespace {
        name: "flows.unix.ar".parse().unwrap(),
        broker: "inner".to_owned(),
        config: Default::default(),
        owner: None,
    };
    registry.create_namespace(new).await.unwrap();
    for number in 0..flows {
        let name = format!("f{number}.flows.unix.ar").parse().unwrap();
        let entry = registry.create_flow(NewFlow::named(name)).await.unwrap();
        while let Some(step) = registry.entry(entry).and_then(|entry| entry.next_step()) {
            registry.step_done(entry, step, None).await.unwrap();
        }
    }
    registry
}

fn agreement(
    registry: &Registry,
    answer: fn(&Change) -> Result<Outcome, PublishError>,
) -> (Agreement, Arc<Server>) {
    let server = Arc::new(Server { answer, sent: Mutex::default() });
    let agreement = Agreement {
        zone: Zone::new("unix.ar".parse().unwrap()),
        publisher: Arc::clone(&server) as _,
        registry: registry.clone(),
        presence: presence(&["unix.ar"]),
        state: Arc::default(),
        is_kept: true,
    };
    (agreement, server)
}

fn is_about(change: &Change, name: &str) -> bool {
    change.add.iter().any(|set| set.owner.as_str() == name)
}

fn waiting(agreement: &Agreement) -> Vec<(String, Row)> {
    let state = agreement.state.lock().unwrap();
    let waits = |row: &Row| !row.settled || row.since.is_some();
    let rows = state.rows.iter().filter(|(_, row)| waits(row));
    rows.map(|(unit, row)| (unit.clone(), row.clone())).collect()
}

const BAD: &str = "f7.flows.unix.ar.";

#[tokio::test]
async fn a_name_that_is_refused_or_taken_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path(), 20).await;
    let refusing: fn(&Change) -> _ = |change| match is_about(change, BAD) {
        true => Err(PublishError::Refused { reason: "no".to_owned() }),
        false => Ok(Outcome::default()),
    };
    let taken: fn(&Change) -> _ = |change| match is_about(change, BAD) {
        true => Err(PublishError::Taken { owners: vec![BAD.parse().unwrap()] }),
        false => Ok(Outcome::default()),
    };
    for answer in [refusing, taken] {
        let (agreement, server) = agreement(&registry, answer);
        agreement.round(Instant::now()).await.unwrap();
        let waiting = waiting(&agreement);
        let names: Vec<&str> = waiting.iter().map(|(unit, _)| unit.as_str()).collect();
        assert_eq!(names, ["flow f7.flows.unix.ar"]);
        let row = &waiting[0].1;
        assert!(row.why.is_some() && row.tried.is_some() && row.again.is_some(), "{row:?}");
        assert!(server.sent.lock().unwrap().len() < 20, "it is asked for each by itself");
        // Not again before its time.
        let sent = server.sent.lock().unwrap().len();
        agreement.round(Instant::now()).await.unwrap();
        assert_eq!(server.sent.lock().unwrap().len(), sent);
        let stored = registry.published().await.unwrap();
        assert_eq!(stored.len(), 22);
        let rows = stored.into_iter().map(|(zone, unit, _)| (zone, unit, None));
        registry.put_published(rows.collect()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_refused_whatever_it_is_or_answered_by_nobody_is_not_tried_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path(), 20).await;
    let refusing: fn(&Change) -> _ = |_| Err(PublishError::Refused { reason: "no".to_owned() });
    let away: fn(&Change) -> _ = |_| Err(PublishError::Away { reason: "gone".to_owned() });
    for (answer, most) in [(refusing, 8), (away, 1)] {
        let (agreement, server) = agreement(&registry, answer);
        agreement.round(Instant::now()).await.unwrap_err();
        assert!(server.sent.lock().unwrap().len() <= most);
        agreement.note().await.unwrap();
        let waiting = waiting(&agreement);
        assert_eq!(waiting.len(), 22);
        assert!(waiting.iter().all(|(_, row)| row.since.is_some()), "{waiting:?}");
    }
}
