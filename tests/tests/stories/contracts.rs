//! Components of different versions of the contract beside each other, on one host and one after another in one
//! processor: each is spoken to in the version that it was built with.

use std::collections::BTreeMap;

use serde_json::Value;
use stories::{
    A, B, P, Tools, Wire, by_partition, drop_in, events, eventually, eventually_described,
    eventually_typed, host_with,
};

/// What `host/plugins/tests/fixtures/whole.rs` was built to: the same plugin against each version of the contract.
const OLD: &[u8] = include_bytes!("../../../host/plugins/tests/fixtures/v0_1_0_whole.wasm");
const NEW: &[u8] = include_bytes!("../../../host/plugins/tests/fixtures/v1_0_0.wasm");

/// What each says its version is.
const OLDS: &str = "0.2.0";
const NEWS: &str = "1.0.0";

/// Partitions of the flows, and so shards.
const SHARDS: u64 = 2;

/// Events that are written at once.
const TOGETHER: usize = 40;

fn until_contract(wire: &mut Wire, version: &str) {
    eventually_typed(wire, "first", |first| first["contract"] == version);
}

fn of_type<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|event| event["type"] == kind).collect()
}

/// The words of new events, shard by shard.
fn words<'a>(all: &'a [Value], kind: &str) -> BTreeMap<u64, Vec<Vec<&'a str>>> {
    let mut shards = BTreeMap::<u64, Vec<Vec<&str>>>::new();
    for event in of_type(all, kind) {
        let said = event["data"].as_str().expect("text").split(' ').collect();
        shards.entry(event["flowpartition"].as_u64().unwrap()).or_default().push(said);
    }
    shards
}

/// For every shard which version a tick was of, and which had made the state before; ticks are numbered by the state.
fn ticks(all: &[Value]) -> BTreeMap<u64, Vec<(&str, &str)>> {
    let mut numbers = BTreeMap::<u64, u64>::new();
    for event in of_type(all, "ticked") {
        let next = numbers.entry(event["flowpartition"].as_u64().unwrap()).or_default();
        assert_eq!(event["id"], next.to_string(), "lost or repeated: {event}");
        *next += 1;
    }
    let mut ticks = BTreeMap::<u64, Vec<(&str, &str)>>::new();
    for (shard, said) in words(all, "ticked") {
        ticks.insert(shard, said.iter().map(|words| (words[1], words[2])).collect());
    }
    ticks
}

/// Batches are numbered by the state, and the numbers go on whatever version came.
fn batches_follow(all: &[Value]) {
    for (shard, said) in words(all, "said") {
        let before = said.iter().map(|words| words[1].parse::<u8>().unwrap());
        let wanted = (0..=u8::MAX).cycle();
        assert!(
            before.zip(wanted).all(|(found, wanted)| found == wanted),
            "shard {shard}: {said:?}"
        );
    }
}

#[test]
fn one_of_0_1_0_is_swapped_by_one_of_1_0_0_with_its_state_and_back_and_no_event_is_lost() {
    let (mut wire, _host, dir) = host_with(&[A, B], u32::try_from(SHARDS).unwrap());
    let plugins = dir.path().join("plugins");
    drop_in(&plugins, "first.wasm", OLD);
    until_contract(&mut wire, "0.1.0");
    assert_eq!(wire.describe("PROCESSOR bridge")["contract"], "1.0.0");
    let kind = wire.describe("PROCESSOR first");
    assert_eq!(kind["interfaces"], "timer,reconfigure,migrate", "{kind}");
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE first FROM {A} TO {B} CONFIG {{\"tick\":1}}"));
    let mut written = 0;
    let mut froms = vec![(OLDS, "")];
    for (component, version, from) in
        [(NEW, NEWS, OLDS), (OLD, OLDS, NEWS), (NEW, NEWS, OLDS), (OLD, OLDS, NEWS)]
    {
        // Before the swap, and while it goes on.
        for _ in 0..2 {
            wire.write(A, &events(written..written + TOGETHER));
            written += TOGETHER;
            drop_in(&plugins, "first.wasm", component);
        }
        eventually_described(&mut wire, P, version, |seen| {
            (0..SHARDS).all(|shard| seen[format!("shard.{shard}")]["version"] == version)
        });
        froms.push((version, from));
        eventually("a tick of it", || {
            let all = wire.read(B);
            let last =
                ticks(&all).into_values().map(|ticks| *ticks.last().unwrap() == (version, from));
            if last.filter(|is_its| *is_its).count() == 2 { Ok(()) } else { Err("none".to_owned()) }
        });
    }
    let described = eventually_described(&mut wire, P, "all events", |seen| {
        seen["lag-events"] == 0 && seen["state"] == "running"
    });
    assert_eq!(described["failures"], 0, "{described}");
    let all = wire.read(B);
    let copied: Vec<_> = of_type(&all, "told").into_iter().cloned().collect();
    assert_eq!(copied.len(), written);
    assert_eq!(by_partition(&copied), by_partition(&wire.read(A)), "lost, repeated or reordered");
    batches_follow(&all);
    for (shard, mut seen) in ticks(&all) {
        seen.dedup();
        assert_eq!(seen, froms, "shard {shard}");
    }
}

#[test]
fn an_event_that_is_given_another_key_lies_in_its_partition_from_1_0_0_on() {
    for (component, contract, partitions) in [(OLD, "0.1.0", 4), (NEW, "1.0.0", 1)] {
        let (mut wire, _host, dir) = host_with(&[A, B], 4);
        drop_in(&dir.path().join("plugins"), "first.wasm", component);
        until_contract(&mut wire, contract);
        wire.ok(&format!("CREATE PROCESSOR {P} TYPE first FROM {A} TO {B}"));
        let told = events(0..TOGETHER).into_iter().map(|event| {
            let mut event: Value = serde_json::from_str(&event).unwrap();
            event["kind"] = "key".into();
            event.to_string()
        });
        wire.write(A, &told.collect::<Vec<_>>());
        let all = eventually("all events", || {
            let all = wire.read(B);
            if of_type(&all, "told").len() == TOGETHER {
                Ok(all)
            } else {
                Err(all.len().to_string())
            }
        });
        let told = of_type(&all, "told");
        assert!(told.iter().all(|event| event["partitionkey"] == "another"), "{told:?}");
        let mut found: Vec<_> = told.iter().map(|event| event["flowpartition"].as_u64()).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), partitions, "{contract}: {found:?}");
    }
}

#[test]
fn the_tools_say_which_version_a_component_speaks_and_hold_it_against_the_same_rules() {
    let tools = Tools::new();
    for (component, version) in [(OLD, "0.1.0"), (NEW, "1.0.0")] {
        let file = tools.file("first.wasm", component);
        let (code, report) = tools.json(&["check", &file]);
        assert_eq!((code, &report["ok"]), (0, &true.into()), "{report}");
        assert_eq!(report["contract"], format!("flow:processor@{version}"));
        let said = tools.run(&["check", &file], "");
        let line = format!("contract     flow:processor@{version}, world processor\n");
        assert!(said.stdout.contains(&line), "{said:?}");
        let (_, kept) = tools.json(&["conform", &file]);
        let rules = kept["rules"].as_array().unwrap();
        let broken = rules.iter().filter(|tried| tried["result"] == "failed");
        // It notes what it came from, also where that is its own version, so that stories can see it.
        assert_eq!(broken.map(|tried| &tried["rule"]).collect::<Vec<_>>(), ["migrate"], "{kept}");
    }
}
