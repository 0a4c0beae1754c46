//! A third version of a plugin that comes while the second is on probation: what runs, what is shown, and what it goes
//! back to where the third fails.

use serde_json::Value;
use stories::{
    A, B, Wire, events, eventually, eventually_described, eventually_holds, ids, lying_guest,
};

use crate::upgrades::{
    C, D, FIRST, ONE, THREE, TWO, drop_guest, login, rejected, runs, start, three, version,
};

/// What a processor's description says of a new version, once it begins so.
fn stands(wire: &mut Wire, processor: &str, next: &str, state: &str) -> Value {
    eventually_described(wire, processor, state, |seen| {
        let said = seen["upgrade-state"].as_str();
        seen["next-version"] == next && said.is_some_and(|said| said.starts_with(state))
    })
}

#[test]
fn a_third_version_gives_way_to_the_one_that_proved_itself_and_not_to_the_second() {
    let dir = tempfile::tempdir().unwrap();
    let (host, mut wire) = three(dir.path(), ["", "", ""]);
    let all = [(ONE, B), (TWO, C), (THREE, D)];
    let second = lying_guest("patch-8");
    drop_guest(dir.path(), &second);
    for (processor, _) in all {
        runs(&mut wire, processor, "0.1.8");
    }
    wire.write(A, &events(0..20));
    for (processor, flow) in all {
        eventually_holds(&mut wire, flow, 20);
        stands(&mut wire, processor, "0.1.8", "on probation: ");
    }
    drop_guest(dir.path(), &lying_guest("act-panic-at-odd"));
    for (processor, _) in all {
        runs(&mut wire, processor, "0.2.0");
        stands(&mut wire, processor, "0.2.0", "on probation: 0 of 64 batches");
    }
    wire.write(A, &events(20..40));
    let is_back = |wire: &mut Wire| {
        let reason = eventually("the refusal", || rejected(wire).ok_or_else(|| "none".to_owned()));
        assert!(reason.contains("trap: "), "{reason}");
        for (processor, _) in all {
            let seen = runs(wire, processor, "0.1.0");
            assert_eq!(seen.get("upgrade-state"), None, "{seen}");
        }
    };
    is_back(&mut wire);
    host.kill();
    let host = start(dir.path());
    let mut wire = login(&host);
    is_back(&mut wire);
    // The second is as good as before: nothing was found against it.
    drop_guest(dir.path(), &second);
    for (processor, _) in all {
        runs(&mut wire, processor, "0.1.8");
    }
    wire.write(A, &events(40..60));
    let written = wire.read(A);
    for (_, flow) in all {
        assert_eq!(ids(&eventually_holds(&mut wire, flow, 60)), ids(&written), "{flow}");
    }
    assert!(host.end().success());
}

#[test]
fn a_third_version_begins_with_the_first_processor_anew_and_the_others_never_run_the_second() {
    let dir = tempfile::tempdir().unwrap();
    let (host, mut wire) = three(dir.path(), [FIRST, FIRST, FIRST]);
    drop_guest(dir.path(), &lying_guest("patch-8"));
    runs(&mut wire, ONE, "0.1.8");
    wire.write(A, &events(0..20));
    stands(&mut wire, TWO, "0.1.8", &format!("waiting for {ONE}: 20 of 40 events"));
    drop_guest(dir.path(), &lying_guest("patch-9"));
    runs(&mut wire, ONE, "0.1.9");
    // What the second did counts for nothing.
    stands(&mut wire, TWO, "0.1.9", &format!("waiting for {ONE}: 0 of 40 events"));
    wire.write(A, &events(20..40));
    stands(&mut wire, THREE, "0.1.9", &format!("waiting for {ONE}: 20 of 40 events"));
    for processor in [TWO, THREE] {
        assert_eq!(version(&mut wire, processor), "0.1.0");
    }
    drop_guest(dir.path(), &lying_guest("act-panic-at-odd"));
    runs(&mut wire, ONE, "0.2.0");
    wire.write(A, &events(40..60));
    let reason = eventually("the refusal", || rejected(&mut wire).ok_or_else(|| "none".to_owned()));
    assert!(reason.starts_with(&format!("processor {ONE}, ")), "{reason}");
    for processor in [ONE, TWO, THREE] {
        let seen = runs(&mut wire, processor, "0.1.0");
        assert_eq!(seen.get("upgrade-state"), None, "{seen}");
    }
    let log = host.log();
    let took_over = log.lines().filter(|line| line.contains("new plugin version took over"));
    let others = took_over.filter(|line| line.contains(TWO) || line.contains(THREE)).count();
    assert_eq!(others, 0, "{log}");
    drop_guest(dir.path(), &lying_guest("patch-10"));
    runs(&mut wire, ONE, "0.1.10");
    wire.write(A, &events(60..100));
    for processor in [TWO, THREE] {
        runs(&mut wire, processor, "0.1.10");
    }
    let written = wire.read(A);
    for flow in [B, C, D] {
        assert_eq!(ids(&eventually_holds(&mut wire, flow, 100)), ids(&written), "{flow}");
    }
    assert!(host.end().success());
}
