use std::fs;

use super::*;

const GOOD: &str = r#"
[[agents]]
name = "fnaa-unix"
address = "fnaa.unix.ar:61000"
username = "test"
password = "sesame"
namespaces = ["Flows.Unix.AR"]

[[agents]]
name = "other"
address = "127.0.0.1"
"#;

fn fault(text: &str) -> Fault {
    parse::parse(text).unwrap_err()
}

#[test]
fn agents_are_read_in_order() {
    let config = parse::parse(GOOD).unwrap();
    let unix = &config.agents[0];
    assert_eq!((unix.name.as_str(), unix.address.port()), ("fnaa-unix", 61000));
    assert_eq!(unix.namespaces, ["flows.unix.ar"]);
    assert!(config.agents[1].credentials.is_none());
}

#[test]
fn an_unknown_key_is_refused_by_name_and_line() {
    let fault = fault(&GOOD.replace("username =", "user ="));
    assert_eq!(fault.line, 5);
    assert!(fault.reason.contains("unknown field `user`"), "{}", fault.reason);
}

#[test]
fn a_wrong_address_is_refused_with_its_line() {
    let fault = fault(&GOOD.replace("fnaa.unix.ar:61000", "fnaa.unix.ar:x"));
    assert_eq!(fault.line, 4);
}

#[test]
fn a_user_without_a_password_is_refused() {
    let fault = fault(&GOOD.replace("password = \"sesame\"\n", ""));
    assert!(fault.reason.contains("fnaa-unix"), "{}", fault.reason);
}

#[test]
fn two_agents_of_one_name_are_refused() {
    assert_eq!(fault(&GOOD.replace("\"other\"", "\"fnaa-unix\"")).line, 9);
}

#[test]
fn no_error_and_no_debug_output_repeats_a_password() {
    let config = parse::parse(GOOD).unwrap();
    assert!(!format!("{config:?}").contains("sesame"));
    for wrong in
        ["password = 31337", "password = \"31337\\q\"", "password = [31337]", "password = 31337x"]
    {
        let fault = fault(&GOOD.replace("password = \"sesame\"", wrong));
        assert!(!fault.to_string().contains("31337"), "{fault}");
        assert_eq!(fault.line, 6, "{fault}");
    }
    let fault = fault(&GOOD.replace("\"test\"", "31337"));
    assert!(!fault.to_string().contains("31337"), "{fault}");
}

#[cfg(unix)]
#[test]
fn a_password_that_others_can_read_is_refused_and_a_file_without_one_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fnua.toml");
    fs::write(&path, GOOD).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Config::load(&path), Err(ConfigError::Exposed(_, 0o640))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(Config::load(&path).unwrap().agents.len(), 2);
    fs::write(&path, "[[agents]]\nname = \"a\"\naddress = \"b\"\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(Config::load(&path).unwrap().agents.len(), 1);
}

#[test]
fn a_named_file_wins_over_the_habitual_places() {
    let directory = tempfile::tempdir().unwrap();
    let habitual = directory.path().join("fnua.toml");
    fs::write(&habitual, "").unwrap();
    let mut places = Places {
        habitual: vec![directory.path().join("none"), habitual.clone()],
        ..Places::default()
    };
    assert_eq!(locate(&places), Some(habitual));
    places.variable = Some("variable".into());
    assert_eq!(locate(&places), Some("variable".into()));
    places.flag = Some("flag".into());
    assert_eq!(locate(&places), Some("flag".into()));
}
