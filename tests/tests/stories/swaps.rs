//! One version of a plugin after another, under load, and files that come in every way that files come.
//!
//! `SWAPS` says how often versions follow each other (`make swaps`: 1,000).

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::Value;
use stories::{
    A, B, Fnaad, P, Wire, events, eventually, eventually_described, eventually_holds,
    eventually_typed, guest, host_with, lying_guest, number, swap_under_load,
};
use tempfile::TempDir;

/// Swaps of a run that nobody asked for more of.
const SWAPS: usize = 50;

#[test]
fn versions_follow_each_other_under_load_and_no_event_is_lost_repeated_or_reordered() {
    let swaps = number("SWAPS", SWAPS);
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let seen = swap_under_load(|| host.login(), &dir.path().join("plugins"), swaps);
    println!("{swaps} swaps, {} events, pauses in ms: {}", seen.events, seen.pauses);
    assert!(seen.pauses["count"].as_u64() > Some(0), "{}", seen.pauses);
}

/// A host with the guest between `a` and `b`.
fn host() -> (Wire, Fnaad, TempDir, PathBuf) {
    let (mut wire, host, dir) = host_with(&[A, B], 1);
    let file = dir.path().join("plugins/guest.wasm");
    std::fs::write(&file, guest()).unwrap();
    until_type(&mut wire, "0.1.0");
    wire.ok(&format!("SIGNAL guest FROM {A} TO {B} AS {P}"));
    (wire, host, dir, file)
}

fn kind(wire: &mut Wire) -> Value {
    let types = wire.json("GET PROCESSOR TYPES");
    types.into_iter().find(|found| found["type"] == "guest").unwrap_or_default()
}

fn until_type(wire: &mut Wire, version: &str) {
    eventually_typed(wire, "guest", |kind| kind["version"] == version);
}

fn reason(wire: &mut Wire) -> Option<String> {
    let types = wire.json("GET PROCESSOR TYPES");
    let found = types.into_iter().find(|found| found["file"] == "guest.wasm")?;
    Some(found["reason"].as_str().unwrap().to_owned())
}

fn until_runs(wire: &mut Wire, version: &str) {
    eventually_described(wire, P, version, |seen| seen["shard.0"]["version"] == version);
}

#[test]
fn of_ten_versions_in_a_second_the_last_wins_and_none_between_harms() {
    let (mut wire, _host, dir, file) = host();
    for patch in 1..=9 {
        std::fs::write(&file, lying_guest(&format!("patch-{patch}"))).unwrap();
        wire.write(A, &events(patch * 10..patch * 10 + 10));
    }
    // The tenth comes by another name, as careful programs do it.
    let part = dir.path().join("plugins/guest.wasm.part");
    std::fs::write(&part, lying_guest("patch-10")).unwrap();
    std::fs::rename(part, file).unwrap();
    until_runs(&mut wire, "0.1.10");
    eventually_holds(&mut wire, B, 90);
    assert_eq!(reason(&mut wire), None);
}

#[test]
fn a_copy_in_pieces_counts_when_it_is_whole() {
    use std::io::Write;
    let (mut wire, _host, _dir, path) = host();
    let next = lying_guest("patch-7");
    let mut file = std::fs::File::create(path).unwrap();
    for piece in next.chunks(next.len().div_ceil(20)) {
        file.write_all(piece).unwrap();
        // What was written is looked at meanwhile, and the type is asked for.
        assert_eq!(kind(&mut wire)["version"], "0.1.0");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(file);
    until_runs(&mut wire, "0.1.7");
    wire.write(A, &events(0..10));
    eventually_holds(&mut wire, B, 10);
}

#[test]
fn a_link_a_half_and_a_file_that_vanishes_change_nothing() {
    let (mut wire, _host, dir, file) = host();
    let next = lying_guest("patch-7");
    std::fs::write(&file, &next[..next.len() / 2]).unwrap();
    eventually("the refusal", || reason(&mut wire).map(drop).ok_or_else(|| "none".to_owned()));
    let elsewhere = dir.path().join("elsewhere.wasm");
    std::fs::write(&elsewhere, &next).unwrap();
    std::fs::remove_file(&file).unwrap();
    symlink(&elsewhere, &file).unwrap();
    eventually("the refusal of the link", || match reason(&mut wire) {
        Some(reason) if reason.starts_with("a symbolic link") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    std::fs::remove_file(&file).unwrap();
    // Gone before anybody could read it, again and again.
    for _ in 0..20 {
        std::fs::write(&file, &next).unwrap();
        std::fs::remove_file(&file).unwrap();
    }
    eventually("nothing that is rejected", || match reason(&mut wire) {
        None => Ok(()),
        Some(reason) => Err(reason),
    });
    assert_eq!(
        (&kind(&mut wire)["version"], &kind(&mut wire)["generation"]),
        (&"0.1.0".into(), &1.into())
    );
    wire.write(A, &events(0..10));
    eventually_holds(&mut wire, B, 10);
    std::fs::write(&file, &next).unwrap();
    until_runs(&mut wire, "0.1.7");
}
