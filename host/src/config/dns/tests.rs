use super::*;
use crate::config::ConfigError;

const SMALL: &str =
    "hostname = \"fnaa.test\"\nlisten = [\"127.0.0.1:61000\"]\ndata_dir = \"data\"\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(&format!("{SMALL}{text}"), Path::new("fnaad.toml"))
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn zones_are_embedded_or_updated() {
    let config = parse(
        "[dns]\nlisten = [\"127.0.0.1:0\"]\n[[dns.zones]]\nname = \"a.test\"\nembedded = true\n\
         [[dns.zones]]\nname = \"b.test\"\nserver = [\"192.0.2.1\", \"[::1]:5353\"]\nkey_file = \"k\"\n",
    );
    let zones = config.unwrap().dns.zones;
    assert_eq!(zones[0].served, Served::Embedded);
    let servers = ["192.0.2.1:53", "[::1]:5353"].map(|at| at.parse().unwrap()).to_vec();
    let key_file = PathBuf::from("k");
    assert_eq!(zones[1].served, Served::Update { servers, key_file });
    assert_eq!(parse("").unwrap().dns, DnsConfig::default());
}

#[test]
fn what_is_wrong_with_a_zone_is_said_with_its_line() {
    for (text, words) in [
        ("name = \"a.test\"\n", "fnaad.toml:6: a zone has server and key_file, or embedded"),
        ("name = \"a..b\"\nembedded = true\n", "fnaad.toml:6: not a name"),
        ("name = \"a.test\"\nserver = [\"::1\"]\n", "fnaad.toml:6: key_file is missing"),
        ("name = \"a.test\"\nserver = []\nkey_file = \"k\"\n", "fnaad.toml:6: server is empty"),
        (
            "name = \"a.test\"\nserver = [\"ns\"]\nkey_file = \"k\"\n",
            "fnaad.toml:7: not a name server",
        ),
        (
            "name = \"a.test\"\nembedded = true\nkey_file = \"k\"\n",
            "an embedded zone has no key_file",
        ),
        ("name = \"a.test\"\nembedded = true\n", "[dns] listen is missing"),
    ] {
        let refused = refusal(&format!("[dns]\n[[dns.zones]]\n{text}"));
        assert!(refused.contains(words), "{text}: {refused}");
    }
    let second = "[[dns.zones]]\nname = \"a.test\"\nserver = [\"::1\"]\nkey_file = \"k\"\n";
    assert!(refusal(&format!("{second}{second}")).contains("fnaad.toml:9: a second zone a.test"));
    let idle = refusal("[dns]\nlisten = [\"127.0.0.1:0\"]\n");
    assert!(idle.contains("fnaad.toml:5: nothing is served there"), "{idle}");
}

#[test]
fn a_participant_for_trying_out_has_a_zone_for_each_domain_and_none_within_another() {
    let names = ["unix.ar", "test", "deep.unix.ar", "unix.ar", "a.emiliano.ar"];
    let names = names.map(|name| name.parse::<Name>().unwrap());
    let (host, listen) = ("127.0.0.9".parse().unwrap(), "127.0.0.9:0".parse().unwrap());
    let dns = DnsConfig::dev(host, listen, names.into_iter());
    let zones: Vec<&str> = dns.zones.iter().map(|zone| zone.name.as_str()).collect();
    assert_eq!(zones, ["a.emiliano.ar", "test", "unix.ar"]);
    assert!(dns.zones.iter().all(|zone| zone.served == Served::Embedded));
    assert_eq!((dns.addresses, dns.listen), (vec![host], vec![listen]));
}

#[test]
fn an_agent_is_a_name_and_perhaps_a_port() {
    let agent = |text: &str| {
        let dns = parse(&format!("[dns]\nagent = \"{text}\"\n"))?.dns;
        Ok::<_, ConfigError>((dns.agent.map(|name| name.to_string()), dns.port))
    };
    assert_eq!(agent("a.test").unwrap(), (Some("a.test".into()), None));
    assert_eq!(agent("a.test:61").unwrap(), (Some("a.test".into()), Some(61)));
    for wrong in ["", "a..b", "a.test:0", "a.test:x", "192.0.2.1:53", "a.test:65536"] {
        assert!(agent(wrong).is_err(), "{wrong}");
    }
    for wrong in ["x", "0.0.0.0", "ff02::1"] {
        assert!(parse(&format!("[dns]\naddresses = [\"{wrong}\"]\n")).is_err(), "{wrong}");
    }
}

#[test]
fn the_agents_port_is_that_of_the_first_listener_that_others_reach() {
    let config = |dns: &str| parse(&format!("[dns]\n{dns}")).unwrap();
    let at = |texts: &[&str]| -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let (clear, tls) = (at(&["127.0.0.1:1", "192.0.2.1:2"]), at(&["127.0.0.1:3"]));
    assert_eq!(config("").agent_port(&clear, &tls), Some((2, false)));
    assert_eq!(config("").agent_port(&clear, &at(&["[::]:4"])), Some((4, true)));
    assert_eq!(config("").agent_port(&at(&["127.0.0.1:1"]), &tls), Some((3, true)));
    assert_eq!(config("").agent_port(&at(&["127.0.0.1:0"]), &[]), None);
    assert_eq!(config("agent = \"a.b:3\"").agent_port(&clear, &tls), Some((3, true)));
    assert_eq!(config("agent = \"a.b:9\"\ntls = true").agent_port(&clear, &[]), Some((9, true)));
}

#[test]
fn a_kafka_broker_may_be_advertised_and_no_other() {
    let kafka = |advertise: &str| {
        parse(&format!(
            "[[brokers]]\nname = \"k\"\ntype = \"kafka\"\nservers = \"k:9092\"\nadvertise = \"{advertise}\"\n"
        ))
    };
    let config = kafka("kafka.test:9092").unwrap();
    let advertised: Vec<_> = config.advertised().collect();
    assert_eq!(advertised.len(), 1);
    assert_eq!((advertised[0].0, advertised[0].1.port), ("k", 9092));
    assert!(kafka("192.0.2.1:9092").is_err() && kafka("kafka.test").is_err());
    let embedded = "[[brokers]]\nname = \"e\"\ntype = \"embedded\"\nadvertise = \"a.b:1\"\n";
    assert!(refusal(embedded).contains("an embedded broker has no advertise"));
}

#[test]
fn check_reads_the_keys_of_zones() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("fnaad.toml"), dir.path().join("k"));
    let zone = "[[dns.zones]]\nname = \"a.test\"\nserver = [\"::1\"]\nkey_file = \"k\"\n";
    std::fs::write(&path, format!("{SMALL}{zone}")).unwrap();
    let findings = || -> Vec<String> {
        let found = super::super::check(&path).unwrap();
        found.into_iter().filter(|one| one.fatal).map(|one| one.what).collect()
    };
    assert!(findings()[0].starts_with("key_file "), "{:?}", findings());
    std::fs::write(&key, "nothing of use").unwrap();
    let mode =
        |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    assert!(findings()[0].starts_with("dns zone a.test: "), "{:?}", findings());
    let secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
    let good = format!("key \"a\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\n");
    std::fs::write(&key, good).unwrap();
    assert_eq!(findings(), [""; 0]);
    mode(0o644);
    let exposed = findings().remove(0);
    assert!(exposed.contains("only its owner") && !exposed.contains(secret), "{exposed}");
}
