//! The binary itself answers. Being here also makes `cargo test` build it for the stories, with the same
//! features as everything else.

use std::process::Command;

#[test]
fn it_tells_its_version_and_refuses_what_it_does_not_know() {
    let run = |word: &str| Command::new(env!("CARGO_BIN_EXE_fnaad")).arg(word).output();
    assert!(
        run("--version")
            .is_ok_and(|said| said.status.success() && said.stdout.starts_with(b"fnaad "))
    );
    assert!(run("fly").is_ok_and(|said| said.status.code() == Some(2)));
}

#[test]
fn the_host_of_plugins_is_named_before_the_command_or_behind_it() {
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_fnaad")).arg("plugins").args(words).output();
        output.map(|said| String::from_utf8_lossy(&said.stderr).into_owned()).unwrap_or_default()
    };
    // Nobody has run there, which only who has understood where can say.
    let there = "/proc/none/data: no host has run here yet";
    for command in [
        &["list"][..],
        &["show", "b"],
        &["pin", "b", "1"],
        &["unpin", "b"],
        &["rollback", "b"],
        &["remove", "b"],
    ] {
        let at = ["--dir", "/proc/none"];
        for words in [[&at, command].concat(), [command, &at].concat()] {
            assert!(run(&words).contains(there), "{words:?}: {}", run(&words));
        }
        assert!(run(command).contains("--config FILE or --dir DIR"), "{}", run(command));
    }
    let both = run(&["--config", "c.toml", "list", "--dir", "/proc/none"]);
    assert!(both.contains("--config and --dir"), "{both}");
}
