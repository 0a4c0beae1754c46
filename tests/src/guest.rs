//! The plugin that does what it is told, for hosts to defend themselves against. Its source is
//! host/plugins/tests/guest; its acts are listed there.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Its component, built once.
#[must_use]
pub fn guest() -> &'static [u8] {
    static GUEST: OnceLock<Vec<u8>> = OnceLock::new();
    GUEST.get_or_init(|| component("test-guest"))
}

/// The same, but it describes itself as `lie` says, see `lies.rs` there.
#[must_use]
pub fn lying_guest(lie: &str) -> Vec<u8> {
    const PLACE: &[u8] = b"lie=nothing";
    let mut bytes = guest().to_vec();
    let at = bytes.windows(PLACE.len()).position(|window| window == PLACE).expect("a place");
    bytes[at + 4..at + 32].copy_from_slice(format!("{lie:.<28}").as_bytes());
    bytes
}

/// The same with line tables, so that its traps say where they were.
#[must_use]
pub fn traced_guest() -> &'static [u8] {
    static TRACED: OnceLock<Vec<u8>> = OnceLock::new();
    let lines = [
        "--config",
        "profile.guest.strip='none'",
        "--config",
        "profile.guest.debug='line-tables-only'",
    ];
    TRACED.get_or_init(|| build("test-guest", "plugin-tests-lines", &lines))
}

/// The component of a crate of this workspace.
pub(crate) fn component(package: &str) -> Vec<u8> {
    build(package, "plugin-tests", &[])
}

fn build(package: &str, directory: &str, settings: &[&str]) -> Vec<u8> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // The directory in which the unit tests build it, too; a cargo of its own must not wait for the lock
    // of the usual one.
    let target = crate::program("fnaad").ancestors().nth(2).unwrap().join(directory);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-p", package, "--target", "wasm32-wasip2", "--profile", "guest"]);
    cargo.args(settings);
    // Flags of the native build mean nothing to the guest.
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
    let built = cargo.current_dir(workspace).env("CARGO_TARGET_DIR", &target).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let file = format!("wasm32-wasip2/guest/{}.wasm", package.replace('-', "_"));
    std::fs::read(target.join(file)).unwrap()
}
