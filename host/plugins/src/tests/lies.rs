//! Components that lie in `describe`, or do harm there.

use super::*;
use crate::{LoadError, plugin::MAX_DOCUMENT};

/// The guest with a wish written into it, see `lies.rs` there.
pub(super) fn lying(lie: &str) -> Bytes {
    const PLACE: &[u8] = b"lie=nothing";
    let mut bytes = GUEST.to_vec();
    let at = bytes.windows(PLACE.len()).position(|window| window == PLACE).unwrap();
    let wish = format!("{:.<28}", lie);
    bytes[at + 4..at + 32].copy_from_slice(wish.as_bytes());
    bytes.into()
}

async fn refused(lie: &str) -> LoadError {
    let refused = engine().load(lying(lie)).await.unwrap_err();
    // Whoever comes next is not disturbed.
    assert!(process(&mut acting("").await, batch(1, 0)).await.is_ok());
    refused
}

async fn wrong(lie: &str) -> (&'static str, String) {
    match refused(lie).await {
        LoadError::Info { field, reason } => (field, reason),
        other => panic!("{lie}: {other}"),
    }
}

async fn failed(lie: &str, words: &str) {
    let error = refused(lie).await;
    assert!(matches!(&error, LoadError::Describe(_)), "{lie}: {error}");
    assert!(error.to_string().contains(words), "{lie}: {error}");
}

#[tokio::test]
async fn a_wrong_name_or_version_is_refused() {
    assert_eq!(wrong("name").await.0, "name");
    assert_eq!(wrong("version").await.0, "version");
}

#[tokio::test]
async fn a_summary_that_is_no_visible_line_is_refused() {
    for lie in ["control", "bidi", "long-summary"] {
        assert_eq!(wrong(lie).await.0, "summary", "{lie}");
    }
}

#[tokio::test]
async fn a_schema_that_is_giant_or_deep_is_refused() {
    let (field, reason) = wrong("giant-schema").await;
    assert_eq!(field, "config-schema");
    assert!(reason.contains(&format!("describe_bytes={MAX_DOCUMENT}")), "{reason}");
    let (field, reason) = wrong("deep-schema").await;
    assert_eq!(field, "config-schema");
    assert!(reason.contains("recursion limit"), "{reason}");
}

#[tokio::test]
async fn describe_cannot_loop_eat_memory_recurse_or_trap() {
    let dir = tempfile::tempdir().unwrap();
    let describe = Limits { init_ms: 200, ..Limits::default() };
    let options = EngineOptions { describe, ..EngineOptions::new(dir.path().join("cache")) };
    let short = Engine::new(&options).unwrap();
    let error = short.load(lying("loop")).await.unwrap_err().to_string();
    assert_eq!(error, "describe failed: limit passed: init_ms=200: the call ran too long");
    failed("grow", "limit passed: memory=").await;
    failed("recurse", "limit passed: stack_bytes=").await;
    failed("trap", "deliberate").await;
}

#[tokio::test]
async fn a_description_that_throws_dice_is_the_same_each_time() {
    let version = |plugin: Plugin| plugin.info().version.clone();
    let first = version(engine().load(lying("dice")).await.unwrap());
    let dir = tempfile::tempdir().unwrap();
    let other = Engine::new(&EngineOptions::new(dir.path().join("cache"))).unwrap();
    assert_eq!(version(other.load(lying("dice")).await.unwrap()), first);
    assert_ne!(first, "0.1.0");
}

#[tokio::test]
async fn one_that_says_it_takes_one_output_cannot_name_another() {
    let plugin = engine().load(lying("one-output")).await.unwrap();
    assert_eq!(plugin.info().outputs, crate::Cardinality::One);
    let setup = setup(r#"{"act":"unknown-output"}"#);
    let mut instance = plugin.instantiate(setup).await.unwrap();
    let error = process(&mut instance, batch(1, 0)).await.unwrap_err();
    assert_eq!(error, CallError::Contract("names output 9 of 1".to_owned()));
}
