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
