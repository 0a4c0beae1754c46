//! The four plugins that travel inside the host, as components.
//!
//! Only their bytes: whoever wants to run one treats it like any other file from the plugin
//! directory.

/// A plugin's component.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// The type's name, and the file's stem.
    pub name: &'static str,
    /// The component.
    pub component: &'static [u8],
}

/// Bridge, collector, distributor and signal.
#[must_use]
pub fn all() -> [Builtin; 4] {
    [
        Builtin {
            name: "bridge",
            component: include_bytes!(concat!(env!("OUT_DIR"), "/bridge.wasm")),
        },
        Builtin {
            name: "collector",
            component: include_bytes!(concat!(env!("OUT_DIR"), "/collector.wasm")),
        },
        Builtin {
            name: "distributor",
            component: include_bytes!(concat!(env!("OUT_DIR"), "/distributor.wasm")),
        },
        Builtin {
            name: "signal",
            component: include_bytes!(concat!(env!("OUT_DIR"), "/signal.wasm")),
        },
    ]
}

/// The bridge again, under the next version: for showing how a new version takes over.
#[must_use]
pub fn bridge_next() -> Builtin {
    Builtin {
        name: "bridge",
        component: include_bytes!(concat!(env!("OUT_DIR"), "/bridge-next.wasm")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::{Parser, Payload};

    /// Names that the component itself imports; what is inside it imports from its surroundings.
    fn imports(component: &[u8]) -> Vec<String> {
        let (mut names, mut depth) = (Vec::new(), 0);
        for payload in Parser::new(0).parse_all(component) {
            match payload.unwrap() {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(section) if depth == 0 => {
                    let name =
                        |import: wasmparser::ComponentImport<'_>| import.name.name.to_owned();
                    names.extend(section.into_iter().map(|import| name(import.unwrap())));
                }
                _ => {}
            }
        }
        names
    }

    #[test]
    fn a_plugin_imports_the_contract_and_wasi_only() {
        for plugin in all().into_iter().chain([bridge_next()]) {
            let names = imports(plugin.component);
            assert!(!names.is_empty(), "{} is no component", plugin.name);
            for name in names {
                let known = name.starts_with("flow:processor/") || name.starts_with("wasi:");
                assert!(known, "{} imports {name}", plugin.name);
            }
        }
    }

    #[test]
    fn the_next_bridge_is_another_component() {
        let [bridge, ..] = all();
        assert_ne!(bridge.component, bridge_next().component);
    }

    #[test]
    fn a_plugin_stays_small_enough_to_travel() {
        for plugin in all() {
            assert!(plugin.component.len() < 2 * 1024 * 1024, "{} grew", plugin.name);
        }
    }
}
