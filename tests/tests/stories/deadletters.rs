//! `fnua deadletters`: what an operator does with events that a processor could not take.

use stories::Fnaad;

const P: &str = "p.flows.unix.ar";

#[test]
fn a_processor_without_dead_letters_has_an_empty_list_and_none_to_show() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let fnua = host.fnua();
    for flow in ["a.flows.unix.ar", "b.flows.unix.ar"] {
        fnua.ok(&["create", "flow", flow]);
    }
    fnua.ok(&["replicate", "a.flows.unix.ar", "b.flows.unix.ar", "--as", P]);
    assert_eq!(fnua.ok(&["deadletters", "list", P]), "");
    assert_eq!(fnua.ok(&["deadletters", "list", P, "--all", "--format", "json"]), "");
    let said = fnua.run(&["deadletters", "show", P, "0:0"]);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains(&format!("404 NOT_FOUND dead letter 0:0 of {P}")), "{said:?}");
    let said = fnua.run(&["deadletters", "list", "none.flows.unix.ar"]);
    assert_eq!(said.code, 1, "{said:?}");
}
