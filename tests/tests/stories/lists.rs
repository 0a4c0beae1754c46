//! Namespaces, lists, and the form for programs.

use stories::{Hosted, host_after};

fn host() -> Hosted {
    host_after(&[])
}

#[test]
fn a_namespace_is_made_used_and_deleted_when_it_is_empty() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE NAMESPACE flows.example");
    assert_eq!(wire.data("GET NAMESPACES"), ["flows.example", "flows.unix.ar"]);
    let again = wire.refused("CREATE NAMESPACE flows.example");
    assert_eq!(again, "409 CONFLICT namespace flows.example exists");
    wire.ok("CREATE FLOW a.flows.example");
    wire.ok("CREATE FLOW b.flows.unix.ar");
    assert_eq!(wire.data("GET FLOWS flows.example"), ["a.flows.example"]);
    let held = wire.refused("DELETE NAMESPACE flows.example");
    assert_eq!(held, "409 CONFLICT namespace flows.example holds a.flows.example");
    wire.ok("DELETE FLOW a.flows.example");
    wire.ok("DELETE NAMESPACE flows.example");
    let gone = wire.refused("DESCRIBE NAMESPACE flows.example");
    assert_eq!(gone, "404 NOT_FOUND namespace flows.example");
    assert!(wire.refused("CREATE FLOW a.flows.example").starts_with("404 NOT_FOUND "));
}

#[test]
fn a_namespace_is_described_and_has_settings() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW a.flows.unix.ar");
    wire.ok("UPDATE NAMESPACE flows.unix.ar contact=ops@unix.ar");
    let description = wire.describe("NAMESPACE flows.unix.ar");
    assert_eq!(description["namespace"], "flows.unix.ar");
    assert_eq!(description["flows"], 1);
    assert_eq!(description["config.contact"], "ops@unix.ar");
    assert_eq!(wire.data("GET BROKERS"), [description["broker"].as_str().unwrap()]);
    let missing = wire.refused("CREATE NAMESPACE flows.example BROKER nowhere");
    assert_eq!(missing, "404 NOT_FOUND broker nowhere");
}

#[test]
fn a_longer_namespace_does_not_take_flows_away() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW a.sub.flows.unix.ar");
    let refused = wire.refused("CREATE NAMESPACE sub.flows.unix.ar");
    assert!(refused.starts_with("409 CONFLICT ") && refused.contains("a.sub."), "{refused}");
    wire.ok("CREATE NAMESPACE other.flows.unix.ar");
    wire.ok("CREATE FLOW b.other.flows.unix.ar");
    assert_eq!(wire.data("GET FLOWS other.flows.unix.ar"), ["b.other.flows.unix.ar"]);
}

#[test]
fn every_list_and_description_has_a_form_for_programs() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW a.flows.unix.ar partitions=2");
    wire.ok("CREATE FLOW b.flows.unix.ar");
    wire.ok("REPLICATE a.flows.unix.ar b.flows.unix.ar AS copy.flows.unix.ar");
    let flows = wire.json("GET FLOWS");
    assert_eq!(flows.len(), 2);
    assert_eq!(
        (&flows[0]["flow"], &flows[0]["partitions"]),
        (&"a.flows.unix.ar".into(), &2.into())
    );
    assert_eq!(wire.json("GET NAMESPACES")[0]["namespace"], "flows.unix.ar");
    assert_eq!(wire.json("GET PROCESSORS")[0]["processor"], "copy.flows.unix.ar");
    let types = wire.json("GET PROCESSOR TYPES");
    let names: Vec<_> = types.iter().map(|found| found["type"].as_str().unwrap()).collect();
    assert_eq!(names, ["bridge", "collector", "distributor", "signal"]);
    assert!(types.iter().all(|found| found["health"] == "ok" && found["contract"] == "1.0.0"));
    assert_eq!(types[1]["shape"], "N:1");
    assert_eq!(types[0]["digest"].as_str().unwrap().len(), 64);
    assert_eq!(wire.json("GET BROKERS")[0]["type"], "embedded");
    for what in [
        "FLOW a.flows.unix.ar",
        "NAMESPACE flows.unix.ar",
        "PROCESSOR copy.flows.unix.ar",
        "PROCESSOR bridge",
        "BROKER embedded",
    ] {
        let lines = wire.data(&format!("DESCRIBE {what}"));
        let object = wire.describe(what);
        for key in object.as_object().unwrap().keys() {
            let empty = object[key].as_array().is_some_and(Vec::is_empty);
            let told = lines.iter().any(|line| line.starts_with(&format!("{key}=")));
            assert!(told || empty, "{what}: {key} is not in {lines:?}");
        }
    }
}

#[test]
fn a_type_is_described_with_the_schema_of_its_configuration() {
    let (mut wire, _host, _dir) = host();
    let description = wire.describe("PROCESSOR bridge");
    assert_eq!((&description["type"], &description["shape"]), (&"bridge".into(), &"1:1".into()));
    let schema = description["config-schema"].as_str().unwrap();
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    assert_eq!(schema["properties"]["filter"]["type"], "string");
    assert!(wire.refused("DESCRIBE PROCESSOR nothing").starts_with("404 NOT_FOUND "));
}

#[test]
fn the_short_words_of_the_proof_of_concept_stay() {
    let (mut wire, _host, _dir) = host();
    wire.ok("create flow a.flows.unix.ar");
    assert_eq!(wire.data("get fl"), ["a.flows.unix.ar"]);
    assert_eq!(wire.data("Get Ns"), ["flows.unix.ar"]);
    assert_eq!(wire.data("DESC FLOW A.Flows.Unix.AR")[0], "flow=a.flows.unix.ar");
}
