//! The plugin that does what it is told, for hosts to defend themselves against (its source is
//! host/plugins/tests/guest; its acts are listed there), and the examples that keep state.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Its component, built once.
#[must_use]
pub fn guest() -> &'static [u8] {
    static GUEST: OnceLock<Vec<u8>> = OnceLock::new();
    GUEST.get_or_init(|| component("test-guest"))
}

/// The example keyed-count, built once.
#[must_use]
pub fn keyed_count() -> &'static [u8] {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    BUILT.get_or_init(|| component("keyed-count"))
}

/// The example tumbling-window, built once.
#[must_use]
pub fn tumbling_window() -> &'static [u8] {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    BUILT.get_or_init(|| component("tumbling-window"))
}

/// The same component with other bytes, and so another version of it: a custom section is added.
#[must_use]
pub fn noted(component: &[u8], note: u8) -> Vec<u8> {
    [component, &[0, 6, 4], b"note", &[note]].concat()
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

/// One that exports no `migrate`, as the first version of a plugin that keeps state.
#[must_use]
pub fn plain_guest() -> &'static [u8] {
    static PLAIN: OnceLock<Vec<u8>> = OnceLock::new();
    PLAIN.get_or_init(|| build("test-guest", "plugin-tests-plain", &["--features", "plain"]))
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
