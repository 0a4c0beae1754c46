use std::collections::BTreeSet;

use super::*;

const EXAMPLE: &str = include_str!("../../../docs/fnaad.example.toml");
const SMALL: &str = "hostname = \"fnaa.test\"\nlisten = [\"127.0.0.1:0\"]\ndata_dir = \"data\"\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/fnaad/fnaad.toml"))
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string().replace("/etc/fnaad/", "")
}

/// Every key of a document with its path, and those without a value; the keys of a list's tables are those
/// of the list.
fn keys(
    value: &serde_json::Value,
    path: &str,
    found: &mut BTreeSet<String>,
    absent: &mut BTreeSet<String>,
) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                let path = format!("{path}.{key}");
                keys(value, &path, found, absent);
                if value.is_null() { &mut *absent } else { &mut *found }.insert(path);
            }
        }
        serde_json::Value::Array(values) => {
            values.iter().for_each(|value| keys(value, path, found, absent))
        }
        _ => {}
    }
}

#[test]
fn the_example_parses_and_says_what_the_defaults_are() {
    let config = parse(EXAMPLE).unwrap();
    assert_eq!(config.hostname, "fnaa.example.com");
    assert_eq!(config.users.names().collect::<Vec<_>>(), ["ana"]);
    let defaults = parse(SMALL).unwrap();
    assert_eq!(format!("{:?}", config.listener), format!("{:?}", defaults.listener));
    assert_eq!(config.limits, defaults.limits);
    assert_eq!(config.most, defaults.most);
    assert_eq!(config.brokers[..1], defaults.brokers);
    let plain = KafkaBroker::plain("", "fnaa.example.com");
    let BrokerKind::Kafka(kafka) = &config.brokers[1].kind else { panic!("no kafka") };
    assert_eq!((&kafka.identity, kafka.lanes), (&plain.identity, plain.lanes));
    assert_eq!(config.log, defaults.log);
}

#[test]
fn every_key_is_in_the_example_and_explained_there() {
    let raw = raw::parse(EXAMPLE).unwrap();
    let (mut found, mut absent) = (BTreeSet::new(), BTreeSet::new());
    keys(&serde_json::to_value(&raw).unwrap(), "", &mut found, &mut absent);
    let absent: Vec<_> = absent.difference(&found).collect();
    assert!(absent.is_empty(), "not in the example: {absent:?}");
    assert!(found.contains(".limits.plugin.call_ms") && found.contains(".brokers.type"));
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let is_key = line.split(" = ").next().is_some_and(|key| {
            !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        });
        assert!(!is_key || lines[index - 1].starts_with('#'), "not explained: {line}");
    }
}

#[test]
fn name_servers_are_addresses_with_or_without_a_port() {
    let servers = |text: &str| {
        let config = parse(&format!("{SMALL}[names]\nservers = {text}\n"))?;
        Ok::<_, ConfigError>(config.names.options.servers)
    };
    let expected: Vec<SocketAddr> = ["192.0.2.1:53", "[::1]:53", "[::1]:5353", "127.0.0.1:1"]
        .map(|address| address.parse::<SocketAddr>().unwrap())
        .into();
    let written = r#"["192.0.2.1", "::1", "[::1]:5353", "127.0.0.1:1"]"#;
    assert_eq!(servers(written).unwrap(), expected);
    assert_eq!(parse(SMALL).unwrap().names, NamesConfig::default());
    let wrong = servers(r#"["dns.example", "192.0.2.1"]"#).unwrap_err().to_string();
    assert!(wrong.contains("not a name server"), "{wrong}");
    assert!(servers(&format!("[{}]", "\"::1\",".repeat(17))).is_err());
}

#[test]
fn zones_have_name_servers_of_their_own() {
    let zones = |text: &str| {
        let config = parse(&format!("{SMALL}[names]\nzones = {text}\n"))?;
        Ok::<_, ConfigError>(config.names.options.zones)
    };
    let read = zones(r#"[{ zone = "Emiliano.ar", servers = ["127.0.0.1:5353", "::1"] }]"#).unwrap();
    assert_eq!((read[0].name.as_str(), read[0].servers.len()), ("emiliano.ar", 2));
    assert_eq!(read[0].trust_anchors, None);
    let one = |zone: &str, servers: &str| format!("{{ zone = \"{zone}\", servers = {servers} }}");
    let many = (0..257).map(|n| one(&format!("z{n}.ar"), "[\"::1\"]") + ",").collect::<String>();
    let twice = one("a.ar", "[\"::1\"]") + "," + &one("A.ar", "[\"::1\"]");
    for (text, why) in [
        (one("a..ar", "[\"::1\"]"), "not a name"),
        (one("a.ar", "[\"ns.ar\"]"), "not a name server"),
        (one("a.ar", "[]"), "without name servers"),
        (twice, "a second zone a.ar"),
        (many, "more than 256 zones"),
    ] {
        let wrong = zones(&format!("[{text}]")).unwrap_err().to_string();
        assert!(wrong.contains(why), "{wrong}");
    }
}

#[test]
fn zones_of_the_command_line_overrule_the_configuration() {
    let text = r#"[{ zone = "a.ar", servers = ["::1"] }, { zone = "b.ar", servers = ["::1"] }]"#;
    let mut config = parse(&format!("{SMALL}[names]\nzones = {text}\n")).unwrap();
    config.names.overrule(&["a.ar=192.0.2.1:5".parse().unwrap()]);
    let zones = config.names.options.zones.iter();
    let shown: Vec<_> = zones.map(|zone| format!("{} {}", zone.name, zone.servers[0])).collect();
    assert_eq!(shown, ["b.ar [::1]:53", "a.ar 192.0.2.1:5"]);
}

#[test]
fn check_reads_trust_anchors_and_authorities() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fnaad.toml");
    let findings = |names: &str| {
        std::fs::write(&path, format!("{SMALL}[names]\n{names}")).unwrap();
        let findings = check(&path).unwrap();
        let ours = |one: &Finding| one.what.starts_with("names:") || one.line.is_some();
        findings.into_iter().filter(ours).collect::<Vec<_>>()
    };
    for (key, what) in
        [("trust_anchor_file", "trust anchors"), ("ca_file", "certificate authorities")]
    {
        for content in [None, Some("nothing of use\n")] {
            let file = dir.path().join(key);
            drop(std::fs::remove_file(&file));
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            let found = findings(&format!("servers = [\"::1\"]\n{key} = \"{key}\"\n"));
            assert_eq!(found.len(), 1, "{key} {content:?}");
            let what = if content.is_some() { what } else { "No such file" };
            assert!(found[0].fatal && found[0].what.contains(what), "{found:?}");
        }
    }
}

#[test]
fn what_one_processor_may_have_is_what_all_have_or_more() {
    let memory = |text: &str| {
        let config = parse(&format!("{SMALL}{text}"))?;
        Ok::<_, ConfigError>((config.limits.memory, config.most.memory))
    };
    let plugin = "[limits.plugin]\nmemory_bytes = 2097152\n";
    assert_eq!(memory(plugin).unwrap(), (2_097_152, 2_097_152));
    let more = format!("{plugin}[limits.plugin_most]\nmemory_bytes = 4194304\n");
    assert_eq!(memory(&more).unwrap(), (2_097_152, 4_194_304));
    let less = memory(&more.replace("4194304", "2097151")).unwrap_err().to_string();
    assert!(less.contains(":7: 2097151 is not between 2097152 and "), "{less}");
}

#[test]
fn the_verifier_of_the_example_is_that_of_the_password_it_names() {
    let users = parse(EXAMPLE).unwrap().users;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let credentials = fnap::sasl::PlainCredentials::new("ana", "example").unwrap();
    let users = host_iam::Users::new(users).unwrap();
    let here = std::net::Ipv4Addr::LOCALHOST.into();
    assert!(runtime.block_on(users.verify(&credentials, here)).is_ok());
}

#[test]
fn an_unknown_key_is_refused_by_name_and_line_wherever_it_stands() {
    let top = refusal(&format!("{SMALL}colour = \"red\"\n"));
    assert!(top.starts_with("fnaad.toml:4: unknown field `colour`"), "{top}");
    for (table, line) in [("[log]", 5), ("[limits]", 5), ("[limits.plugin]", 5)] {
        let found = refusal(&format!("{SMALL}{table}\ncolour = 1\n"));
        assert!(
            found.starts_with(&format!("fnaad.toml:{line}: unknown field `colour`")),
            "{found}"
        );
    }
    let list =
        refusal(&format!("{SMALL}[[brokers]]\nname = \"a\"\ntype = \"embedded\"\ncolour = 1\n"));
    assert!(list.starts_with("fnaad.toml:7: unknown field `colour`"), "{list}");
}

#[test]
fn every_fault_is_told_at_once_each_with_its_line() {
    let text = "hostname = \"a..b\"\nlisten = [\"nowhere\", \"127.0.0.1:1\", \"127.0.0.1:1\"]\n\
        [log]\nlevel = \"loud\"\n[limits]\nconnections = 0\n\
        [[brokers]]\nname = \"k\"\ntype = \"kafka\"\n[[namespaces]]\nname = \"n.test\"\nbroker = \"x\"\n";
    assert_eq!(
        refusal(text).lines().collect::<Vec<_>>(),
        [
            "fnaad.toml:1: not a name: empty label 2",
            "fnaad.toml:1: data_dir is missing",
            "fnaad.toml:2: not an address and port, as in 127.0.0.1:61000",
            "fnaad.toml:2: 127.0.0.1:1 is listed twice",
            "fnaad.toml:4: a log level is error, warn, info, debug or trace",
            "fnaad.toml:6: 0 is not between 1 and 100000",
            "fnaad.toml:9: servers is missing: host:port,… of a kafka broker",
            "fnaad.toml:12: no broker x",
        ]
    );
}

#[test]
fn a_secret_at_the_wrong_place_is_not_repeated() {
    for text in [
        "users = \"$argon2id$hunter2\"\n",
        "[[users]]\nname = \"a\"\nverifier = \"hunter2\"\n",
        "log = hunter2\n",
    ] {
        let found = refusal(&format!("{SMALL}{text}"));
        assert!(!found.contains("hunter2"), "{found}");
    }
    let config = parse(EXAMPLE).unwrap();
    assert!(!format!("{config:?}").contains("argon2id"));
}

#[test]
fn relative_paths_are_relative_to_the_file_and_plugins_lie_in_the_data() {
    let config = parse(SMALL).unwrap();
    assert_eq!(config.data_dir, Path::new("/etc/fnaad/data"));
    assert_eq!(config.plugins_dir, Path::new("/etc/fnaad/data/plugins"));
    let config = parse(&format!("{SMALL}users_file = \"u.toml\"\n")).unwrap();
    assert_eq!(config.users_file.as_deref(), Some(Path::new("/etc/fnaad/u.toml")));
}

#[test]
fn a_namespace_without_a_broker_gets_the_first_one() {
    let text = format!(
        "{SMALL}[[brokers]]\nname = \"one\"\ntype = \"embedded\"\n[[brokers]]\nname = \"two\"\n\
        type = \"embedded\"\n[[namespaces]]\nname = \"A.test\"\n[[namespaces]]\nname = \"b.test\"\nbroker = \"two\"\n"
    );
    let config = parse(&text).unwrap();
    let found: Vec<(&str, &str)> =
        config.namespaces.iter().map(|(name, broker)| (name.as_str(), broker.as_str())).collect();
    assert_eq!(found, [("a.test", "one"), ("b.test", "two")]);
}

#[test]
fn a_configuration_without_users_is_warned_about() {
    let warnings = parse(SMALL).unwrap().warnings();
    assert_eq!(warnings[0], "there are no users: nobody can authenticate");
    assert!(warnings[1].starts_with("nobody is an administrator") && warnings.len() == 2);
}

#[test]
fn a_file_with_verifiers_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fnaad.toml");
    std::fs::write(&path, EXAMPLE).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Config::load(&path), Err(ConfigError::Exposed { mode: 0o644, .. })));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Config::load(&path).is_ok());
    assert!(matches!(Config::load(dir.path()), Err(ConfigError::Unreadable { .. })));
    std::fs::write(&path, vec![b'#'; MAX_FILE as usize + 1]).unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("larger than"));
}

#[test]
fn check_looks_at_what_the_file_points_at() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fnaad.toml");
    std::fs::write(
        &path,
        format!("{SMALL}users_file = \"none.toml\"\nplugins_dir = \"fnaad.toml/x\"\n"),
    )
    .unwrap();
    let findings = check(&path).unwrap();
    let fatal: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.fatal)
        .map(|finding| finding.what.as_str())
        .collect();
    assert_eq!(fatal.len(), 2, "{findings:?}");
    assert!(fatal[0].contains("none.toml") && fatal[1].contains("is no directory"), "{fatal:?}");
    std::fs::write(&path, SMALL).unwrap();
    assert!(check(&path).unwrap().iter().all(|finding| !finding.fatal));
    assert!(!dir.path().join("data").exists(), "nothing is made");
}

#[test]
fn check_names_all_missing_files_with_their_keys_and_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fnaad.toml");
    let text = format!(
        "{SMALL}users_file = \"u.toml\"\ntls = {{ certificate_file = \"c.pem\", \n \"key_file\"='k.pem' }}\n\
        [names]\ntrust_anchor_file\t=\"t\"\n"
    );
    std::fs::write(&path, text).unwrap();
    let before = SMALL.lines().count();
    let told = |one: &Finding| one.line.map(|line| (line - before, one.what.clone()));
    let mut found: Vec<_> = check(&path).unwrap().iter().filter_map(told).collect();
    found.sort();
    let is = |line, key: &str, file: &str| {
        let file = dir.path().join(file);
        (line, format!("{key} {}: No such file or directory (os error 2)", file.display()))
    };
    let expected = [
        is(1, "users_file", "u.toml"),
        is(2, "certificate_file", "c.pem"),
        is(3, "key_file", "k.pem"),
        is(5, "trust_anchor_file", "t"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_path_with_a_nul_is_refused_by_its_line() {
    let line = SMALL.lines().count() + 1;
    for key in ["plugins_dir", "users_file"] {
        for written in ["\\u0000", "a\\u001bb"] {
            let told = refusal(&format!("{SMALL}{key} = \"{written}\"\n"));
            assert!(
                told.ends_with(&format!(":{line}: a path without control characters")),
                "{told}"
            );
        }
    }
}

#[test]
fn differences_name_keys_and_whether_a_running_host_takes_them_over() {
    let before = parse(SMALL).unwrap();
    assert_eq!(differences(&before, &before), []);
    let after = parse(&format!(
        "{SMALL}users_file = \"u\"\n[limits]\nconnections = 5\n[limits.plugin]\ncall_ms = 7\n"
    ));
    let found = differences(&before, &after.unwrap());
    let found: Vec<(&str, bool)> = found.iter().map(|one| (one.key, one.live)).collect();
    assert_eq!(
        found,
        [
            ("users_file", true),
            ("limits", false),
            ("limits.plugin", false),
            ("limits.plugin_most", false)
        ]
    );
}

const KAFKA: &str = "[[brokers]]\nname = \"k\"\ntype = \"kafka\"\n";

#[test]
fn a_kafka_broker_has_the_hosts_name_as_its_identity_and_settings_of_every_kind() {
    let text = format!(
        "{SMALL}{KAFKA}servers = \"a:9092,[::1]:9093\"\nreplication = 3\nlanes = 2\n[brokers.tls]\n\
        [brokers.sasl]\nmechanism = \"SCRAM-SHA-256\"\nusername = \"u\"\npassword_file = \"p\"\n\
        [brokers.client]\n\"linger.ms\" = 5\n\"compression.type\" = \"zstd\"\n\"socket.keepalive.enable\" = true\n"
    );
    let config = parse(&text).unwrap();
    let BrokerKind::Kafka(kafka) = &config.brokers[0].kind else { panic!("no kafka") };
    assert_eq!(
        (kafka.identity.as_str(), kafka.servers.as_str()),
        ("fnaa.test", "a:9092,[::1]:9093")
    );
    assert_eq!((kafka.lanes, kafka.replication), (2, Some(3)));
    assert!(!kafka.tls.as_ref().unwrap().take_any_certificate);
    assert_eq!(kafka.sasl.as_ref().unwrap().file, Path::new("/etc/fnaad/p"));
    let client: Vec<_> =
        kafka.client.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        client,
        [("compression.type", "zstd"), ("linger.ms", "5"), ("socket.keepalive.enable", "true")]
    );
}

#[test]
fn what_is_wrong_with_a_kafka_broker_is_told_with_its_line() {
    let refused = |text: &str| refusal(&format!("{SMALL}{KAFKA}{text}"));
    let server = "servers = \"a:9092\"\n";
    for wrong in ["", "a", "a:", "a:0", "a:9092,", ":9092", "a:9092, b:9092"] {
        let told = refused(&format!("servers = {wrong:?}\n"));
        assert!(told.starts_with("fnaad.toml:7: servers are host:port"), "{wrong}: {told}");
    }
    for (text, words) in [
        ("identity = \"a_b\"\n", "fnaad.toml:8: an identity is 1 to 200 of"),
        ("lanes = 0\n", "fnaad.toml:8: 0 is not between 1 and 64"),
        ("replication = 33\n", "fnaad.toml:8: 33 is not between 1 and 32"),
        ("[brokers.tls]\nkey_file = \"k\"\n", "fnaad.toml:8: certificate_file and key_file"),
        (
            "[brokers.sasl]\nmechanism = \"NONE\"\nusername = \"u\"\npassword_file = \"p\"\n",
            "fnaad.toml:9: a mechanism is PLAIN",
        ),
        ("[brokers.client]\n\"acks\" = 1\n", "fnaad.toml:9: acks cannot be set here: "),
        (
            "[brokers.client]\n\"lingre.ms\" = 1\n",
            "fnaad.toml:9: librdkafka does not take lingre.ms",
        ),
        ("[brokers.client]\n\"linger.ms\" = []\n", "fnaad.toml:9: linger.ms is a text"),
    ] {
        let told = refused(&format!("{server}{text}"));
        assert!(told.starts_with(words), "{told}");
    }
    for inline in [
        "[brokers.sasl]\npassword = \"hunter2\"\n",
        "[brokers.client]\n\"sasl.password\" = \"hunter2\"\n",
    ] {
        let told = refused(&format!("{server}{inline}"));
        assert!(
            told.contains("password") && told.contains("file") && !told.contains("hunter2"),
            "{told}"
        );
    }
    let embedded = refusal(&format!("{SMALL}{KAFKA}{server}").replace("\"kafka\"", "\"embedded\""));
    assert_eq!(embedded, "fnaad.toml:6: an embedded broker has no servers");
}

#[test]
fn two_brokers_that_would_share_one_identity_on_one_cluster_are_refused() {
    let kafka = |name: &str, more: &str| {
        format!("[[brokers]]\nname = \"{name}\"\ntype = \"kafka\"\n{more}")
    };
    let one = kafka("one", "servers = \"a:9092,b:9092\"\n");
    let told = refusal(&format!("{SMALL}{one}{}", kafka("two", "servers = \"b:9092\"\n")));
    assert!(told.contains("brokers one and two name one cluster and one identity"), "{told}");
    for more in ["servers = \"c:9092\"\n", "servers = \"b:9092\"\nidentity = \"other\"\n"] {
        parse(&format!("{SMALL}{one}{}", kafka("two", more))).unwrap();
    }
}

#[test]
fn check_looks_at_what_a_kafka_broker_points_at() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fnaad.toml");
    let write = |name: &str, text: &str, mode| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let fatal = || {
        let findings = check(&path).unwrap();
        findings.into_iter().filter(|one| one.fatal).map(|one| one.what).collect::<Vec<_>>()
    };
    let text = format!(
        "{SMALL}{KAFKA}servers = \"127.0.0.1:1\"\n[brokers.tls]\nca_file = \"ca.pem\"\n\
        [brokers.sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword_file = \"p\"\n"
    );
    write("fnaad.toml", &text, 0o600);
    let missing = fatal();
    assert_eq!(missing.len(), 2, "{missing:?}");
    for (missing, key) in missing.iter().zip(["ca_file", "password_file"]) {
        assert!(missing.starts_with(key) && missing.contains("No such file"), "{missing}");
    }
    write("p", "hunter2", 0o644);
    write("ca.pem", "no certificate", 0o644);
    assert!(fatal()[0].contains("broker k: "), "{:?}", fatal());
    assert!(fatal()[0].contains("chmod 600") && !fatal()[0].contains("hunter2"), "{:?}", fatal());
    write("p", "hunter2", 0o600);
    assert!(fatal()[0].contains("ssl.ca.location"), "{:?}", fatal());
    write("fnaad.toml", &text.replace("ca_file", "#ca_file"), 0o600);
    assert_eq!(fatal(), [""; 0]);
}

#[test]
fn administrators_are_those_that_are_written_and_never_everybody() {
    let of = |list: &str| parse(&format!("administrators = [{list}]\n{SMALL}"));
    let config = of("\"user:ana\", \"group:ops\", \"domain:a.example\"").unwrap();
    let shown: Vec<String> = config.administrators.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["user:ana", "group:ops", "domain:a.example"]);
    let nobody = |config: &Config| {
        config.warnings().iter().any(|warning| warning.starts_with("nobody is an administrator"))
    };
    assert!(!nobody(&config) && nobody(&parse(SMALL).unwrap()));
    // Two spellings of one name are one.
    assert_eq!(of("\"user:\u{2168}\"").unwrap().administrators[0].to_string(), "user:IX");
    for wrong in [
        "\"everybody\"",
        "\"anonymous\"",
        "\"group:users\"",
        "\"group:domains\"",
        "\"ana\"",
        "\"user:ana\", \"user:ana\"",
        "\"user:IX\", \"user:\u{2168}\"",
        "\"user:\u{ad}\"",
    ] {
        let refused = of(wrong).unwrap_err().to_string();
        assert!(refused.contains(":1: "), "{wrong}: {refused}");
    }
}

#[test]
fn a_quota_is_for_one_subject_once_and_says_what_it_limits() {
    let of = |text: &str| parse(&format!("{SMALL}{text}"));
    let one = "[[quotas]]\nfor = \"everybody\"\nflows = 0\nbytes_per_second = 1024\n";
    let config = of(one).unwrap();
    let quota = config.quotas.get(&host_iam::Subject::Everybody).unwrap();
    assert_eq!(
        (quota.flows, quota.bytes_per_second, quota.commands_per_second),
        (Some(0), Some(1024), None)
    );
    let spelt = of("[[quotas]]\nfor = \"user:\u{2168}\"\nflows = 0\n").unwrap();
    assert!(spelt.quotas.contains_key(&host_iam::Subject::User("IX".to_owned())));
    let refused = of(&format!("{one}{one}")).unwrap_err().to_string();
    assert!(refused.contains("a second quota for everybody"), "{refused}");
    for wrong in [
        "[[quotas]]\nflows = 1\n",
        "[[quotas]]\nfor = \"all\"\n",
        "[[quotas]]\nfor = \"everybody\"\ncommands_per_second = 0\n",
        "[[quotas]]\nfor = \"everybody\"\nevents = 1\n",
    ] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn administrators_and_quotas_count_at_once() {
    let before = parse(SMALL).unwrap();
    let after = parse(&format!(
        "administrators = [\"user:ana\"]\n{SMALL}[[quotas]]\nfor = \"everybody\"\nflows = 1\n"
    ));
    let changes = differences(&before, &after.unwrap());
    let changes: Vec<_> = changes.iter().map(|change| (change.key, change.live)).collect();
    assert_eq!(changes, [("administrators", true), ("quotas", true)]);
}
