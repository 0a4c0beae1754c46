//! What a component asks for and offers, by the names of its outermost imports and exports.
//!
//! For people who want to know why a file cannot run here, and all of it at once: [`crate::Engine::load`] stops at the
//! first reason. Compiles nothing, runs nothing.

use crate::error::LoadError;
use crate::version::{Names, PACKAGE, WASI, check_size, known_version};

/// What a component asks for and offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The contract's version, as the exported lifecycle names it.
    pub contract: Result<String, LoadError>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// The names of what it exports.
    pub exports: Vec<String>,
}

/// One thing that a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name.
    pub name: String,
    /// What is behind it.
    pub given: Given,
}

/// What is behind an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The contract's own.
    Contract,
    /// Something of WASI; what it is good for here.
    Wasi(&'static str),
    /// Nothing: a component that imports it is refused.
    Refused(LoadError),
}

/// Looks at a component's names.
///
/// # Errors
/// When the file is too large, or no component.
pub fn survey(component: &[u8]) -> Result<Survey, LoadError> {
    check_size(component)?;
    let names = Names::read(component)?;
    let contract = names.lifecycle();
    let shown = |name: &String| crate::version::shorten(name);
    Ok(Survey {
        contract: contract.map(|version| version.name().to_owned()),
        imports: names.imports.iter().map(|name| import(name)).collect(),
        exports: names.exports.iter().map(shown).collect(),
    })
}

fn import(name: &str) -> Import {
    let wasi = WASI.iter().find(|(package, _)| name.starts_with(package));
    let given = match (name.starts_with(PACKAGE), wasi) {
        (true, _) => known_version(name).map_or_else(Given::Refused, |_| Given::Contract),
        (false, Some((_, behind))) => Given::Wasi(behind),
        (false, None) => Given::Refused(LoadError::UnknownImport(crate::version::shorten(name))),
    };
    Import { name: crate::version::shorten(name), given }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_refused_is_told_at_once() {
        let text = r#"(component
            (import "wasi:http/types@0.2.0" (instance))
            (import "wasi:clocks/wall-clock@0.2.0" (instance))
            (import "flow:processor/events@9.0.0" (instance))
            (import "flow:processor/state@0.1.0" (instance))
            (import "flow:processor/state@1.0.0" (instance))
        )"#;
        let survey = survey(&wat::parse_str(text).unwrap()).unwrap();
        assert_eq!(survey.contract, Err(LoadError::NotAProcessor));
        let kinds = survey.imports.iter().map(|import| match &import.given {
            Given::Refused(LoadError::UnknownImport(_)) => "nothing",
            Given::Refused(LoadError::UnknownVersion { .. }) => "version",
            Given::Refused(_) => "?",
            Given::Wasi(_) => "wasi",
            Given::Contract => "contract",
        });
        let kinds: Vec<_> = kinds.collect();
        assert_eq!(kinds, ["nothing", "wasi", "version", "contract", "contract"]);
    }

    #[test]
    fn what_is_no_component_is_refused() {
        assert!(matches!(survey(b"nonsense"), Err(LoadError::NotWasm(_))));
        assert_eq!(survey(&wat::parse_str("(module)").unwrap()), Err(LoadError::CoreModule));
    }
}
