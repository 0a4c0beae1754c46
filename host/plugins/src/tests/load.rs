use super::*;
use crate::{Cardinality, LoadError};

#[tokio::test]
async fn a_component_says_what_it_is() {
    let plugin = plugin().await;
    let info = plugin.info();
    assert_eq!((info.name.as_str(), info.version.as_str()), ("guest", "0.1.0"));
    assert_eq!((info.inputs, info.outputs), (Cardinality::One, Cardinality::Many));
    assert!(!info.unnamed_dropped);
    assert_eq!(plugin.size(), GUEST.len());
    assert_eq!(plugin.digest().len(), 64);
}

#[tokio::test]
async fn the_same_bytes_are_the_same_plugin_while_it_lives() {
    let (first, second) = (plugin().await, plugin().await);
    assert!(Arc::ptr_eq(&first.0, &second.0));
    let other = engine().load(noted(&GUEST, "other")).await.unwrap();
    assert_ne!(first.digest(), other.digest());
}

#[tokio::test]
async fn compiled_code_is_found_on_disk_by_the_next_engine() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions::new(dir.path().join("cache"));
    let cold = Engine::new(&options).unwrap();
    cold.load(GUEST.clone()).await.unwrap();
    assert_eq!(cold.cache_hits(), 0);
    let warm = Engine::new(&options).unwrap();
    warm.load(GUEST.clone()).await.unwrap();
    assert_eq!(warm.cache_hits(), 1);
}

#[tokio::test]
async fn a_cache_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let refused = Engine::new(&EngineOptions::new(dir.path().to_owned())).unwrap_err();
    assert!(refused.to_string().contains("others may write there"), "{refused}");
}

#[tokio::test]
async fn an_engine_without_a_pool_runs_plugins_too() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions { pool: 0, ..EngineOptions::new(dir.path().join("cache")) };
    let engine = Engine::new(&options).unwrap();
    let plugin = engine.load(GUEST.clone()).await.unwrap();
    let mut instance = plugin.instantiate(setup("{}")).await.unwrap();
    assert_eq!(process(&mut instance, batch(1, 0)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_component_with_the_right_names_and_wrong_types_is_refused() {
    let wrong =
        "(component (instance $i) (export \"flow:processor/lifecycle@0.1.0\" (instance $i)))";
    let refused = engine().load(wat::parse_str(wrong).unwrap().into()).await.unwrap_err();
    assert!(matches!(refused, LoadError::Compile(_)), "{refused}");
}

#[tokio::test]
async fn bytes_that_only_begin_like_a_component_are_refused() {
    let mut broken = GUEST.to_vec();
    let middle = broken.len() / 2;
    broken[middle..middle + 64].fill(0xff);
    let refused = engine().load(broken.into()).await.unwrap_err();
    assert!(matches!(refused, LoadError::Compile(_) | LoadError::NotWasm(_)), "{refused}");
    let cut = GUEST.slice(..GUEST.len() - 100);
    assert!(matches!(engine().load(cut).await, Err(LoadError::NotWasm(_))));
}
