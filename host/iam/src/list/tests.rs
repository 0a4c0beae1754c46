use std::os::unix::fs::PermissionsExt;

use super::file::MAX_FILE;
use super::*;

const GOOD: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY";

fn users(entries: &[(&str, &str)]) -> String {
    let entry = |(name, verifier): &(&str, &str)| {
        format!("[[users]]\nname = {name:?}\nverifier = {verifier:?}\n")
    };
    entries.iter().map(entry).collect()
}

fn refusal(text: &str) -> String {
    UserList::parse(text, "users.toml").unwrap_err().to_string()
}

#[test]
fn a_list_is_read_and_an_error_names_its_line() {
    let list = UserList::parse(&users(&[("ana", GOOD), ("bo", GOOD)]), "users.toml").unwrap();
    assert_eq!(list.names().collect::<Vec<_>>(), ["ana", "bo"]);
    let twice = refusal(&users(&[("ana", GOOD), ("ana", GOOD)]));
    assert_eq!(twice, "users.toml:5: user ana: named twice");
    let wrong = refusal(&users(&[("ana", GOOD), ("bo", "hunter2")]));
    assert!(wrong.starts_with("users.toml:6: not an argon2id verifier"), "{wrong}");
    assert!(!wrong.contains("hunter2"));
    let unknown = refusal("[[users]]\nname = \"a\"\npassword = \"hunter2\"\n");
    assert!(unknown.starts_with("users.toml:3: unknown field `password`"), "{unknown}");
    assert!(!unknown.contains("hunter2"));
    let instead = refusal("users = \"hunter2\"\n");
    assert_eq!(instead, "users.toml:1: invalid type: string, expected a sequence");
}

#[test]
fn what_a_user_may_have_beside_his_name_is_read() {
    let scram = crate::scram_verifier("secret").unwrap();
    let text = format!(
        "[[users]]\nname = \"ana\"\nscram = \"{scram}\"\ngroups = [\"ops\"]\ndisabled = true\n\
         [[users]]\nname = \"bo\"\n"
    );
    let list = UserList::parse(&text, "users.toml").unwrap();
    let ana = &list.0["ana"];
    assert!(ana.disabled && ana.scram.is_some() && ana.verifier.is_none());
    assert_eq!(ana.groups, BTreeSet::from(["ops".to_owned()]));
    assert_eq!(list.0["bo"], User::default());
    let wrong = refusal(&text.replace(&scram, "SCRAM-SHA-256$hunter2"));
    assert!(wrong.starts_with("users.toml:3: not a scram verifier"), "{wrong}");
    assert!(!wrong.contains("hunter2"));
    let group = refusal(&text.replace("\"ops\"", "\"two words\""));
    assert!(group.starts_with("users.toml:2: user ana: not a name of a group"), "{group}");
}

#[test]
fn two_names_that_look_the_same_are_one_name() {
    let twice = refusal(&users(&[("IX", GOOD), ("\u{2168}", GOOD)]));
    assert!(twice.contains("named twice"), "{twice}");
}

#[test]
fn a_later_list_says_who_came_who_went_and_who_changed() {
    let parse = |text: &str| UserList::parse(text, "users.toml").unwrap();
    let before = parse(&users(&[("ana", GOOD), ("bo", GOOD), ("cy", GOOD), ("di", GOOD)]));
    assert!(before.changes(&before).is_empty());
    let mut text = users(&[("ana", GOOD), ("ed", GOOD)]);
    text += &users(&[("bo", GOOD)]).replace("verifier", "disabled = true\nverifier");
    text += &users(&[("cy", GOOD)]).replace("verifier", "groups = [\"g\"]\nverifier");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let changes = Changes {
        added: names(&["ed"]),
        removed: names(&["di"]),
        disabled: names(&["bo"]),
        changed: names(&["cy"]),
    };
    assert_eq!(before.changes(&parse(&text)), changes);
}

#[test]
fn names_have_a_shape() {
    for name in ["", "a b", "a\nb", &"n".repeat(fnap::sasl::MAX_USER + 1)] {
        assert!(UserList::default().insert(name, GOOD).is_err(), "{name}");
    }
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    std::fs::write(&path, users(&[("ana", GOOD)])).unwrap();
    for mode in [0o644, 0o640, 0o620, 0o604] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let error = UserList::load(&path).unwrap_err();
        assert!(matches!(error, UsersError::Exposed { .. }), "{mode:o}");
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(UserList::load(&path).unwrap().names().count(), 1);
    assert!(UserList::load(dir.path()).is_err());
    assert!(UserList::load(&dir.path().join("none")).is_err());
}

#[test]
fn there_are_at_most_so_many_users_and_octets() {
    let mut list = UserList::default();
    for number in 0..MAX_USERS {
        list.insert(&format!("u{number}"), GOOD).unwrap();
    }
    assert!(list.insert("one-more", GOOD).is_err());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    std::fs::write(&path, vec![b'#'; MAX_FILE as usize + 1]).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    assert!(UserList::load(&path).unwrap_err().to_string().contains("larger than"));
}
