//! Compiled plugins, shared by the stories: compiling five components takes longer than most of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::{Fnaad, Wire, drop_in, eventually, eventually_within, program};

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
    let plugins = [(name, component.to_vec())];
    let (data, inbox) = (dir.join("data"), dir.join("plugins"));
    host_with_plugins((&data, &inbox), &plugins, || Fnaad::dev(dir), Fnaad::login)
}

/// A host with more plugins, whose data and plugins lie in these directories, by whoever starts it and logs in there.
#[must_use]
pub fn host_with_plugins(
    (data, inbox): (&Path, &Path),
    plugins: &[(&str, Vec<u8>)],
    start: impl FnOnce() -> Fnaad,
    login: impl Fn(&Fnaad) -> Wire,
) -> Fnaad {
    // One after another: each takes all processors and half a gibibyte, and two tests may have the same plugin.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let compiled = data.join("compiled");
    copy(READY.get_or_init(compile), &compiled);
    for (name, component) in plugins {
        let kept = kept(name);
        // Of a component that is built no more nothing is kept.
        if std::fs::read(kept.with_extension("wasm")).is_ok_and(|known| known == *component) {
            copy(&kept, &compiled);
        } else {
            drop(std::fs::remove_dir_all(&kept));
        }
    }
    let host = start();
    for (name, component) in plugins {
        let known = files(&compiled);
        drop_in(inbox, &format!("{name}.wasm"), component);
        eventually_within(COMPILING, name, || {
            let types = login(&host).json("GET PROCESSOR TYPES");
            match types.iter().find(|found| found["type"] == *name) {
                Some(found) if found["health"] == "ok" => Ok(()),
                found => Err(format!("{found:?}")),
            }
        });
        let kept = kept(name);
        for file in files(&compiled).difference(&known) {
            let to = kept.join(file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(compiled.join(file), to).unwrap();
        }
        std::fs::write(kept.with_extension("wasm"), component).unwrap();
    }
    host
}

/// Where compiled code of a plugin is kept from run to run.
fn kept(name: &str) -> PathBuf {
    let build = program("fnaad").parent().and_then(Path::parent).unwrap().to_owned();
    build.join("tmp").join(format!("stories-compiled-{name}"))
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

/// Every file below a directory, by its path from there.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let (mut folders, mut found) = (vec![dir.to_owned()], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_owned());
            }
        }
    }
    found
}
