use super::*;

use std::os::unix::fs::PermissionsExt;

use clap::Parser;
use fnap::sasl::PlainCredentials;
use host_iam::Users;

use crate::cli::{Cli, Command};

fn secret() -> Result<Zeroizing<String>> {
    Ok(Zeroizing::new("secret".to_owned()))
}

fn another() -> Result<Zeroizing<String>> {
    Ok(Zeroizing::new("another".to_owned()))
}

fn fnaad(path: &Path, ask: Ask, args: &[&str]) -> Result<String> {
    let all = ["fnaad", "user"].iter().chain(args).chain(&["--file"]).map(|arg| arg.to_string());
    let all = all.chain([path.display().to_string()]);
    let Command::User(user) = Cli::try_parse_from(all)?.command else { bail!("not user") };
    let mut out = Vec::new();
    run_with(&user.command, ask, &mut out)?;
    Ok(String::from_utf8(out)?)
}

fn lets_in(path: &Path, user: &str, password: &str) -> bool {
    let users = Users::load(path).unwrap();
    let credentials = PlainCredentials::new(user, password).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(users.verify(&credentials, std::net::Ipv4Addr::LOCALHOST.into())).is_ok()
}

#[test]
fn a_user_is_added_changed_disabled_and_removed_and_comments_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    let said = fnaad(&path, secret, &["add", "ana", "--group", "ops", "--group", "eu"]).unwrap();
    assert_eq!(said, "user ana added\n");
    assert!(lets_in(&path, "ana", "secret"));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("# the night shift\n{text}# the end\n")).unwrap();
    fnaad(&path, secret, &["add", "bo"]).unwrap();
    assert!(fnaad(&path, secret, &["add", "ana"]).unwrap_err().to_string().contains("already"));
    fnaad(&path, another, &["passwd", "ana"]).unwrap();
    assert!(!lets_in(&path, "ana", "secret") && lets_in(&path, "ana", "another"));
    fnaad(&path, secret, &["disable", "ana"]).unwrap();
    assert!(!lets_in(&path, "ana", "another") && lets_in(&path, "bo", "secret"));
    fnaad(&path, secret, &["enable", "ana"]).unwrap();
    assert!(lets_in(&path, "ana", "another"));
    let said = fnaad(&path, secret, &["remove", "bo"]).unwrap();
    assert!(
        said.starts_with("user bo removed\nwhat user:bo owns") && said.contains("--to user:bo")
    );
    assert!(!lets_in(&path, "bo", "secret"));
    for args in [["passwd", "bo"], ["disable", "bo"], ["enable", "bo"], ["remove", "bo"]] {
        let error = fnaad(&path, secret, &args).unwrap_err().to_string();
        assert_eq!(error, "there is no user bo", "{args:?}");
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("# the night shift\n") && text.contains("groups = [\"ops\", \"eu\"]"),
        "{text}"
    );
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!text.contains("secret") && !text.contains("another"), "{text}");
}

#[test]
fn another_password_leaves_no_verifier_of_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    let lines = |key: &str| {
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines().filter(|line| line.starts_with(key)).count()
    };
    fnaad(&path, secret, &["add", "ana"]).unwrap();
    assert_eq!((lines("verifier = "), lines("scram = ")), (1, 1));
    fnaad(&path, another, &["passwd", "ana", "--scram-only"]).unwrap();
    assert_eq!((lines("verifier = "), lines("scram = ")), (0, 1));
    fnaad(&path, another, &["passwd", "ana", "--no-scram"]).unwrap();
    assert_eq!((lines("verifier = "), lines("scram = ")), (1, 0));
    fnaad(&path, secret, &["add", "cert", "--no-password"]).unwrap();
    assert_eq!((lines("verifier = "), lines("name = ")), (1, 2));
    assert!(fnaad(&path, secret, &["passwd", "ana", "--no-scram", "--scram-only"]).is_err());
}

#[test]
fn a_list_shows_what_users_have_and_no_verifier() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    fnaad(&path, secret, &["add", "ana", "--group", "ops"]).unwrap();
    fnaad(&path, secret, &["add", "bo", "--scram-only"]).unwrap();
    fnaad(&path, secret, &["disable", "bo"]).unwrap();
    let text = fnaad(&path, secret, &["list"]).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["ana", "enabled", "plain,scram", "ops"], ["bo", "disabled", "scram", "-"]]);
    let json = fnaad(&path, secret, &["list", "--format", "json"]).unwrap();
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    let expected = json!({ "name": "ana", "plain": true, "scram": true, "groups": ["ops"], "disabled": false });
    assert_eq!(first, expected);
}

#[test]
fn a_file_that_others_can_read_or_that_is_wrong_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let error = fnaad(&path, secret, &["add", "ana"]).unwrap_err().to_string();
    assert!(error.contains("only its owner"), "{error}");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&path, "[[users]]\nname = 5\n").unwrap();
    assert!(fnaad(&path, secret, &["add", "ana"]).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "[[users]]\nname = 5\n");
    std::fs::write(&path, "").unwrap();
    for name in ["two words", "", "a\u{7}"] {
        assert!(fnaad(&path, secret, &["add", name]).is_err(), "{name:?}");
    }
    assert!(fnaad(&path, secret, &["add", "ana", "--group", "two words"]).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
}

#[test]
fn the_users_file_of_a_configuration_is_meant_and_not_what_stands_in_it_itself() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("fnaad.toml");
    let verifier = hash_password("secret").unwrap();
    let text = "hostname = \"h.test\"\nlisten = [\"127.0.0.1:0\"]\ndata_dir = \"d\"\n";
    let own = format!("[[users]]\nname = \"ana\"\nverifier = \"{verifier}\"\n");
    let save = |text: String| {
        std::fs::write(&config, text).unwrap();
        std::fs::set_permissions(&config, PermissionsExt::from_mode(0o600)).unwrap();
    };
    let add = |name: &str| {
        let at = UsersAt { config: Some(config.clone()), file: None };
        let verifiers = Verifiers::default();
        let (name, groups) = (name.to_owned(), Vec::new());
        let command = UserCommand::Add { name, groups, no_password: false, verifiers, at };
        run_with(&command, secret, &mut Vec::new())
    };
    save(format!("{text}{own}"));
    assert!(add("bo").unwrap_err().to_string().contains("names no users_file"));
    save(format!("{text}users_file = \"u.toml\"\n{own}"));
    assert!(add("ana").unwrap_err().to_string().contains("change it there"));
    add("bo").unwrap();
    assert!(lets_in(&dir.path().join("u.toml"), "bo", "secret"));
}

#[test]
fn a_file_in_an_unusual_form_is_refused_and_not_spoilt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    let text = "users = [{ name = \"ana\", groups = [\"ops\"] }]\n";
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let error = fnaad(&path, another, &["passwd", "ana"]).unwrap_err().to_string();
    assert!(error.contains("by hand"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn what_stands_around_a_user_stays_when_he_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    let user =
        |name: &str| format!("[[users]] # {name}\nname = \"{name}\"\ngroups = [\n  \"a\",\n]\n");
    let text =
        format!("# all\n\n{}\n# of bo\n{}\n# of cy\n{}", user("ana"), user("bo"), user("cy"));
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    fnaad(&path, secret, &["remove", "bo"]).unwrap();
    fnaad(&path, secret, &["disable", "ana"]).unwrap();
    fnaad(&path, secret, &["disable", "ana"]).unwrap();
    let left = std::fs::read_to_string(&path).unwrap();
    let ana = format!("# all\n\n{}disabled = true\n", user("ana"));
    assert!(left.starts_with(&ana), "{left}");
    assert!(
        left.ends_with(&format!("# of cy\n{}", user("cy"))) && !left.contains("\"bo\""),
        "{left}"
    );
}
