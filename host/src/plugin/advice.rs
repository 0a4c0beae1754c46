//! What an author can do about a reason for which a host refuses his file.

use host_plugins::{CallError, LoadError};

/// What to do about a file that cannot run.
pub(crate) fn to_do(error: &LoadError) -> String {
    match error {
        LoadError::Limit { which, .. } => limit(which).to_owned(),
        LoadError::NotWasm(_) => {
            "build again: the file is no WebAssembly, or a part of one; look whether it was copied whole".to_owned()
        }
        LoadError::CoreModule => "make a component of it: `wasm-tools component new --adapt …`, or build for \
                                  wasm32-wasip2, whose compiler does so"
            .to_owned(),
        LoadError::NotAProcessor => {
            "export the interface flow:processor/lifecycle: with the SDK flow_sdk::export!(Type), else the world \
             `processor` of wit/processor.wit"
                .to_owned()
        }
        LoadError::UnknownVersion { known, .. } => {
            format!("build against another version of the contract ({known}), or ask for a newer host")
        }
        LoadError::UnknownImport(_) => {
            "take out what imports it: a plugin has events, state, log, and WASI 0.2 with nothing behind it".to_owned()
        }
        LoadError::Compile(_) => {
            "the types behind the names must be those of wit/processor.wit: generate the bindings again".to_owned()
        }
        LoadError::Describe(words) if words.contains("init_ms") => {
            "describe must not work: it is asked before anything is granted".to_owned()
        }
        LoadError::Describe(_) => {
            "describe must answer without state, events or configuration; the words above are the plugin's last".to_owned()
        }
        LoadError::Info { field, .. } => format!("say something else as {field} in describe"),
        LoadError::Ending => "try again".to_owned(),
    }
}

fn limit(which: &str) -> &'static str {
    match which {
        "component_bytes" => {
            "make it smaller: build with optimisation for size, strip debug information"
        }
        "function_bytes" => "split the function, or do without so much inlining",
        "nesting" => "compose fewer components into each other",
        "compile_ms" => "nothing that a compiler makes takes so long: look at what made the file",
        "instances" | "tables" | "memories" => {
            "compose fewer modules: an interpreter with its adapters has about ten"
        }
        "memory" | "table_elements" => {
            "start with less, or have the operator raise the limit ([limits.plugin], limit.NAME of a processor)"
        }
        _ => "stay within it, or have the operator raise it where he can",
    }
}

/// What to do where `init` fails.
pub(crate) fn about_init(error: &CallError, is_chosen: bool) -> &'static str {
    match error {
        CallError::Fatal(_) if is_chosen => "mend the configuration, or what init says about it",
        CallError::Fatal(_) => {
            "this configuration was made up from the schema: give one with --config"
        }
        CallError::Limit { .. } => "do less in init, or have the operator raise the limit",
        CallError::Retry(_) | CallError::Reject { .. } => {
            "init refuses with `fatal` only: there is no event yet, and no later"
        }
        _ => "init must not trap: refuse with `fatal` and `path: reason`",
    }
}
