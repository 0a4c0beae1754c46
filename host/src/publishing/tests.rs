//! One zone's task with a name server that does as it is told.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host_names::publish::{Change, Outcome, PublishError, Publisher, Set, Zone};
use host_registry::{NewFlow, Registry};
use tokio::time::Instant;

use super::plan::Row;
use super::source::Source;
use super::wanted::Units;
use super::wanted::tests::presence;
use super::zone::{Agreement, Trouble};

/// Answers by what a change holds, and keeps what was sent.
#[derive(Debug)]
struct Server {
    answer: fn(&Change) -> Result<Outcome, PublishError>,
    sent: Mutex<Vec<Change>>,
    /// Names of sets that are not there any more.
    gone: Mutex<Vec<String>>,
    /// Whether it never says what is there.
    hangs: AtomicBool,
}

#[async_trait::async_trait]
impl Publisher for Server {
    async fn change(&self, _: &Zone, change: &Change) -> Result<Outcome, PublishError> {
        self.sent.lock().unwrap().push(change.clone());
        (self.answer)(change)
    }

    async fn lost(&self, _: &Zone, marks: &[Set], most: usize) -> Result<Vec<usize>, PublishError> {
        if self.hangs.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let gone = self.gone.lock().unwrap();
        let is_gone = |set: &Set| gone.iter().any(|name| set.owner.as_str().ends_with(name));
        let lost = marks.iter().enumerate().filter(|(_, set)| is_gone(set));
        Ok(lost.map(|(place, _)| place).take(most).collect())
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
        create(&registry, &format!("f{number}.flows.unix.ar")).await;
    }
    registry
}

async fn create(registry: &Registry, flow: &str) {
    let entry = registry.create_flow(NewFlow::named(flow.parse().unwrap())).await.unwrap();
    while let Some(step) = registry.entry(entry).and_then(|entry| entry.next_step()) {
        registry.step_done(entry, step, None).await.unwrap();
    }
}

fn agreement(
    registry: &Registry,
    answer: fn(&Change) -> Result<Outcome, PublishError>,
) -> (Agreement, Arc<Server>) {
    let (sent, gone, hangs) = Default::default();
    let server = Arc::new(Server { answer, sent, gone, hangs });
    let agreement = Agreement {
        zone: Zone::new("unix.ar".parse().unwrap()),
        publisher: Arc::clone(&server) as _,
        registry: registry.clone(),
        source: Source::new(registry, &presence(&["unix.ar"])),
        look_every: Duration::from_millis(50),
        state: Arc::default(),
        is_kept: true,
    };
    (agreement, server)
}

async fn wanted(agreement: &Agreement) -> Units {
    let zones = agreement.source.zones().await.unwrap();
    zones[&agreement.zone].clone()
}

async fn round(agreement: &Agreement, due: Instant) -> Result<(), Trouble> {
    agreement.round(&wanted(agreement).await, due).await
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
    let unable: fn(&Change) -> _ = |change| match is_about(change, BAD) {
        true => Err(PublishError::Unable { reason: "no".to_owned() }),
        false => Ok(Outcome::default()),
    };
    let taken: fn(&Change) -> _ = |change| match is_about(change, BAD) {
        true => Err(PublishError::Taken { owners: vec![BAD.parse().unwrap()], partly: false }),
        false => Ok(Outcome::default()),
    };
    for answer in [refusing, unable, taken] {
        let (agreement, server) = agreement(&registry, answer);
        round(&agreement, Instant::now()).await.unwrap();
        let waiting = waiting(&agreement);
        let names: Vec<&str> = waiting.iter().map(|(unit, _)| unit.as_str()).collect();
        assert_eq!(names, ["flow f7.flows.unix.ar"]);
        let row = &waiting[0].1;
        assert!(row.why.is_some() && row.tried.is_some() && row.again.is_some(), "{row:?}");
        assert!(server.sent.lock().unwrap().len() < 20, "it is asked for each by itself");
        // Not again before its time.
        let sent = server.sent.lock().unwrap().len();
        round(&agreement, Instant::now()).await.unwrap();
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
    let unable: fn(&Change) -> _ = |_| Err(PublishError::Unable { reason: "no".to_owned() });
    let away: fn(&Change) -> _ = |_| Err(PublishError::Away { reason: "gone".to_owned() });
    for (answer, most) in [(refusing, 12), (unable, 12), (away, 1)] {
        let (agreement, server) = agreement(&registry, answer);
        round(&agreement, Instant::now()).await.unwrap_err();
        assert!(server.sent.lock().unwrap().len() <= most);
        agreement.note(&wanted(&agreement).await).await.unwrap();
        let waiting = waiting(&agreement);
        assert_eq!(waiting.len(), 22);
        assert!(waiting.iter().all(|(_, row)| row.since.is_some()), "{waiting:?}");
    }
}

#[tokio::test]
async fn many_that_are_refused_do_not_starve_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path(), 40).await;
    // All but those with a 7, whichever are tried first.
    let is_good =
        |owner: &str| owner.contains('7') || !owner.starts_with('f') || owner.starts_with("fnaa");
    let few: fn(&Change) -> _ = |change| {
        let is_good = |owner: &str| {
            owner.contains('7') || !owner.starts_with('f') || owner.starts_with("fnaa")
        };
        match change.add.iter().all(|set| is_good(set.owner.as_str())) {
            true => Ok(Outcome::default()),
            false => Err(PublishError::Refused { reason: "no".to_owned() }),
        }
    };
    let (agreement, _) = agreement(&registry, few);
    let mut due = Instant::now();
    for _ in 0..8 {
        // By then each of them is due again.
        due += Duration::from_secs(3_600);
        drop(round(&agreement, due).await);
    }
    let unpublished: Vec<_> = waiting(&agreement).into_iter().map(|(unit, _)| unit).collect();
    let left = |unit: &String| unit.strip_prefix("flow ").is_none_or(is_good);
    assert!(!unpublished.iter().any(left), "{unpublished:?}");
    assert_eq!(unpublished.len(), 36);
}

#[tokio::test]
async fn what_went_through_before_a_name_that_is_taken_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path(), 1).await;
    let partly: fn(&Change) -> _ =
        |_| Err(PublishError::Taken { owners: vec!["x.unix.ar.".parse().unwrap()], partly: true });
    let (agreement, _) = agreement(&registry, partly);
    round(&agreement, Instant::now()).await.unwrap();
    let rows = waiting(&agreement);
    assert!(rows.len() == 3 && rows.iter().all(|(_, row)| !row.sets.is_empty()), "{rows:?}");
}

#[tokio::test]
async fn what_has_gone_from_a_zone_is_published_again() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path(), 30).await;
    let (agreement, server) = agreement(&registry, |_| Ok(Outcome::default()));
    round(&agreement, Instant::now()).await.unwrap();
    let flow = |change: &Change| change.fresh.len();
    assert_eq!(
        server.sent.lock().unwrap().drain(..).map(|change| flow(&change)).sum::<usize>(),
        30
    );
    let mut last = None;
    for (gone, flows) in [(vec![], 0), (vec!["f7.flows.unix.ar."], 1), (vec!["."], 30)] {
        *server.gone.lock().unwrap() = gone.iter().map(ToString::to_string).collect();
        last = None;
        agreement.look(&mut last).await;
        round(&agreement, Instant::now()).await.unwrap();
        let sent: Vec<Change> = server.sent.lock().unwrap().drain(..).collect();
        assert_eq!(sent.iter().map(flow).sum::<usize>(), flows, "{gone:?}");
    }
    assert_eq!(last.as_deref(), Some("namespace flows.unix.ar"));
    agreement.look(&mut last).await;
    assert_eq!(last, None, "from the beginning after the last one");
    // And by itself.
    *server.gone.lock().unwrap() = vec!["f9.flows.unix.ar.".to_owned()];
    let server = Arc::clone(&server);
    let kept = tokio::spawn(agreement.keep());
    let again = async {
        while server.sent.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.unwrap();
    kept.abort();
}

#[tokio::test]
async fn a_server_that_does_not_say_what_is_there_holds_up_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path(), 1).await;
    let (agreement, server) = agreement(&registry, |_| Ok(Outcome::default()));
    server.hangs.store(true, Ordering::Relaxed);
    let kept = tokio::spawn(agreement.keep());
    for number in 0..3 {
        let name = format!("new{number}.flows.unix.ar");
        create(&registry, &name).await;
        let published = async {
            while !server
                .sent
                .lock()
                .unwrap()
                .iter()
                .any(|change| is_about(change, &format!("{name}.")))
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // Far less than anybody waits for the answer.
        tokio::time::timeout(Duration::from_secs(30), published).await.unwrap();
    }
    kept.abort();
}
