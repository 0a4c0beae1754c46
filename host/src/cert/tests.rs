use super::*;
use std::os::unix::fs::PermissionsExt as _;

fn order(dir: &Path, names: &[&str], clients: &[&str]) -> Order {
    Order {
        dir: dir.join("tls"),
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        clients: clients.iter().map(|client| client.parse().unwrap()).collect(),
        days: 30,
        force: false,
    }
}

fn read(order: &Order, name: &str) -> String {
    std::fs::read_to_string(order.dir.join(name)).unwrap()
}

fn mode(order: &Order, name: &str) -> u32 {
    std::fs::metadata(order.dir.join(name)).unwrap().permissions().mode() & 0o777
}

/// Common name and alternative names of a certificate that the directory's authority signed.
fn subject(order: &Order, name: &str) -> (String, Vec<String>) {
    let (_, ca) = parse_x509_pem(read(order, CA).as_bytes()).unwrap();
    let (_, pem) = parse_x509_pem(read(order, name).as_bytes()).unwrap();
    let (ca, leaf) = (ca.parse_x509().unwrap(), pem.parse_x509().unwrap());
    assert_eq!(leaf.issuer(), ca.subject());
    let names = leaf.subject_alternative_name().unwrap().unwrap().value;
    let shown = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => format!("dns {name}"),
        GeneralName::URI(uri) => format!("uri {uri}"),
        GeneralName::IPAddress(octets) => format!("ip {octets:?}"),
        other => panic!("{other:?}"),
    };
    let common = leaf.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned();
    (common, names.general_names.iter().map(shown).collect())
}

#[test]
fn a_host_gets_its_names_and_clients_get_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["Fnaa.example.org", "192.0.2.1"];
    let order = order(dir.path(), &names, &["user:ana", "domain:example.org"]);
    let made = make(&order).unwrap();
    assert_eq!(made.len(), 8, "{made:?}");
    let hosts = ["dns fnaa.example.org".to_owned(), "ip [192, 0, 2, 1]".to_owned()];
    assert_eq!(subject(&order, "server.pem"), ("fnaa.example.org".to_owned(), hosts.to_vec()));
    let ana = ("ana".to_owned(), vec!["uri fnap:user:ana".to_owned()]);
    assert_eq!(subject(&order, "user-ana.pem"), ana);
    let domain = ("example.org".to_owned(), hosts.to_vec());
    assert_eq!(subject(&order, "domain-example.org.pem"), domain);
    for Made { path, .. } in &made {
        let name = path.file_name().unwrap().to_str().unwrap();
        let expected = if name.ends_with(".key") { 0o600 } else { 0o644 };
        assert_eq!(mode(&order, name), expected, "{name}");
    }
}

#[test]
fn the_authority_stays_and_nothing_else_is_replaced_without_force() {
    let dir = tempfile::tempdir().unwrap();
    let first = order(dir.path(), &["a.test"], &[]);
    make(&first).unwrap();
    let (ca, ca_key) = (read(&first, CA), read(&first, CA_KEY));
    let (server, key) = (read(&first, "server.pem"), read(&first, "server.key"));
    let second = order(dir.path(), &["b.test"], &["user:ana"]);
    let refused = make(&second).unwrap_err().to_string();
    assert!(refused.contains("server.pem is there already; --force"), "{refused}");
    assert!(!second.dir.join("user-ana.pem").exists(), "all or nothing");
    make(&order(dir.path(), &[], &["user:ana"])).unwrap();
    assert_eq!((read(&first, "server.pem"), read(&first, "server.key")), (server.clone(), key));
    make(&Order { force: true, ..order(dir.path(), &["b.test"], &["user:ana"]) }).unwrap();
    assert_ne!(read(&first, "server.pem"), server);
    assert_eq!(subject(&first, "server.pem").0, "b.test");
    assert_eq!((read(&first, CA), read(&first, CA_KEY)), (ca, ca_key));
}

#[test]
fn killed_between_an_authoritys_key_and_its_certificate_the_next_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let order = order(dir.path(), &["a.test"], &[]);
    make(&order).unwrap();
    let key = read(&order, CA_KEY);
    for name in [CA, "server.pem", "server.key"] {
        std::fs::remove_file(order.dir.join(name)).unwrap();
    }
    make(&order).unwrap();
    assert_eq!(read(&order, CA_KEY), key);
    assert!(read(&order, CA).starts_with("-----BEGIN CERTIFICATE"));
}

#[test]
fn a_domain_needs_the_names_of_its_agent_and_files_names_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let refused = make(&order(dir.path(), &[], &["domain:example.org"])).unwrap_err().to_string();
    assert!(refused.contains("--name HOST"), "{refused}");
    let refused = make(&order(dir.path(), &[], &["user:a/b", "user:a_b"])).unwrap_err().to_string();
    assert!(refused.contains("user-a_b.pem would be made twice"), "{refused}");
    assert!(!dir.path().join("tls").exists());
    make(&order(dir.path(), &[], &["user:../../x:y"])).unwrap();
    assert!(dir.path().join("tls/user-.._.._x_y.pem").exists());
}

#[test]
fn a_domains_certificate_is_made_beside_that_of_its_host() {
    let dir = tempfile::tempdir().unwrap();
    let first = order(dir.path(), &["fnaa.example.org", "192.0.2.1"], &[]);
    make(&first).unwrap();
    let server = read(&first, "server.pem");
    let second = order(dir.path(), &["fnaa.example.org"], &["domain:example.org"]);
    assert_eq!(make(&second).unwrap().len(), 2);
    let host = vec!["dns fnaa.example.org".to_owned()];
    assert_eq!(subject(&second, "domain-example.org.pem"), ("example.org".to_owned(), host));
    let refused = make(&second).unwrap_err().to_string();
    assert!(refused.contains("domain-example.org.pem is there already; --force"), "{refused}");
    let both = order(dir.path(), &["192.0.2.1", "fnaa.example.org"], &["domain:example.org"]);
    make(&Order { force: true, ..both }).unwrap();
    assert_eq!(read(&first, "server.pem"), server);
    for names in [&["fnaa.example.org", "192.0.2.2"][..], &["other.example.org"]] {
        let more = order(dir.path(), names, &["domain:other.org"]);
        let refused = make(&more).unwrap_err().to_string();
        assert!(refused.contains("server.pem is there already; --force"), "{refused}");
        assert!(!first.dir.join("domain-other.org.pem").exists());
    }
}

#[test]
fn what_is_no_name_is_refused() {
    for text in ["", "a..b", "a b", "*.example.org"] {
        assert!(text.parse::<HostName>().is_err(), "{text}");
    }
    for text in ["", "ana", "user:", "user:a b", "user:\u{e9}", "domain:", "group:ops"] {
        assert!(text.parse::<Client>().is_err(), "{text}");
    }
    assert_eq!("2001:db8::1".parse(), Ok(HostName::Address("2001:db8::1".parse().unwrap())));
}
