//! Versions that follow each other faster than they prove themselves: where going back is possible, and what is said where it is not.

use super::migrate::lied;
use super::*;
use crate::catalog::NoTrial;
use crate::store::{MemoryStore, PluginStore, Rollout};
use crate::{Catalog, Outcome, Verdict};

/// One that exports no `migrate`.
fn plain() -> Bytes {
    build("plugin-tests-plain", &["--features", "plain"])
}

async fn catalog(first: Bytes) -> (Catalog, Arc<str>) {
    let store = Arc::new(MemoryStore::default()) as Arc<dyn PluginStore>;
    let catalog = Catalog::open(engine().clone(), store, Arc::new(NoTrial)).await.unwrap();
    let digest = offered(&catalog, first).await;
    (catalog, digest)
}

async fn offered(catalog: &Catalog, component: Bytes) -> Arc<str> {
    let outcome = catalog.offer("guest.wasm", component).await;
    assert!(matches!(outcome, Outcome::Activated { .. }), "{outcome:?}");
    Arc::clone(catalog.active("guest").unwrap().plugin.digest())
}

async fn blamed(catalog: &Catalog, digest: &str) -> Verdict {
    catalog.blame(digest, "it traps").await.unwrap()
}

#[tokio::test]
async fn what_one_that_never_proved_itself_has_written_bars_the_way_back_from_the_next_too() {
    let plain = plain();
    for third in [lied("unmarked-only"), noted(&plain, "three")] {
        let (catalog, _) = catalog(plain.clone()).await;
        let second = offered(&catalog, lied("migrates")).await;
        catalog.begin("guest", &second).await.unwrap();
        let third = offered(&catalog, third).await;
        assert!(catalog.way_back("guest", &third).is_none());
        assert_eq!(blamed(&catalog, &third).await, Verdict::NoWayBack);
        assert_eq!(*catalog.active("guest").unwrap().plugin.digest(), third);
    }
}

#[tokio::test]
async fn where_nobody_has_begun_the_next_is_gone_back_from_to_the_first() {
    let (catalog, first) = catalog(plain()).await;
    offered(&catalog, lied("migrates")).await;
    let third = offered(&catalog, lied("unmarked-only")).await;
    assert_eq!(blamed(&catalog, &third).await, Verdict::Rejected);
    assert_eq!(*catalog.active("guest").unwrap().plugin.digest(), first);
}

#[tokio::test]
async fn that_the_way_back_is_barred_and_that_a_version_has_proved_itself_are_told_apart() {
    let (catalog, _) = catalog(plain()).await;
    let second = offered(&catalog, lied("migrates")).await;
    catalog.begin("guest", &second).await.unwrap();
    assert_eq!(blamed(&catalog, &second).await, Verdict::NoWayBack);
    catalog.prove("guest", &second).await.unwrap();
    assert_eq!(blamed(&catalog, &second).await, Verdict::Proven);
}

#[test]
fn what_was_stored_before_it_was_noted_whether_a_shard_has_begun_counts_as_begun() {
    let stored = r#"{"before":{"digest":"d","version":"0.1.0"},"began":7}"#;
    assert!(serde_json::from_str::<Rollout>(stored).unwrap().begun);
}
