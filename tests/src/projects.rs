//! Plugins in every language: projects that `fnaad plugin new` writes and those of `examples/`, each built with its
//! language's own tools in a directory of its own.
//!
//! What was built stays in the cache folder by the digest of its sources: a run builds only what has changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ring::digest::{Context, SHA256};

use crate::guest::component;
use crate::program;

/// The component of a fresh project, after its own test has passed.
#[must_use]
pub fn fresh_project(lang: &str, name: &str) -> Vec<u8> {
    remade_project(lang, name, |_, text| text)
}

/// The same, with something else in one of its files.
#[must_use]
pub fn changed_project(lang: &str, name: &str, file: &str, (from, to): (&str, &str)) -> Vec<u8> {
    remade_project(lang, name, |found, text| {
        if found != file {
            return text;
        }
        assert!(text.contains(from), "{file} of {name} has no {from}");
        text.replacen(from, to, 1)
    })
}

/// The same, with other texts in the files of its own folder.
#[must_use]
pub fn remade_project(lang: &str, name: &str, make: impl Fn(&str, String) -> String) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let mut new = Command::new(program("fnaad"));
    new.args(["plugin", "new", "--lang", lang, name]).current_dir(dir.path());
    let output = new.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("./{name}\n"));
    let project = dir.path().join(name);
    for entry in std::fs::read_dir(&project).unwrap() {
        let (path, file) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_file() {
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, make(file.to_str().unwrap(), text)).unwrap();
        }
    }
    if lang == "rust" {
        // The versions that everything else here is tested with.
        std::fs::copy(workspace().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    }
    made(&project, name)
}

/// The component of a project in `examples/`, after its own test has passed.
#[must_use]
pub fn example(name: &str) -> Vec<u8> {
    let folder = workspace().join("examples").join(name);
    if folder.join("Cargo.toml").exists() {
        // A crate of this workspace, whose tests run with the others.
        return component(name);
    }
    project(&folder, name)
}

/// The component of a project in some folder, whose name may be another one.
#[must_use]
pub fn project(folder: &Path, name: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join(name);
    for (path, bytes) in sources(folder) {
        let to = project.join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
    made(&project, name)
}

/// What `make test` and `make` leave, or have left before for the same sources.
fn made(project: &Path, name: &str) -> Vec<u8> {
    let cache = cache().join("plugins");
    let kept = cache.join("built").join(format!("{name}-{}.wasm", digest(project)));
    if let Ok(bytes) = std::fs::read(&kept) {
        return bytes;
    }
    let mut make = Command::new("make");
    // What the benches measure has the Makefiles of examples.
    make.args(["test", "all"])
        .arg(format!("NAME={name}"))
        .current_dir(project)
        .env("FLOW_TOOLS", &cache);
    // Flags of the outer make and of the native build mean nothing to it.
    for variable in ["MAKEFLAGS", "MAKELEVEL", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CFLAGS"] {
        make.env_remove(variable);
    }
    make.env("CARGO_TARGET_DIR", cache.join("rust"));
    let output = make.output().expect("make");
    let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "make test all of {name}:\n{stdout}\n{stderr}");
    let bytes = std::fs::read(project.join(name).with_extension("wasm")).unwrap();
    let folder = kept.parent().unwrap();
    std::fs::create_dir_all(folder).unwrap();
    // Whole or not at all: another run may read it.
    let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    file.persist(kept).unwrap();
    bytes
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn cache() -> PathBuf {
    let given = std::env::var_os("FNAA_CACHE").map(PathBuf::from);
    given.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/fnaa"))
}

fn digest(project: &Path) -> String {
    let mut context = Context::new(&SHA256);
    for (path, bytes) in sources(project) {
        let head = format!("{} {}\n", path.display(), bytes.len());
        context.update(head.as_bytes());
        context.update(&bytes);
    }
    let octets = context.finish();
    octets.as_ref().iter().take(16).fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}

/// The files of a project, links followed, but for what builds have left there.
fn sources(project: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(project.join(&folder)).unwrap() {
            let name = entry.unwrap().file_name();
            let path = folder.join(&name);
            let built =
                ["build", "node_modules", "target", "__pycache__"].iter().any(|left| name == *left);
            if built || path.extension().is_some_and(|end| end == "wasm") {
                continue;
            }
            let whole = project.join(&path);
            if whole.is_dir() {
                folders.push(path);
            } else {
                found.insert(path, std::fs::read(whole).unwrap());
            }
        }
    }
    found
}
