use clap::CommandFactory;

use super::plan::plan;
use super::*;

fn line(words: &[&str]) -> Result<String, String> {
    let words = ["fnua"].iter().chain(words);
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    let planned = plan(&cli.command, cli.format).map_err(|error| error.to_string())?;
    Ok(planned.ok_or("more than one command")?.command.to_string())
}

fn sent(words: &[&str]) -> String {
    line(words).unwrap()
}

#[test]
fn the_command_line_is_consistent_and_every_command_has_help() {
    Cli::command().debug_assert();
    fn check(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}

#[test]
fn the_help_of_a_command_offers_nothing_that_it_refuses() {
    let mut whole = Cli::command();
    let create = whole.find_subcommand_mut("create").unwrap();
    let help = create.find_subcommand_mut("processor").unwrap().render_long_help().to_string();
    assert!(help.contains("--start") && !help.contains("--as"), "{help}");
}

#[test]
fn what_is_typed_becomes_the_protocols_commands() {
    assert_eq!(
        sent(&["create", "flow", "flow://Time.flows.unix.ar"]),
        "CREATE FLOW time.flows.unix.ar"
    );
    assert_eq!(sent(&["create", "flow", "a.b", "partitions=4"]), "CREATE FLOW a.b partitions=4");
    assert_eq!(sent(&["create", "namespace", "b", "--broker", "k"]), "CREATE NAMESPACE b BROKER k");
    assert_eq!(sent(&["get", "types"]), "GET PROCESSOR TYPES");
    assert_eq!(sent(&["get", "flows", "b", "--format", "json"]), "GET FLOWS b FORMAT json");
    assert_eq!(sent(&["describe", "flow", "a.b"]), "DESCRIBE FLOW a.b");
    assert_eq!(sent(&["delete", "processor", "p.b"]), "DELETE PROCESSOR p.b");
    assert_eq!(sent(&["purge", "flow", "a.b", "--confirm", "a.b"]), "PURGE FLOW a.b CONFIRM a.b");
    assert_eq!(sent(&["subscribe", "a.b", "--local", "c.d"]), "SUBSCRIBE a.b LOCAL c.d");
    let some = sent(&["subscribe", "a.b", "--local", "c.d", "--filter", "data.n > 1"]);
    assert_eq!(some, "SUBSCRIBE a.b LOCAL c.d filter=\"data.n > 1\"");
    assert_eq!(sent(&["pause", "p.b"]), "PAUSE p.b");
    assert_eq!(sent(&["get", "requests"]), "GET REQUESTS");
    assert_eq!(sent(&["get", "subscribers", "a.b"]), "GET SUBSCRIBERS a.b");
    assert_eq!(sent(&["get", "credentials", "s.a.b"]), "GET CREDENTIALS s.a.b");
    let by_kafka = sent(&["subscribe", "a.b", "--transport", "kafka", "filter=true"]);
    assert_eq!(by_kafka, "SUBSCRIBE a.b filter=true transport=kafka");
    assert_eq!(sent(&["approve", "r"]), "APPROVE r");
    let approved = sent(&["approve", "r", "--filter", "data.n > 1", "--policy", "mask {\"k\":1}"]);
    assert_eq!(approved, r#"APPROVE r FILTER "data.n > 1" POLICY "mask {\"k\":1}""#);
    assert_eq!(sent(&["deny", "r", "not you"]), "DENY r not you");
    assert_eq!(sent(&["remove", "subscriber", "s.a.b"]), "REMOVE SUBSCRIBER s.a.b");
}

#[test]
fn processors_are_made_of_lists_of_flows() {
    assert_eq!(sent(&["replicate", "a.b", "c.b"]), "REPLICATE a.b c.b");
    assert_eq!(sent(&["replicate", "*.b", "x-*.c"]), "REPLICATE *.b x-*.c");
    assert_eq!(sent(&["collect", "*.b", "all.c", "--as", "m.c"]), "COLLECT *.b all.c AS m.c");
    assert_eq!(sent(&["collect", "a.b,c.b", "d.b"]), "COLLECT a.b,c.b d.b");
    assert_eq!(sent(&["collect", "a.b", "c.b", "d.b"]), "COLLECT a.b,c.b d.b");
    assert_eq!(sent(&["distribute", "a.b", "c.b,d.b", "e.b"]), "DISTRIBUTE a.b c.b,d.b,e.b");
    let signal =
        sent(&["signal", "t", "--from", "a.b,c.b", "--to", "d.b", "--config-json", "{\"x\": 1}"]);
    assert!(signal.starts_with("SIGNAL t FROM a.b,c.b TO d.b"), "{signal}");
    assert!(signal.contains("CONFIG {\"x\": 1}"), "{signal}");
    let create =
        sent(&["create", "processor", "p.b", "--type", "t", "--from", "a.b", "--to", "d.b"]);
    assert_eq!(create, "CREATE PROCESSOR p.b TYPE t FROM a.b TO d.b");
}

#[test]
fn processors_are_changed_in_one_way_at_a_time() {
    assert_eq!(
        sent(&["update", "processor", "p.b", "--config-json", "{}"]),
        "UPDATE PROCESSOR p.b CONFIG {}"
    );
    let moved = sent(&["update", "processor", "p.b", "--position", "0:5", "--state", "reset"]);
    assert_eq!(moved, "UPDATE PROCESSOR p.b POSITION OFFSET 0:5 STATE reset");
    assert_eq!(sent(&["update", "processor", "p.b", "x=y"]), "UPDATE PROCESSOR p.b x=y");
    assert!(line(&["update", "processor", "p.b", "x=y", "--config-json", "{}"]).is_err());
    assert!(line(&["update", "processor", "p.b"]).is_err());
}

#[test]
fn what_does_not_fit_is_refused() {
    for words in [
        &["create", "flow", "a..b"][..],
        &["create", "flow", "a.b", "x"],
        &["create", "flow", "a.b", "x=1", "x=2"],
        &["collect", "a.b", "c.b,d.b"],
        &["distribute", "a.b,c.b", "d.b"],
        &["purge", "flow", "a.b", "--confirm", "c.b"],
        &["read", "a.b", "--from", "yesterday"],
        &["write", "a.b", "--run-id", "a b"],
        &[
            "create",
            "processor",
            "p.b",
            "--type",
            "t",
            "--from",
            "a.b",
            "--to",
            "d.b",
            "--as",
            "x.b",
        ],
        &["nonsense"],
    ] {
        assert!(line(words).is_err(), "{words:?}");
    }
}

#[test]
fn who_changes_nothing_of_a_processor_is_told_all_that_he_may_change() {
    let said = line(&["update", "processor", "a.b"]).unwrap_err();
    let options =
        ["--config-json", "--config-file", "--position", "--shadow", "--promote", "--discard"];
    for word in ["KEY=VALUE"].iter().chain(&options) {
        assert!(said.contains(word), "{word} in {said}");
    }
}

#[test]
fn positions_have_four_forms() {
    assert_eq!(values::start("EARLIEST").unwrap().to_string(), "earliest");
    assert_eq!(values::start("3:100").unwrap().to_string(), "OFFSET 3:100");
    assert_eq!(
        values::start("2026-01-31T12:00:00Z").unwrap().to_string(),
        "TIME 2026-01-31T12:00:00Z"
    );
    assert!(values::start("3:").is_err());
}
