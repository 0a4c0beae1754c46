//! The commands of docs/operators.md that a newcomer types first, typed as they stand there.

use std::path::Path;
use std::process::Command;

use stories::{Fnaad, program};

const GUIDE: &str = include_str!("../../../docs/operators.md");

/// The address of the guide; a test has one of its own, on the same port.
const ADDRESS: &str = "127.0.0.1:61000";

/// The block that begins with some words, with another address.
fn block(begins: &str, address: &str) -> String {
    let mut blocks = GUIDE.split("```\n").skip(1).step_by(2);
    let block = blocks.find(|block| block.starts_with(begins));
    let block = block.unwrap_or_else(|| panic!("no block that begins with {begins:?}"));
    assert!(block.contains(ADDRESS), "{block}");
    block.replace(ADDRESS, address)
}

/// Runs lines in a shell that ends at the first one that fails; gives what they print.
fn typed(dir: &Path, lines: &str) -> (String, String) {
    let programs = program("fnaad").parent().unwrap().to_owned();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", lines]).current_dir(dir).env("PATH", path).env_remove("FNUA_CONFIG");
    let output = shell.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{lines}\n{stdout}{stderr}");
    (stdout, stderr)
}

#[test]
fn the_first_configuration_of_the_guide_works_as_it_is_typed() {
    let dir = tempfile::tempdir().unwrap();
    let own = std::process::id().to_be_bytes();
    let address = format!("127.{}.{}.{}:61000", 64 + own[1] % 64, own[2], own[3].clamp(1, 254));
    let lines = block("mkdir etc", &address);
    let (before, serve) = lines.split_at(lines.find("fnaad serve").unwrap());
    let (said, warned) = typed(dir.path(), before);
    assert_eq!(said, "user ana added\n");
    assert_eq!(warned, "", "`fnaad check` says nothing when nothing is wrong");
    assert!(serve.starts_with("fnaad serve --config fnaad.toml &"), "{serve}");
    let etc = dir.path().join("etc");
    let host = Fnaad::serve(&etc, &etc.join("fnaad.toml"));
    assert_eq!(host.address(), address);
    let (said, _) = typed(&etc, &block("(umask 077; cat > fnua.toml)", &address));
    assert!(said.starts_with("time.flows.example.org\n"), "{said}");
    assert!(said.ends_with("nothing is wrong\n"), "{said}");
}
