use super::*;
use std::os::unix::fs::PermissionsExt;

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn started(dir: &Path, listen: Option<&str>, namespaces: &[&str], port: u16) -> Dev {
    let (listen, namespaces) = (listen.map(address), names(namespaces));
    let asked = Asked { listen, namespaces: &namespaces, ..Asked::default() };
    let mut dev = Dev::prepare(dir, asked).unwrap();
    let (mut bound, mut dns) = (dev.config().listen[0], dev.config().dns.listen[0]);
    bound.set_port(port);
    dns.set_port(dns.port().max(53));
    dev.listening(bound, Some(dns), (&[], &[])).unwrap();
    dev
}

fn agent(dir: &Path) -> toml::Table {
    let text = std::fs::read_to_string(dir.join("fnua.toml")).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    table["agents"][0].as_table().unwrap().clone()
}

#[test]
fn a_first_start_makes_everything_and_shows_nothing_to_others() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("a/b");
    let dev = started(&dir, None, &[], 4321);
    assert_eq!(dev.config().listen, [address("127.0.0.1:0")]);
    assert_eq!(dev.config().hostname, "fnaa.test");
    assert_eq!(dev.config().namespaces[0].0.as_str(), DEFAULT_NAMESPACE);
    assert_eq!(mode(&dir), 0o700);
    for inner in ["data", "plugins"] {
        assert_eq!(mode(&dir.join(inner)), 0o700, "{inner}");
    }
    let files =
        ["lock", "layout", "listen", "dns", "fnua.toml", "users.toml", "plugins/bridge.wasm"];
    for file in files.into_iter().chain(["tls/ca.key", "tls/server.key"]) {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
    assert_eq!(std::fs::read_dir(dir.join("plugins")).unwrap().count(), 4);
    let agent = agent(&dir);
    assert_eq!(agent["address"].as_str(), Some("127.0.0.1:4321"));
    assert_eq!(agent["username"].as_str(), Some("dev"));
    assert_eq!(agent["ca_file"].as_str(), Some("tls/ca.pem"));
    assert_eq!(agent["namespaces"][0].as_str(), Some(DEFAULT_NAMESPACE));
}

#[test]
fn a_certificate_is_kept_until_the_host_has_another_name_and_its_authority_always() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read(dir.path().join("tls").join(name)).unwrap();
    let dev = started(dir.path(), None, &["a.test"], 4321);
    host_server::Tls::open(dev.config().tls.clone().unwrap()).unwrap();
    let (ca, first) = (read("ca.pem"), read("server.pem"));
    drop(dev);
    drop(started(dir.path(), None, &[], 4321));
    assert_eq!(read("server.pem"), first);
    drop(started(dir.path(), Some("127.0.0.9:0"), &[], 4321));
    let second = read("server.pem");
    assert_ne!(second, first);
    std::fs::remove_file(dir.path().join("tls/server.key")).unwrap();
    drop(started(dir.path(), Some("127.0.0.9:0"), &[], 4321));
    assert_ne!(read("server.pem"), second);
    assert_eq!(read("ca.pem"), ca);
}

#[tokio::test]
async fn the_generated_password_opens() {
    let dir = tempfile::tempdir().unwrap();
    let dev = started(dir.path(), None, &["flows.unix.ar"], 4321);
    assert_eq!(dev.config().hostname, "fnaa.unix.ar");
    let users = host_iam::Users::new(dev.config().all_users().unwrap()).unwrap();
    let password = agent(dir.path())["password"].as_str().unwrap().to_owned();
    let credentials = fnap::sasl::PlainCredentials::new("dev", &password).unwrap();
    let principal = users.verify(&credentials, Ipv4Addr::LOCALHOST.into()).await.unwrap();
    assert_eq!(principal.name(), "dev");
    assert_eq!(users.unannounced(), [], "its user has a verifier for SCRAM-SHA-256");
    assert!(!format!("{dev:?}").contains(&password));
}

#[test]
fn a_directory_of_an_earlier_version_gets_the_authority_and_the_second_verifier() {
    let dir = tempfile::tempdir().unwrap();
    drop(started(dir.path(), None, &[], 4321));
    let (fnua, users) = (dir.path().join("fnua.toml"), dir.path().join("users.toml"));
    let without = |path: &Path, key: &str| {
        let text = std::fs::read_to_string(path).unwrap();
        let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with(key)).collect();
        assert_ne!(kept.len(), text.lines().count(), "{key}");
        std::fs::write(path, kept.join("\n") + "\n").unwrap();
    };
    let scram = || std::fs::read_to_string(&users).unwrap().contains("scram = ");
    without(&fnua, "ca_file");
    without(&users, "scram");
    let before = agent(dir.path());
    drop(started(dir.path(), None, &[], 4321));
    assert!(scram());
    assert_eq!(agent(dir.path())["ca_file"].as_str(), Some("tls/ca.pem"));
    assert_eq!(agent(dir.path())["password"], before["password"]);
    // Who wants neither is left alone: no tls, and a verifier of another password.
    without(&fnua, "ca_file");
    let text = std::fs::read_to_string(&fnua).unwrap();
    std::fs::write(&fnua, text.replacen("username", "tls = \"never\"\nusername", 1)).unwrap();
    let other = host_iam::hash_password("other").unwrap();
    let text = format!("[[users]]\nname = \"dev\"\nverifier = \"{other}\"\n");
    std::fs::write(&users, &text).unwrap();
    drop(started(dir.path(), None, &[], 4321));
    assert_eq!(agent(dir.path()).get("ca_file"), None);
    assert_eq!(std::fs::read_to_string(&users).unwrap(), text);
}

#[test]
fn the_next_start_goes_on_with_port_password_and_namespaces() {
    let dir = tempfile::tempdir().unwrap();
    drop(started(dir.path(), None, &["flows.unix.ar"], 4321));
    let before = agent(dir.path());
    std::fs::remove_file(dir.path().join("plugins/signal.wasm")).unwrap();
    let dev = started(dir.path(), None, &["flows.example"], 4321);
    assert_eq!(dev.config().listen, [address("127.0.0.1:4321")]);
    let after = agent(dir.path());
    assert_eq!(after["password"], before["password"]);
    assert_eq!(after["namespaces"].as_array().unwrap().len(), 2);
    assert!(!dir.path().join("plugins/signal.wasm").exists(), "what was removed stays so");
}

#[test]
fn an_asked_port_counts_and_port_0_keeps_the_one_of_that_address() {
    let kept = Some(address("127.0.0.1:4321"));
    let choose = |asked: &str| choose_address(Some(address(asked)), kept, LOOPBACK).to_string();
    assert_eq!(choose("127.0.0.1:0"), "127.0.0.1:4321");
    assert_eq!(choose("127.0.0.1:7"), "127.0.0.1:7");
    assert_eq!(choose("[::1]:0"), "[::1]:0");
    assert_eq!(reachable(address("0.0.0.0:7")), address("127.0.0.1:7"));
    assert_eq!(reachable(address("[::]:7")), address("[::1]:7"));
}

#[test]
fn a_second_host_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = started(dir.path(), None, &[], 4321);
    let error = Dev::prepare(dir.path(), Asked::default()).unwrap_err().to_string();
    assert!(error.contains("in use by another host"), "{error}");
}

#[test]
fn a_lost_fnua_toml_gets_a_new_password_and_other_users_stay() {
    let dir = tempfile::tempdir().unwrap();
    drop(started(dir.path(), None, &[], 4321));
    let before = agent(dir.path());
    let users = dir.path().join("users.toml");
    let mut text = std::fs::read_to_string(&users).unwrap();
    let verifier = host_iam::hash_password("x").unwrap();
    text += &format!("[[users]]\nname = \"ana\"\nverifier = \"{verifier}\"\n");
    text += "[[users]]\nname = \"bo\"\ngroups = [\"ops\"]\ndisabled = true\n";
    std::fs::write(&users, text).unwrap();
    std::fs::remove_file(dir.path().join("fnua.toml")).unwrap();
    let dev = started(dir.path(), None, &[], 4321);
    assert_ne!(agent(dir.path())["password"], before["password"]);
    let list = dev.config().all_users().unwrap();
    assert_eq!(list.names().collect::<Vec<_>>(), ["ana", "bo", "dev"]);
    let bo = list.entries().find(|user| user.name == "bo").unwrap();
    assert!(bo.disabled && bo.groups.contains("ops"));
}

#[test]
fn other_agents_stay_and_nothing_is_written_where_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    drop(started(dir.path(), None, &[], 4321));
    let path = dir.path().join("fnua.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text += "# mine\n[[agents]]\nname = \"there\"\naddress = \"192.0.2.1:61000\"\ntls = \"never\"\nallow_plaintext = true\n";
    std::fs::write(&path, &text).unwrap();
    drop(started(dir.path(), None, &[], 4321));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    drop(started(dir.path(), Some("127.0.0.1:5"), &[], 5));
    let changed = std::fs::read_to_string(&path).unwrap();
    assert!(
        changed.contains("192.0.2.1:61000") && changed.contains("allow_plaintext = true"),
        "{changed}"
    );
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_newer_layout_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("layout"), "fnaad dev 2\n").unwrap();
    let error = Dev::prepare(dir.path(), Asked::default()).unwrap_err().to_string();
    assert!(error.contains("\"fnaad dev 2\"") && error.contains("\"fnaad dev 1\""), "{error}");
}

#[test]
fn a_broken_file_is_named_with_its_line_and_without_its_secret() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("fnua.toml"),
        "[[agents]]\nname = \"dev\"\npassword = hunter2\n",
    )
    .unwrap();
    let error = format!("{:#}", Dev::prepare(dir.path(), Asked::default()).unwrap_err());
    assert!(error.contains("fnua.toml:3") && !error.contains("hunter2"), "{error}");
}

#[test]
fn the_user_agent_asks_about_zones_where_the_host_does_and_what_somebody_wrote_stays() {
    let dir = tempfile::tempdir().unwrap();
    let resolve = || {
        let text = std::fs::read_to_string(dir.path().join("fnua.toml")).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        let all = table["resolve"].as_array().unwrap().clone();
        all.iter().map(|one| one.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let start = |zones: &[&str], dns: &str| {
        let mut dev = Dev::prepare(dir.path(), Asked::default()).unwrap();
        let zones: Vec<ZoneServers> = zones.iter().map(|zone| zone.parse().unwrap()).collect();
        let own = dev.config().dns.zones.clone();
        dev.listening(address("127.0.0.1:4321"), Some(address(dns)), (&own, &zones)).unwrap();
    };
    start(&["emiliano.ar=127.0.0.1:5302"], "0.0.0.0:5301");
    assert_eq!(resolve(), ["emiliano.ar=127.0.0.1:5302", "test=127.0.0.1:5301"]);
    let path = dir.path().join("fnua.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let mine = text.replace("resolve = [", "resolve = [\"lab.ar=192.0.2.1:53\", ");
    assert_ne!(mine, text);
    std::fs::write(&path, mine).unwrap();
    start(&["unix.ar=127.0.0.1:5303"], "127.0.0.1:5304");
    let left = ["lab.ar=192.0.2.1:53", "unix.ar=127.0.0.1:5303", "test=127.0.0.1:5304"];
    assert_eq!(resolve(), left);
}
