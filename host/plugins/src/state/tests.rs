//! Reads, writes and ways back.

use super::*;

const ROOM: StateLimits = StateLimits { total: 10_000, value: 1_000 };

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn state(entries: &[(&'static str, &'static str)]) -> ShardState {
    ShardState::with_base(entries.iter().map(|(key, value)| (bytes(key), bytes(value))))
}

fn keys(state: &ShardState, prefix: &str, after: Option<&str>, limit: u32) -> Vec<String> {
    let found = state.scan(prefix.as_bytes(), after.map(str::as_bytes), limit);
    found.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
}

#[test]
fn reads_see_what_was_written_last() {
    let mut state = state(&[("a", "0"), ("b", "0")]);
    state.begin();
    state.set(bytes("a"), bytes("1"), ROOM).unwrap();
    state.begin();
    state.delete(bytes("b")).unwrap();
    assert_eq!(state.get(b"a"), Some(bytes("1")));
    assert_eq!(state.get(b"b"), None);
    state.set(bytes("b"), bytes("2"), ROOM).unwrap();
    assert_eq!(state.get(b"b"), Some(bytes("2")));
}

#[test]
fn a_commit_takes_the_way_back_and_giving_up_goes_it() {
    let mut state = state(&[("a", "0")]);
    state.begin();
    state.set(bytes("b"), bytes("1"), ROOM).unwrap();
    assert_eq!(state.take_changes(), [(bytes("b"), Some(bytes("1")))]);
    state.begin();
    state.delete(bytes("a")).unwrap();
    assert_eq!(state.take_changes(), [(bytes("a"), None)]);
    state.committed();
    state.abandon();
    assert_eq!(keys(&state, "", None, 10), ["a", "b"]);
    assert_eq!(state.pending(), 0);
}

#[test]
fn the_size_follows_every_change_and_returns_with_what_is_given_up() {
    let mut state = state(&[("a", "0123456789")]);
    let before = state.size();
    state.begin();
    state.set(bytes("a"), bytes("0"), ROOM).unwrap();
    assert_eq!(state.size(), before - 9);
    state.begin();
    state.set(bytes("b"), bytes("0"), ROOM).unwrap();
    state.delete(bytes("a")).unwrap();
    assert_eq!(state.size(), before - 9);
    state.committed();
    state.committed();
    assert_eq!(state.size(), ShardState::with_base([(bytes("b"), bytes("0"))]).size());
    state.begin();
    state.set(bytes("c"), bytes("0"), ROOM).unwrap();
    state.abandon();
    assert_eq!(state.size(), before - 9);
}

#[test]
fn a_full_state_refuses_more_and_takes_less() {
    let mut state = ShardState::default();
    state.begin();
    let tight = StateLimits { total: 250, value: 1_000 };
    state.set(bytes("a"), bytes("0123456789"), tight).unwrap();
    state.set(bytes("b"), bytes("0123456789"), tight).unwrap();
    assert_eq!(state.set(bytes("c"), bytes(""), tight), Err(WriteError::Full(250)));
    state.set(bytes("a"), bytes("0"), tight).unwrap();
    state.delete(bytes("b")).unwrap();
    state.set(bytes("c"), bytes(""), tight).unwrap();
}

#[test]
fn keys_and_values_that_cannot_be_stored_are_denied() {
    let mut state = ShardState::default();
    assert!(matches!(state.set(bytes("a"), bytes("1"), ROOM), Err(WriteError::Denied(_))));
    state.begin();
    assert!(matches!(state.set(bytes(""), bytes("1"), ROOM), Err(WriteError::Denied(_))));
    let long = Bytes::from(vec![b'k'; MAX_KEY + 1]);
    assert!(matches!(state.delete(long), Err(WriteError::TooLong("the key", ..))));
    let large = Bytes::from(vec![b'v'; 1_001]);
    let long = WriteError::TooLong("the value", "state_value_bytes", ROOM.value);
    assert_eq!(state.set(bytes("a"), large, ROOM), Err(long));
}

#[test]
fn deleting_what_is_not_there_leaves_no_trace() {
    let mut state = ShardState::default();
    state.begin();
    state.delete(bytes("a")).unwrap();
    state.set(bytes("b"), bytes("1"), ROOM).unwrap();
    state.delete(bytes("b")).unwrap();
    assert_eq!(state.take_changes(), []);
    assert_eq!(state.size(), 0);
}

#[test]
fn a_scan_goes_on_after_a_key_and_ends_with_its_prefix() {
    let mut state = state(&[("a", ""), ("p1", ""), ("p2", ""), ("p4", ""), ("q", "")]);
    state.begin();
    state.set(bytes("p3"), bytes(""), ROOM).unwrap();
    state.delete(bytes("p2")).unwrap();
    assert_eq!(keys(&state, "p", None, 10), ["p1", "p3", "p4"]);
    assert_eq!(keys(&state, "p", Some("p1"), 1), ["p3"]);
    assert_eq!(keys(&state, "p", Some("a"), 10), ["p1", "p3", "p4"]);
    assert_eq!(keys(&state, "p", Some("q"), 10), Vec::<String>::new());
}

#[test]
fn a_scan_gives_one_entry_however_large() {
    let big = Bytes::from(vec![0; SCAN_BYTES + 1]);
    let state = ShardState::with_base([(bytes("a"), big), (bytes("b"), bytes(""))]);
    assert_eq!(keys(&state, "", None, 10), ["a"]);
}

#[test]
fn what_is_committed_is_known_whatever_waits_behind_it() {
    let mut state = state(&[("a", "0"), ("c", "0"), ("e", "0"), ("g", "0")]);
    let base = |state: &ShardState| -> Vec<(Bytes, Bytes)> {
        state.base().map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let before = base(&state);
    let size = state.size();
    state.begin();
    state.set(bytes("a"), bytes("1"), ROOM).unwrap();
    state.set(bytes("b"), bytes("1"), ROOM).unwrap();
    state.delete(bytes("g")).unwrap();
    state.begin();
    state.set(bytes("a"), bytes("2"), ROOM).unwrap();
    state.delete(bytes("c")).unwrap();
    state.delete(bytes("b")).unwrap();
    state.set(bytes("h"), bytes("2"), ROOM).unwrap();
    assert_eq!(base(&state), before);
    state.abandon();
    assert_eq!(keys(&state, "", None, 9), ["a", "b", "c", "e"]);
    assert_eq!(state.get(b"a"), Some(bytes("1")));
    assert_eq!(base(&state), before);
    state.abandon();
    let now: Vec<_> =
        state.copy().base().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert_eq!((now, state.size()), (before, size));
}

#[test]
fn what_a_batch_wrote_again_and_again_is_one_change() {
    let mut state = state(&[("a", "0")]);
    state.begin();
    for value in ["1", "2", "3"] {
        state.set(bytes("a"), bytes(value), ROOM).unwrap();
        state.set(bytes("b"), bytes(value), ROOM).unwrap();
    }
    state.delete(bytes("b")).unwrap();
    state.begin();
    assert_eq!(state.take_changes(), []);
    state.abandon();
    assert_eq!(state.take_changes(), [(bytes("a"), Some(bytes("3")))]);
    state.delete(bytes("a")).unwrap();
    state.set(bytes("a"), bytes("4"), ROOM).unwrap();
    state.abandon();
    assert_eq!(state.get(b"a"), Some(bytes("0")));
}
