//! The draft's configuration file (section 6.3), and the command that it shows with it.

use crate::fake::{Fake, Fnua};

/// The draft's text; its indentation was lost in print.
fn draft(address: &str) -> String {
    format!(
        "agents:
  -
    name: fnaa-unix
    fqdn: fnaa.unix.ar
    username: test
    password: test
    prefix: unix.ar-
  -
    name: fnaa-emiliano
    fqdn: fnaa.emiliano.ar
    address: {address}
    username: test
    password: test
    prefix: emiliano.ar-

namespaces:
  -
    name: flows.unix.ar
    agent: fnaa-unix
  -
    name: flows.emiliano.ar
    agent: fnaa-emiliano
"
    )
}

#[cfg(unix)]
fn private(fnua: &Fnua, name: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(fnua.path(name), mode).unwrap();
}

#[cfg(unix)]
#[test]
fn the_drafts_file_and_its_subscribe_work_as_in_the_draft() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.expect("SUBSCRIBE time.flows.unix.ar LOCAL emiliano.ar-time.flows.unix.ar");
        talk.say("220 DATA\nemiliano.ar-time.flows.unix.ar SUBSCRIBED TO ksdj898.time.flows.unix.ar\n220 OK");
        talk.quit();
    });
    let fnua = Fnua::with_agents(&[]);
    fnua.file("flow.yml", &draft(&fake.address()));
    let words =
        ["--config=./flow.yml", "subscribe", "time.flows.unix.ar", "--agent", "fnaa-emiliano"];
    private(&fnua, "flow.yml", 0o644);
    fnua.run(&words).badly(2, "flow.yml holds a password and others can read it (mode 0644)");
    private(&fnua, "flow.yml", 0o600);
    let wanted = "emiliano.ar-time.flows.unix.ar SUBSCRIBED TO ksdj898.time.flows.unix.ar\n";
    assert_eq!(fnua.run(&words).well(), wanted);
    fake.finish();
}

#[cfg(unix)]
#[test]
fn a_yaml_file_is_found_at_the_habitual_place_and_an_unknown_key_is_refused_by_its_line() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.expect("CREATE FLOW a.flows.emiliano.ar");
        talk.say("220 OK a.flows.emiliano.ar");
        talk.quit();
    });
    let fnua = Fnua::with_agents(&[]);
    std::fs::remove_file(fnua.path("fnua.toml")).unwrap();
    fnua.file("fnua.yaml", &draft(&fake.address()));
    private(&fnua, "fnua.yaml", 0o600);
    fnua.run(&["create", "flow", "a.flows.emiliano.ar"]).well();
    fnua.file(
        "fnua.yaml",
        &draft(&fake.address()).replace("    fqdn: fnaa.unix.ar", "    host: x"),
    );
    fnua.run(&["get", "flows"]).badly(2, "fnua.yaml:4: unknown field `host`");
    fake.finish();
}
