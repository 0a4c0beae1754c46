//! The state that another version left.

use super::*;
use crate::{ShardState, SharedState};

/// The guest with a lie, see tests/guest/src/lies.rs.
async fn lying(lie: &str) -> Plugin {
    engine().load(lied(lie)).await.unwrap()
}

pub(super) fn lied(lie: &str) -> Bytes {
    const PLACE: &[u8] = b"lie=nothing";
    let mut bytes = GUEST.to_vec();
    let at = bytes.windows(PLACE.len()).position(|window| window == PLACE).unwrap();
    bytes[at + 4..at + 32].copy_from_slice(format!("{lie:.<28}").as_bytes());
    bytes.into()
}

fn left(from: Option<&str>) -> Setup {
    let ticks = Bytes::from(7_u64.to_be_bytes().to_vec());
    let state = SharedState::new(ShardState::with_base([(Bytes::from("ticks"), ticks)]));
    state.lock().begin();
    Setup { state, takes_over: from.map(str::to_owned), ..setup(r#"{"act":"tick-idle"}"#) }
}

#[tokio::test]
async fn what_is_taken_over_is_written_before_init_and_only_then() {
    let plugin = lying("migrates").await;
    let setup = left(Some("0.0.9"));
    let state = setup.state.clone();
    plugin.instantiate(setup).await.unwrap();
    let wanted = [("from", b"0.0.9".to_vec()), ("ticks", 1_000_007_u64.to_be_bytes().to_vec())];
    let wanted = wanted.map(|(key, value)| (Bytes::from(key), Some(Bytes::from(value))));
    assert_eq!(state.lock().take_changes(), wanted);
    let untouched = left(None);
    let state = untouched.state.clone();
    plugin.instantiate(untouched).await.unwrap();
    assert_eq!(state.lock().take_changes(), []);
}

#[tokio::test]
async fn a_version_that_cannot_read_the_state_says_so_with_its_words() {
    let refused = lying("cannot-migrate").await.instantiate(left(Some("0.0.9"))).await;
    let words = "cannot read the state of 0.0.9 with {\"act\":\"tick-idle\"}".to_owned();
    assert_eq!(refused.map(drop), Err(CallError::Fatal(words)));
    // One that has no such interface reads what is there.
    let first = Bytes::from_static(include_bytes!("../../tests/fixtures/v0_1_0.wasm"));
    engine().load(first).await.unwrap().instantiate(left(Some("0.0.9"))).await.unwrap();
}
