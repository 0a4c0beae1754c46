//! What a release build has of the places: nothing.

#![expect(clippy::unwrap_used, reason = "a test: what fails here fails it")]

use std::path::Path;
use std::process::Command;

/// A program with one place, compiled with or without debug assertions; gives its bytes.
fn program(dir: &Path, assertions: &str) -> Vec<u8> {
    let source = dir.join("main.rs");
    std::fs::write(&source, "fn main() { host_failpoints::failpoint!(\"here.and-now\"); }")
        .unwrap();
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let flags = format!("debug-assertions={assertions}");
    let rustc = |args: &[&str], source: &Path| {
        let mut command = Command::new("rustc");
        command.args(["--edition", "2024", "-C", &flags, "-C", "opt-level=1"]).args(args);
        let output = command.arg(source).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    rustc(&["--crate-type", "rlib", "--crate-name", "host_failpoints"], &lib);
    rustc(&["-L", ".", "--extern", "host_failpoints", "-o", "program"], &source);
    std::fs::read(dir.join("program")).unwrap()
}

fn holds(program: &[u8], text: &str) -> bool {
    program.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_release_build_holds_neither_the_places_nor_the_variable() {
    for (assertions, expected) in [("on", true), ("off", false)] {
        let dir =
            std::env::temp_dir().join(format!("failpoints-{}-{assertions}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let program = program(&dir, assertions);
        std::fs::remove_dir_all(&dir).unwrap();
        for text in ["FNAAD_FAILPOINTS", "here.and-now"] {
            assert_eq!(holds(&program, text), expected, "{text} with assertions {assertions}");
        }
    }
}
