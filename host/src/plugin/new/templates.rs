//! The files of the projects, as they lie in `sdk/`. A test compares the lists with the folders.

use super::Lang;

/// A file of a project.
#[derive(Debug)]
pub(super) struct File {
    /// Where in the project.
    pub(super) path: &'static str,
    /// Whether the plugin's name stands in it.
    pub(super) named: bool,
    /// What it says, of `my-plugin`.
    pub(super) text: &'static str,
}

impl Lang {
    /// The files of a project.
    pub(super) fn files(self) -> impl Iterator<Item = &'static File> {
        let lists: &[&[File]] = match self {
            Self::C => &[WIT, C_SDK, C],
            Self::Go => &[WIT, GO_SDK, GO],
            Self::Js => &[WIT, JS_SDK, JS],
            Self::Python => &[WIT, PYTHON_SDK, PYTHON],
            Self::Rust => &[WIT, RUST_SDK, RUST],
            Self::Ts => &[WIT, JS_SDK, TS],
        };
        lists.iter().copied().flatten()
    }
}

/// `from`: the folder that the paths are in; `to`: the folder of the project where they go, with a slash.
macro_rules! files {
    ($named:literal, $from:literal => $to:literal, [$($path:literal),* $(,)?]) => {
        &[$(File { path: concat!($to, $path), named: $named, text: include_str!(concat!("../../../../", $from, "/", $path)) }),*]
    };
}

const WIT: &[File] = files!(false, "wit" => "wit/", ["processor.wit"]);

const RUST_SDK: &[File] = files!(false, "sdk" => "flow-sdk/", [
    "src/action.rs", "src/batch.rs", "src/event.rs", "src/guest/convert.rs", "src/guest/mod.rs",
    "src/guest/migrate.rs", "src/guest/reconfigure.rs", "src/guest/timer.rs", "src/lib.rs", "src/log.rs", "src/more.rs", "src/outputs.rs",
    "src/processor.rs", "src/rules/events.rs", "src/rules/expression.rs",
    "src/rules/json.rs", "src/rules/mod.rs", "src/rules/names.rs", "src/rules/tests.rs", "src/state.rs",
    "src/testing/batch.rs", "src/testing/harness.rs", "src/testing/log.rs", "src/testing/mod.rs",
    "src/testing/state.rs",
]);

const RUST: &[File] = files!(true, "sdk/rust/template" => "", [
    ".gitignore", "Cargo.toml", "Makefile", "README.md", "flow-sdk/Cargo.toml", "src/lib.rs",
]);

const C_SDK: &[File] = files!(false, "sdk/c/flow" => "flow/", [
    "bindings/processor.c", "bindings/processor.h", "config.c", "flow.c", "flow.h", "install", "testing.c",
    "testing.h", "tools.mk", "wasi.wat", "world",
]);

const C: &[File] = files!(true, "sdk/c/template" => "", [
    ".gitignore", "Makefile", "README.md", "plugin.c", "test.c",
]);

const PYTHON_SDK: &[File] = files!(false, "sdk/python/flow" => "flow/", [
    "__init__.py", "actions.py", "batch.py", "bindings/componentize_py_types.py", "bindings/wit_world/__init__.py",
    "bindings/wit_world/exports/__init__.py", "bindings/wit_world/exports/lifecycle.py",
    "bindings/wit_world/imports/__init__.py", "bindings/wit_world/imports/events.py",
    "bindings/wit_world/imports/log.py", "bindings/wit_world/imports/state.py", "config.py", "errors.py", "events.py",
    "install", "lifecycle.py", "log.py", "state.py", "testing.py", "tools.mk", "world",
]);

const PYTHON: &[File] = files!(true, "sdk/python/template" => "", [
    ".gitignore", "Makefile", "README.md", "plugin.py", "test_plugin.py",
]);

const JS_SDK: &[File] = files!(false, "sdk/js/flow" => "flow/", [
    "component.js", "index.d.ts", "index.js", "install", "testing.d.ts", "testing.js", "tools.mk", "world",
]);

const JS: &[File] = files!(true, "sdk/js/template" => "", [
    ".gitignore", "Makefile", "README.md", "package.json", "plugin.js", "plugin.test.js",
]);

const TS: &[File] = files!(true, "sdk/ts/template" => "", [
    ".gitignore", "Makefile", "README.md", "package.json", "plugin.test.ts", "plugin.ts", "tsconfig.json",
]);

const GO_SDK: &[File] = files!(false, "sdk/go/flow" => "flow/", [
    "component_wasip1.go", "events.go", "flow.go", "flowtest/flowtest.go", "go.mod", "host.go", "install", "optional_wasip1.go",
    "tools.mk", "wasi.wat", "world",
]);

const GO: &[File] = files!(true, "sdk/go/template" => "", [
    ".gitignore", "Makefile", "README.md", "go.mod", "plugin.go", "plugin_test.go",
]);
