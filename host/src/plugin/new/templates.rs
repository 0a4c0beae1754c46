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
            Self::Rust => &[WIT, RUST_SDK, RUST],
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
    "src/action.rs", "src/batch.rs", "src/event.rs", "src/guest/convert.rs", "src/guest/mod.rs", "src/lib.rs",
    "src/log.rs", "src/outputs.rs", "src/processor.rs", "src/rules/events.rs", "src/rules/expression.rs",
    "src/rules/json.rs", "src/rules/mod.rs", "src/rules/names.rs", "src/rules/tests.rs", "src/state.rs",
    "src/testing/batch.rs", "src/testing/harness.rs", "src/testing/log.rs", "src/testing/mod.rs",
    "src/testing/state.rs",
]);

const RUST: &[File] = files!(true, "sdk/rust/template" => "", [
    ".gitignore", "Cargo.toml", "Makefile", "README.md", "flow-sdk/Cargo.toml", "src/lib.rs",
]);
