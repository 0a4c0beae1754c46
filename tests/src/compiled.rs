//! Compiled plugins, shared by the stories: compiling five components takes longer than most of them.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::{Fnaad, drop_in, eventually, eventually_within, program};

/// Gives a directory that is new to `fnaad dev` what another host has compiled before.
pub(crate) fn lend(dir: &Path) {
    let to = dir.join("data/compiled");
    if !to.exists() {
        copy(READY.get_or_init(compile), &to);
    }
}

/// A host with one more plugin, which is compiled where it has not been before: interpreters take half a minute.
#[must_use]
pub fn host_with_plugin(dir: &Path, name: &str, component: &[u8]) -> Fnaad {
    // One after another: each takes all processors and half a gibibyte, and two tests may have the same plugin.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let build = program("fnaad").parent().and_then(Path::parent).unwrap().to_owned();
    let kept = build.join("tmp").join(format!("stories-compiled-{name}"));
    // Of a component that is built no more nothing is kept.
    let of = kept.with_extension("wasm");
    if std::fs::read(&of).is_ok_and(|known| known == component) {
        copy(&kept, &dir.join("data/compiled"));
    } else {
        drop(std::fs::remove_dir_all(&kept));
    }
    copy(READY.get_or_init(compile), &dir.join("data/compiled"));
    let host = Fnaad::dev(dir);
    drop_in(&dir.join("plugins"), &format!("{name}.wasm"), component);
    eventually_within(COMPILING, name, || {
        let types = host.login().json("GET PROCESSOR TYPES");
        match types.iter().find(|found| found["type"] == name) {
            Some(found) if found["health"] == "ok" => Ok(()),
            found => Err(format!("{found:?}")),
        }
    });
    copy(&dir.join("data/compiled"), &kept);
    std::fs::write(of, component).unwrap();
    host
}

/// Longest wait for a plugin to be compiled, by an unoptimised compiler beside three others.
const COMPILING: Duration = Duration::from_secs(280);

static READY: OnceLock<PathBuf> = OnceLock::new();

/// Runs a host once, with nothing; it is the story of a first start, too.
fn compile() -> PathBuf {
    let build = program("fnaad").parent().and_then(Path::parent).unwrap().to_owned();
    let kept = build.join("tmp/stories-compiled");
    std::fs::create_dir_all(&kept).unwrap();
    let dir = tempfile::tempdir().unwrap();
    copy(&kept, &dir.path().join("data/compiled"));
    let host = Fnaad::dev(dir.path());
    let next = host_builtin::bridge_next();
    drop_in(&dir.path().join("plugins"), "bridge.wasm", next.component);
    drop_in(&dir.path().join("plugins"), "guest.wasm", crate::guest());
    eventually("the next bridge and the guest", || {
        let types = host.login().json("GET PROCESSOR TYPES");
        let bridge =
            types.iter().any(|found| found["type"] == "bridge" && found["version"] == "0.2.0");
        let guest = types.iter().any(|found| found["type"] == "guest");
        if bridge && guest { Ok(()) } else { Err(format!("{types:?}")) }
    });
    assert!(host.end().success());
    copy(&dir.path().join("data/compiled"), &kept);
    kept
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}
