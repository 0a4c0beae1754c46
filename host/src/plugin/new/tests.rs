use super::*;
use std::collections::BTreeSet;

fn made(lang: &str, name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    new(dir.path(), lang, name).unwrap();
    let project = dir.path().join(name);
    (dir, project)
}

fn new(parent: &Path, lang: &str, name: &str) -> Result<()> {
    let lang = Lang::from_str(lang, false).unwrap();
    let asked = New { lang, name: type_name(name).unwrap(), parent: parent.to_owned() };
    run(&asked, &mut Vec::new(), &mut Vec::new())
}

/// The files below a folder that travel: neither what builds leave there nor versions of the contract before this one.
fn kept(folder: &Path, below: &str, found: &mut BTreeSet<String>) {
    const STAYS: [&str; 5] = ["__pycache__", "build", "node_modules", "target", "0.1.0"];
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if STAYS.contains(&name.as_str()) || name.ends_with(".wasm") {
            continue;
        }
        let path = format!("{below}{name}");
        if entry.file_type().unwrap().is_dir() {
            kept(&entry.path(), &format!("{path}/"), found);
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn every_file_of_a_template_travels_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (lang, folders) in FOLDERS {
        let mut there = BTreeSet::new();
        for (folder, to) in *folders {
            kept(&root.join(folder), to, &mut there);
        }
        let files: Vec<_> = lang.files().map(|file| file.path.to_owned()).collect();
        let listed = BTreeSet::from_iter(files.iter().cloned());
        assert_eq!(listed, there, "{lang:?}");
        assert_eq!(files.len(), listed.len(), "{lang:?}");
    }
    assert_eq!(FOLDERS.len(), Lang::value_variants().len());
}

/// Which folders make a project, and where in it they lie.
const FOLDERS: &[(Lang, &[(&str, &str)])] = &[
    (Lang::C, &[("wit", "wit/"), ("sdk/c/flow", "flow/"), ("sdk/c/template", "")]),
    (Lang::Go, &[("wit", "wit/"), ("sdk/go/flow", "flow/"), ("sdk/go/template", "")]),
    (Lang::Js, &[("wit", "wit/"), ("sdk/js/flow", "flow/"), ("sdk/js/template", "")]),
    (Lang::Python, &[("wit", "wit/"), ("sdk/python/flow", "flow/"), ("sdk/python/template", "")]),
    (Lang::Rust, &[("wit", "wit/"), ("sdk/src", "flow-sdk/src/"), ("sdk/rust/template", "")]),
    (Lang::Ts, &[("wit", "wit/"), ("sdk/js/flow", "flow/"), ("sdk/ts/template", "")]),
];

#[test]
fn no_placeholder_is_left() {
    for lang in Lang::value_variants() {
        for file in lang.files() {
            let text = named(file, "rate-of-change");
            for placeholder in ["my-plugin", "my-crate", "my_plugin", "MyPlugin"] {
                assert!(!text.contains(placeholder), "{lang:?}: {}: {placeholder}", file.path);
            }
        }
    }
}

#[test]
fn a_name_that_begins_with_a_digit_makes_a_package_that_cargo_takes() {
    let (_dir, project) = made("rust", "2x");
    let manifest = std::fs::read_to_string(project.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"plugin-2x\"\n"), "{manifest}");
    let code = std::fs::read_to_string(project.join("src/lib.rs")).unwrap();
    assert!(code.contains("Info::new(\"2x\"") && code.contains("struct Plugin2x"), "{code}");
}

#[test]
fn what_is_there_is_never_replaced_and_nothing_is_left_behind() {
    let (dir, project) = made("rust", "mask");
    std::fs::write(project.join("Makefile"), "mine").unwrap();
    let refused = new(dir.path(), "rust", "mask").unwrap_err().to_string();
    assert!(refused.ends_with("mask is there already"), "{refused}");
    assert_eq!(std::fs::read_to_string(project.join("Makefile")).unwrap(), "mine");
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    assert!(new(dir.path(), "rust", "empty").is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_name_is_that_of_a_type() {
    for name in ["", "-x", "x-", "X", "a.b", "../x", &"x".repeat(51)] {
        assert!(type_name(name).is_err(), "{name}");
    }
    assert!(type_name(&"x".repeat(50)).is_ok());
}

#[test]
fn the_sdk_of_a_project_asks_for_what_the_workspace_asks_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let workspace: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let sdk: toml::Table = toml::from_str(&read("sdk/rust/template/flow-sdk/Cargo.toml")).unwrap();
    let own: toml::Table = toml::from_str(&read("sdk/Cargo.toml")).unwrap();
    let version = |value: &toml::Value| match value {
        toml::Value::Table(table) => table["version"].clone(),
        version => version.clone(),
    };
    let wasm = |manifest: &toml::Table| {
        manifest["target"].as_table().unwrap().values().next().unwrap()["dependencies"].clone()
    };
    let all = |manifest: &toml::Table| {
        let mut all = manifest["dependencies"].as_table().unwrap().clone();
        all.extend(wasm(manifest).as_table().unwrap().clone());
        all
    };
    assert_eq!(all(&sdk).keys().collect::<Vec<_>>(), all(&own).keys().collect::<Vec<_>>());
    for (name, value) in all(&sdk) {
        assert_eq!(
            version(&value),
            version(&workspace["workspace"]["dependencies"][&name]),
            "{name}"
        );
    }
    assert_eq!(sdk["package"]["version"], workspace["workspace"]["package"]["version"]);
    assert_eq!(sdk["features"], own["features"]);
}

/// A new version of the contract is one of every SDK.
#[test]
fn every_project_speaks_the_version_of_the_contract_that_it_ships() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let wit = std::fs::read_to_string(root.join("wit/processor.wit")).unwrap();
    let package = wit.lines().find_map(|line| line.strip_prefix("package ")).unwrap();
    let (_, version) = package.trim_end_matches(';').split_once('@').unwrap();
    for lang in Lang::value_variants() {
        for file in lang.files() {
            let after = file.text.split('@').skip(1);
            for rest in after.filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
            {
                let found: String = rest.chars().take(version.len()).collect();
                assert_eq!(found, version, "{lang:?}: {}", file.path);
            }
        }
    }
}
