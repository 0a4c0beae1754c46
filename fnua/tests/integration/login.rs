//! `fnua login` and `fnua logout`.

use std::fs;

use crate::authority::Authority;
use crate::fake::{Fake, Fnua, Talk};

fn flows(talk: &mut Talk) {
    talk.login();
    talk.expect("GET FLOWS");
    talk.say("220 DATA\na.b\n220 OK");
    talk.quit();
}

fn kept(fnua: &Fnua) -> String {
    fs::read_to_string(fnua.path(".config/fnua/credentials.toml")).unwrap_or_default()
}

#[test]
fn a_password_is_proved_and_kept_and_used_by_later_commands_until_it_is_forgotten() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.login();
            talk.quit();
        }),
        Box::new(flows),
        Box::new(flows),
    ]);
    let (fnua, address) = (Fnua::with_agents(&[]), fake.address());
    let said = fnua.run_with(&["login", &address, "--user", "test"], "test\n");
    said.badly(0, &format!("fnua: test at {address}, proved by PLAIN; kept in "));
    assert_eq!(said.out, "");
    assert!(kept(&fnua).contains("username = \"test\"\npassword = \"test\"\n"), "{}", kept(&fnua));
    // Without any configuration the host of the login is the one that is asked.
    assert_eq!(fnua.run(&["get", "flows"]).well(), "a.b\n");
    fnua.configure(&format!(
        "[[agents]]\nname = \"home\"\naddress = \"{address}\"\nusername = \"test\"\n"
    ));
    assert_eq!(fnua.run(&["--agent", "home", "get", "flows"]).well(), "a.b\n");
    fnua.run(&["logout", "home"]).badly(0, &format!("fnua: forgot test at {address}"));
    assert!(!kept(&fnua).contains("password"), "{}", kept(&fnua));
    fnua.run(&["logout", "home"]).badly(2, "nothing is kept for anybody");
    fake.finish();
}

#[cfg(unix)]
#[test]
fn what_is_kept_is_the_users_alone_and_refused_where_it_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let fake = Fake::once(|talk| {
        talk.login();
        talk.quit();
    });
    let fnua = Fnua::with_agents(&[]);
    fnua.run_with(&["login", &fake.address(), "--user", "test"], "test").badly(0, "kept in");
    let path = fnua.path(".config/fnua/credentials.toml");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let said = fnua.run(&["--agent", "127.0.0.1:1", "get", "flows"]);
    said.badly(2, "holds a password and others can read it (mode 0644)");
    assert!(!said.err.contains("\"test\""), "{}", said.err);
    fake.finish();
}

#[test]
fn a_password_that_the_host_does_not_take_is_not_kept() {
    let fake = Fake::once(|talk| talk.refuse_login());
    let fnua = Fnua::with_agents(&[]);
    let said = fnua.run_with(&["login", &fake.address(), "--user", "test"], "sesame\n");
    said.badly(1, "401 AUTH_REQUIRED authentication failed");
    assert!(!said.err.contains("sesame") && kept(&fnua).is_empty(), "{}", said.err);
    fake.finish();
}

#[test]
fn a_second_login_goes_on_with_the_authority_and_the_tls_that_the_first_one_kept() {
    let authority = Authority::new();
    let host = authority.host("127.0.0.1");
    let (second, third) = (host.clone(), host.clone());
    let fake = Fake::start(vec![
        Box::new(move |talk| {
            talk.greet_with_tls("", &host, "AUTH=PLAIN");
            talk.plain();
            talk.quit();
        }),
        Box::new(move |talk| {
            talk.greet_with_tls("", &second, "AUTH=PLAIN");
            talk.plain();
            talk.quit();
        }),
        Box::new(move |talk| {
            talk.greet_with_tls("", &third, "AUTH=PLAIN");
            talk.plain();
            talk.expect("GET FLOWS");
            talk.say("220 DATA\na.b\n220 OK");
            talk.quit();
        }),
        Box::new(|talk| {
            talk.greet("AUTH=PLAIN");
            talk.closed();
        }),
    ]);
    let (fnua, address) = (Fnua::with_agents(&[]), fake.address());
    fnua.file("ca.pem", &authority.pem());
    let login = ["login", &address, "--user", "test"];
    let with = ["--ca-file", "ca.pem", "--tls", "starttls", "--mechanism", "PLAIN"];
    fnua.run_with(&[&login[..], &with].concat(), "test\n").badly(0, "kept in");
    let first = kept(&fnua);
    fnua.run_with(&login, "test\n").badly(0, "kept in");
    assert_eq!(kept(&fnua), first);
    assert!(first.contains("/ca.pem\"") && first.contains("tls = \"starttls\""), "{first}");
    assert_eq!(fnua.run(&["get", "flows"]).well(), "a.b\n");
    fnua.run(&["get", "flows"]).badly(3, "it does not offer starttls, so nothing is sent");
    fake.finish();
}

#[test]
fn what_login_cannot_do_is_told_before_anything_is_asked() {
    let fnua = Fnua::with_agents(&[]);
    fnua.run(&["login", "127.0.0.1:1"]).badly(2, "who? give --user");
    fnua.run(&["login", "127.0.0.1:1", "--user", "a"]).badly(2, "no password: give one line");
    fnua.run(&["login", "nobody"]).badly(2, "no agent named \"nobody\"");
    let external = ["login", "127.0.0.1:1", "--user", "a", "--mechanism", "EXTERNAL"];
    fnua.run_with(&external, "x").badly(2, "login keeps passwords");
    let never = ["login", "127.0.0.1:1", "--user", "a", "--tls", "never"];
    fnua.run(&never).badly(2, "expected starttls or implicit");
}
