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

/// The draft's own text, indented.
const DRAFT: &str = "\
agents:
  -
    name: fnaa-unix
    fqdn: fnaa.unix.ar
    username: test
    password: test
    prefix: unix.ar-
  -
    name: fnaa-emiliano
    fqdn: fnaa.emiliano.ar
    username: test
    password: 007
    prefix: emiliano.ar-

namespaces:
  -
    name: flows.unix.ar
    agent: fnaa-unix
  -
    name: flows.emiliano.ar
    agent: fnaa-emiliano
";

fn read_toml(text: &str) -> Result<Config, Fault> {
    parse(text, Syntax::Toml, Path::new("/etc/fnua"))
}

fn read_yaml(text: &str) -> Result<Config, Fault> {
    parse(text, Syntax::Yaml, Path::new("/etc/fnua"))
}

fn fault(text: &str) -> Fault {
    read_toml(text).unwrap_err()
}

fn yaml_fault(text: &str) -> String {
    read_yaml(text).unwrap_err().to_string()
}

/// The only agent of a file with these keys.
fn agent(keys: &str) -> Result<Agent, String> {
    let text = format!("[[agents]]\nname = \"a\"\naddress = \"h\"\n{keys}\n");
    let config = read_toml(&text).map_err(|fault| fault.to_string())?;
    Ok(config.agents.into_iter().next().unwrap())
}

fn password(agent: &Agent) -> &str {
    match &agent.login.password {
        Some(Source::Here(password)) => password.reveal(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn agents_are_read_in_order() {
    let config = read_toml(GOOD).unwrap();
    let unix = &config.agents[0];
    assert_eq!((unix.name.as_str(), unix.address.port()), ("fnaa-unix", 61000));
    assert_eq!(unix.namespaces, ["flows.unix.ar"]);
    assert_eq!(password(unix), "sesame");
    assert!(config.agents[1].login.password.is_none());
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
fn keys_that_do_not_go_together_are_refused() {
    assert!(agent("username = \"ana\"").is_ok());
    for (keys, reason) in [
        ("password = \"x\"", "a password needs its username"),
        ("username = \"a\"\npassword = \"x\"\npassword_command = [\"y\"]", "only one of password"),
        ("token_file = \"x\"\ntoken_command = [\"y\"]", "only one of token_file"),
        ("token_command = []", "a command is a list"),
        ("token_command = \"x\"", "expected a list"),
        ("certificate_file = \"x\"", "certificate_file and key_file go together"),
        ("mechanism = \"PLAIN\"", "the mechanism needs a username"),
        ("mechanism = \"OAUTHBEARER\"", "the mechanism needs a token_file"),
        ("mechanism = \"EXTERNAL\"", "the mechanism needs a certificate_file"),
        ("mechanism = \"NTLM\"", "mechanism is one of PLAIN, SCRAM-SHA-256, "),
        ("tls = \"off\"", "tls is one of starttls, implicit, never"),
        ("allow_plaintext = true", "allow_plaintext goes with tls = \"never\" only"),
        ("allow_plaintext = \"yes\"", "expected true or false"),
        ("tls = \"never\"\nca_file = \"x\"", "one of them is not meant"),
        ("tls = \"never\"\ncertificate_file = \"x\"\nkey_file = \"y\"", "needs tls"),
        ("ca_file = \"\"", "an empty path"),
        ("namespaces = [\"a..b\"]", "empty label 2"),
        ("prefix = \"a b\"", "character ' '"),
        ("insecure = true", "unknown field `insecure`"),
    ] {
        let said = agent(keys).unwrap_err();
        assert!(said.contains(reason), "{keys}: {said}");
    }
}

#[test]
fn files_lie_beside_the_configuration_and_names_may_be_uris() {
    let agent = agent(
        "ca_file = \"ca.pem\"\ntoken_file = \"/run/token\"\nnamespaces = [\"flow://Flows.unix.ar/\"]\n\
         fqdn = \"fnaa.unix.ar\"\nmechanism = \"oauthbearer\"",
    )
    .unwrap();
    assert_eq!(agent.tls.ca_file.as_deref(), Some(Path::new("/etc/fnua/ca.pem")));
    assert!(
        matches!(&agent.login.token, Some(Source::File(path)) if path == Path::new("/run/token"))
    );
    assert_eq!(agent.namespaces, ["flows.unix.ar"]);
    assert_eq!((agent.address.host(), agent.server_name()), ("h", "fnaa.unix.ar"));
}

#[test]
fn the_drafts_yaml_means_what_it_says() {
    let config = read_yaml(DRAFT).unwrap();
    let [unix, emiliano] = &config.agents[..] else { panic!("{config:?}") };
    assert_eq!(
        (unix.name.as_str(), unix.address.to_string().as_str()),
        ("fnaa-unix", "fnaa.unix.ar:61000")
    );
    assert_eq!((unix.prefix.as_deref(), unix.server_name()), (Some("unix.ar-"), "fnaa.unix.ar"));
    assert_eq!((emiliano.login.user(), password(emiliano)), ("test", "007"));
    assert_eq!(emiliano.namespaces, ["flows.emiliano.ar"]);
    // As it is printed: without indentation, and in the flow style.
    let flat: String =
        DRAFT.lines().map(|line| format!("{}\n", line.trim_start_matches("    "))).collect();
    assert!(read_yaml(&flat).is_err());
    let json =
        r#"{"agents": [{"name": "a", "address": "h:1", "tls": "never", "allow_plaintext": true}]}"#;
    assert!(read_yaml(json).unwrap().agents[0].tls.allow_plaintext);
    assert!(
        read_yaml("").unwrap().agents.is_empty()
            && read_yaml("agents:\n").unwrap().agents.is_empty()
    );
}

#[test]
fn yaml_that_is_wrong_is_refused_by_its_line_and_without_values() {
    for (text, said) in [
        (
            DRAFT.replace("username: test", "user: test"),
            "5: unknown field `user`, expected one of name, ",
        ),
        (DRAFT.replace("agent: fnaa-unix", "agent: sesame"), "18: no agent of that name"),
        (DRAFT.replace("fqdn: fnaa.unix.ar", "fqdn: x:y"), "4: not an address"),
        (
            DRAFT.replace("password: test", "password: [sesame]"),
            "6: invalid type: list, expected a string",
        ),
        (
            DRAFT.replace("password: test", "password: true"),
            "6: invalid type: boolean, expected a string",
        ),
        (
            DRAFT.replace("password: test", "password: test\n    password: sesame"),
            "7: key `password` given twice",
        ),
        (format!("{DRAFT}---\nagents: []\n"), "23: a second document"),
        ("agents: &a []\nnamespaces: *a\n".to_owned(), "1: anchors are not taken"),
        ("agents: !!seq []\n".to_owned(), "1: tags are not taken"),
        ("agents: x\n".to_owned(), "1: invalid type: string, expected a list"),
        ("- x\n".to_owned(), "1: invalid type: list, expected keys and values"),
        ("? [a]\n: b\n".to_owned(), "1: a key must be a text"),
    ] {
        let fault = yaml_fault(&text);
        assert!(fault.starts_with(said), "{text}: {fault}");
        assert!(!fault.contains("sesame"), "{fault}");
    }
    for text in [
        "agents: [",
        "agents: \"sesame\n",
        "\tsesame",
        "a: b: sesame",
        "agents:\n  - name: \"\\q sesame\"\n",
        "%sesame",
    ] {
        assert!(!yaml_fault(text).contains("sesame"), "{text}: {}", yaml_fault(text));
    }
}

#[test]
fn a_small_yaml_file_cannot_mean_much() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert_eq!(yaml_fault(&bomb), "1: anchors are not taken");
    assert_eq!(yaml_fault("agents: *a\n").split(": ").next(), Some("1"));
    let deep = "[".repeat(yaml_text::MAX_DEPTH + 2);
    assert_eq!(yaml_fault(&deep), format!("1: more than {} levels", yaml_text::MAX_DEPTH));
    let deeper = "[".repeat(100_000);
    assert!(read_yaml(&deeper).is_err());
    let many = format!("agents: [{}]\n", "x,".repeat(yaml_text::MAX_NODES));
    assert_eq!(yaml_fault(&many), format!("1: more than {} values", yaml_text::MAX_NODES));
}

#[test]
fn a_file_over_a_megabyte_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fnua.yaml");
    fs::write(&path, "#".repeat(MAX_FILE + 1)).unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().ends_with("over 1048576 bytes"));
    fs::write(&path, "#".repeat(MAX_FILE)).unwrap();
    assert!(Config::load(&path).unwrap().agents.is_empty());
}

#[test]
fn two_agents_of_one_name_are_refused() {
    assert_eq!(fault(&GOOD.replace("\"other\"", "\"fnaa-unix\"")).line, 9);
}

#[test]
fn no_error_and_no_debug_output_repeats_a_password() {
    let config = read_toml(GOOD).unwrap();
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
        habitual: [directory.path().join("none"), habitual.clone()].map(Found::meant).to_vec(),
        ..Places::default()
    };
    assert_eq!(locate(&places), Some(Found::meant(habitual)));
    places.variable = Some("variable".into());
    assert_eq!(locate(&places), Some(Found::meant("variable".into())));
    places.flag = Some("flag".into());
    assert_eq!(locate(&places), Some(Found::meant("flag".into())));
}

#[cfg(unix)]
#[test]
fn a_file_that_lies_about_runs_no_program_leaves_no_tls_out_and_is_ones_own() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fnua.toml");
    let found = |by_chance, keys: &str, mode| {
        fs::write(&path, format!("[[agents]]\nname = \"a\"\naddress = \"b\"\n{keys}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Config::found(&Found { path: path.clone(), by_chance }).map_err(|error| error.to_string())
    };
    for (keys, named) in [
        ("username = \"u\"\npassword_command = [\"sh\"]", "has password_command: --config "),
        ("token_command = [\"sh\"]", "has token_command: --config "),
        ("tls = \"never\"\nallow_plaintext = true", "has allow_plaintext: --config "),
    ] {
        let refused = found(true, keys, 0o644).unwrap_err();
        assert!(refused.contains(named), "{refused}");
        assert!(!found(false, keys, 0o644).unwrap().by_chance);
    }
    for mode in [0o664, 0o646] {
        let refused = found(true, "", mode).unwrap_err();
        assert!(refused.contains("somebody else can have written it"), "{refused}");
        found(false, "", mode).unwrap();
    }
    assert!(found(true, "username = \"u\"\nca_file = \"c\"", 0o644).unwrap().by_chance);
}

#[test]
fn name_servers_zones_and_whom_to_believe_are_read() {
    let keys = "nameservers = [\"192.0.2.53\", \"[::1]:5353\"]\nresolve = [\"unix.ar=127.0.0.1:5\"]\n\
                trust_anchor_file = \"root.key\"\nca_file = \"ca.pem\"\n";
    let names = read_toml(keys).unwrap().names;
    let servers: Vec<_> = names.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.53:53", "[::1]:5353"]);
    assert_eq!(names.zones, ["unix.ar=127.0.0.1:5".parse().unwrap()]);
    assert_eq!(names.trust_anchors.as_deref(), Some(Path::new("/etc/fnua/root.key")));
    assert_eq!(names.ca_file.as_deref(), Some(Path::new("/etc/fnua/ca.pem")));
    assert!(names.options().checked);
    let yaml = read_yaml("nameservers:\n  - 192.0.2.53\n").unwrap().names;
    // Named without an anchor: believed.
    assert!(yaml.servers.len() == 1 && !yaml.options().checked);
    assert!(NameService::default().options().checked);
    assert_eq!(fault("nameservers = [\"ns.unix.ar\"]\n").line, 1);
    assert_eq!(fault("\nresolve = [\"127.0.0.1:5\"]\n").line, 2);
}

#[test]
fn a_file_found_by_chance_says_nothing_about_name_servers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fnua.toml");
    for (key, value) in [
        ("nameservers", "[\"127.0.0.1\"]"),
        ("resolve", "[\"unix.ar=127.0.0.1\", \"emiliano.ar=192.0.2.53\"]"),
        ("trust_anchor_file", "\"k\""),
        ("ca_file", "\"c\""),
    ] {
        fs::write(&path, format!("{key} = {value}\n")).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let found = Found { path: path.clone(), by_chance: true };
        let error = Config::found(&found).unwrap_err().to_string();
        assert!(error.contains(&format!("has {key}:")), "{error}");
        Config::found(&Found::meant(path.clone())).unwrap();
    }
    // But for those of zones on this machine, as a host for trying out writes them.
    fs::write(&path, "resolve = [\"unix.ar=127.0.0.1:5\", \"emiliano.ar=[::1]:6\"]\n").unwrap();
    assert!(Config::found(&Found { path, by_chance: true }).unwrap().by_chance);
}
