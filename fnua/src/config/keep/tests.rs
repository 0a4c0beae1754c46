//! Keeping and forgetting, and whom it is given to.

use super::*;

fn kept(address: &str, username: &str, password: &str) -> Kept {
    Kept {
        address: address.parse().unwrap(),
        username: username.to_owned(),
        password: Password::new(password.to_owned()),
        mechanism: None,
        tls: None,
        ca_file: None,
    }
}

fn passwords(keep: &Keep) -> Vec<String> {
    let all = keep.all().unwrap();
    all.iter().map(|one| format!("{}={}", one.username, one.password.reveal())).collect()
}

#[test]
fn what_is_kept_is_read_again_whatever_it_holds() {
    let home = tempfile::tempdir().unwrap();
    let keep = Keep::new(home.path().join("a").join("fnua"));
    assert!(keep.all().unwrap().is_empty());
    let strange = "\" \\ \u{7f} \u{1} = # ü '''";
    keep.keep(kept("h:1", "ana", strange)).unwrap();
    keep.keep(kept("h:1", "bob", "b")).unwrap();
    keep.keep(kept("h:2", "ana", "c")).unwrap();
    assert_eq!(passwords(&keep), ["ana=c", "bob=b", &format!("ana={strange}")]);
    keep.keep(kept("h:1", "ana", "d")).unwrap();
    assert_eq!(passwords(&keep), ["ana=d", "ana=c", "bob=b"]);
    assert_eq!(keep.forget(&"h:1".parse().unwrap(), None).unwrap(), ["ana", "bob"]);
    assert!(keep.forget(&"h:2".parse().unwrap(), Some("bob")).unwrap().is_empty());
    assert_eq!(passwords(&keep), ["ana=c"]);
}

#[cfg(unix)]
#[test]
fn the_file_and_its_directory_are_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let keep = Keep::new(home.path().join("fnua"));
    keep.keep(kept("h:1", "ana", "a")).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&home.path().join("fnua")), mode(&keep.path())), (0o700, 0o600));
    std::fs::set_permissions(keep.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(keep.all(), Err(ConfigError::Exposed(..))));
}

#[test]
fn many_who_keep_at_once_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let keep = Keep::new(home.path().join("fnua"));
            scope.spawn(move || keep.keep(kept("h:1", &format!("u{number}"), "p")).unwrap());
        }
    });
    assert_eq!(Keep::new(home.path().join("fnua")).all().unwrap().len(), 8);
}

#[test]
fn agents_without_a_secret_get_what_was_kept_for_them() {
    let mut named = Agent::stranger("h:1".parse().unwrap());
    named.login.username = Some("bob".to_owned());
    let mut own = Agent::stranger("h:2".parse().unwrap());
    own = own.with_password("ana", Password::new("own".to_owned()));
    let agents = vec![named, own, Agent::stranger("h:4".parse().unwrap())];
    let config = Config { agents, ..Config::default() };
    let all = [
        kept("h:1", "ana", "a"),
        kept("h:1", "bob", "b"),
        kept("h:2", "ana", "c"),
        kept("h:3", "eve", "e"),
    ];
    let given: Vec<_> = config
        .with_kept(&all)
        .agents
        .iter()
        .map(|agent| {
            let password = match &agent.login.password {
                Some(Source::Here(password)) => password.reveal().to_owned(),
                _ => "none".to_owned(),
            };
            format!("{} {}:{password}", agent.address, agent.login.user())
        })
        .collect();
    assert_eq!(given, ["h:1 bob:b", "h:2 ana:own", "h:4 :none", "h:3 eve:e"]);
}

#[test]
fn a_file_that_lies_about_does_not_say_whom_a_kept_password_is_told() {
    let kept = Kept { ca_file: Some("/own/ca.pem".into()), ..kept("h:1", "ana", "a") };
    for (keys, given) in [
        ("", true),
        ("ca_file = \"/own/ca.pem\"", true),
        ("ca_file = \"/tmp/ca.pem\"", false),
        ("tls = \"never\"", false),
        ("fqdn = \"elsewhere.test\"", false),
        ("mechanism = \"PLAIN\"", false),
    ] {
        let text =
            format!("[[agents]]\nname = \"a\"\naddress = \"h:1\"\nusername = \"ana\"\n{keys}\n");
        let config =
            super::super::parse(&text, super::super::Syntax::Toml, Path::new("/")).unwrap();
        for by_chance in [true, false] {
            let config =
                Config { by_chance, ..config.clone() }.with_kept(std::slice::from_ref(&kept));
            let has = config.agents[0].login.password.is_some();
            assert_eq!(has, given || !by_chance, "{keys}");
        }
    }
}
