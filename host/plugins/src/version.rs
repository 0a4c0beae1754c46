//! Which version of the contract a file was built for, read before anything is compiled.
//!
//! Looks at the names of the outermost imports and exports only; whether the types behind them are
//! right is for the linker to say.

use wasmparser::{Encoding, Parser, Payload};

use crate::error::LoadError;
use crate::limits::{MAX_COMPONENT, MAX_FUNCTION, MAX_NESTING};
use crate::reason;

/// Versions of `flow:processor` that this host serves, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// 0.1.0: the types and functions of 1.0.0.
    V0_1_0,
    /// 1.0.0
    V1_0_0,
}

impl Version {
    pub(crate) const KNOWN: [(&'static str, Self); 2] =
        [("0.1.0", Self::V0_1_0), ("1.0.0", Self::V1_0_0)];

    fn of(version: &str) -> Option<Self> {
        Self::KNOWN.iter().find(|(known, _)| *known == version).map(|(_, version)| *version)
    }

    /// Whether a rewrite that sets `partitionkey` gives the record that key.
    pub(crate) fn rewrites_keys(self) -> bool {
        self >= Self::V1_0_0
    }

    /// As interfaces have it behind their name.
    pub(crate) fn name(self) -> &'static str {
        let known = Self::KNOWN.iter().find(|(_, version)| *version == self);
        known.map_or("", |(name, _)| name)
    }

    /// The name of an interface of this version.
    pub(crate) fn interface(self, name: &str) -> String {
        format!("{PACKAGE}{name}@{}", self.name())
    }

    fn known() -> String {
        Self::KNOWN.map(|(known, _)| known).join(", ")
    }
}

/// What a component may export beside the lifecycle, found by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optional {
    /// Calls by the clock.
    Timer,
    /// Another configuration without a restart.
    Reconfigure,
    /// Takes over the state of another version.
    Migrate,
}

impl Optional {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Timer, Self::Reconfigure, Self::Migrate];

    /// The interface's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::Reconfigure => "reconfigure",
            Self::Migrate => "migrate",
        }
    }
}

/// Reads the version of a component, and refuses what is none or wants what no plugin is given.
pub(crate) fn read(component: &[u8]) -> Result<Version, LoadError> {
    check_size(component)?;
    let names = Names::read(component)?;
    let version = names.lifecycle()?;
    names.check_optional(version)?;
    for name in &names.imports {
        if name.starts_with(PACKAGE) {
            known_version(name)?;
        } else if !WASI.iter().any(|(package, _)| name.starts_with(package)) {
            return Err(LoadError::UnknownImport(shorten(name)));
        }
    }
    Ok(version)
}

pub(crate) fn check_size(component: &[u8]) -> Result<(), LoadError> {
    if component.len() as u64 > MAX_COMPONENT {
        return Err(LoadError::limit("component_bytes", MAX_COMPONENT));
    }
    Ok(())
}

pub(crate) fn known_version(name: &str) -> Result<Version, LoadError> {
    let version = name.rsplit_once('@').map_or("", |(_, version)| version);
    Version::of(version)
        .ok_or_else(|| LoadError::UnknownVersion { name: shorten(name), known: Version::known() })
}

fn interface(rest: &str) -> &str {
    rest.split_once('@').map_or(rest, |(interface, _)| interface)
}

/// A name goes into a message; the file may say anything.
pub(crate) fn shorten(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(100).collect()
}

/// Names of a component's outermost imports and exports.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

impl Names {
    pub(crate) fn read(component: &[u8]) -> Result<Self, LoadError> {
        let mut names = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload.map_err(|error| not_wasm(&error))?;
            match payload {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(LoadError::CoreModule);
                }
                Payload::Version { .. } if depth == MAX_NESTING => {
                    return Err(LoadError::limit("nesting", MAX_NESTING as u64));
                }
                Payload::Version { .. } => depth += 1,
                Payload::CodeSectionEntry(body) if body.range().len() > MAX_FUNCTION => {
                    return Err(LoadError::limit("function_bytes", MAX_FUNCTION as u64));
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                payload if depth == 1 => names.add(payload)?,
                _ => {}
            }
        }
        Ok(names)
    }

    /// The version of the exported lifecycle; of several, the newest that is known.
    pub(crate) fn lifecycle(&self) -> Result<Version, LoadError> {
        let exports = self.exports.iter().filter(|name| {
            name.strip_prefix(PACKAGE).is_some_and(|rest| interface(rest) == "lifecycle")
        });
        let versions: Vec<_> = exports.map(|name| known_version(name)).collect();
        match versions.iter().flatten().max() {
            Some(newest) => Ok(*newest),
            None => versions.into_iter().next().unwrap_or(Err(LoadError::NotAProcessor)),
        }
    }

    /// An optional interface of another version than the lifecycle would be there and never called.
    fn check_optional(&self, version: Version) -> Result<(), LoadError> {
        for optional in Optional::ALL {
            let mut meant = self.exports.iter().filter(|name| {
                name.strip_prefix(PACKAGE).is_some_and(|rest| interface(rest) == optional.name())
            });
            let wanted = version.interface(optional.name());
            let other = meant.clone().find(|name| **name != wanted);
            if let Some(other) = other.filter(|_| !meant.any(|name| *name == wanted)) {
                let known = version.name().to_owned();
                return Err(LoadError::UnknownVersion { name: shorten(other), known });
            }
        }
        Ok(())
    }

    fn add(&mut self, payload: Payload<'_>) -> Result<(), LoadError> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    self.imports
                        .push(import.map_err(|error| not_wasm(&error))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    self.exports
                        .push(export.map_err(|error| not_wasm(&error))?.name.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn not_wasm(error: &wasmparser::BinaryReaderError) -> LoadError {
    LoadError::NotWasm(reason::of(error.message()))
}

pub(crate) const PACKAGE: &str = "flow:processor/";

/// What of WASI 0.2 is linked, with nothing of this machine behind it, and what it is good for.
pub(crate) const WASI: [(&str, &str); 6] = [
    ("wasi:io/", "streams and waiting: nothing waits"),
    ("wasi:clocks/", "stands at the batch's newest timestamp; sleeping moves it"),
    ("wasi:random/", "follows from processor, shard and position"),
    ("wasi:cli/", "what is printed becomes log lines; no arguments, environment or input"),
    ("wasi:filesystem/", "no files"),
    ("wasi:sockets/", "no network"),
];

#[cfg(test)]
mod tests;
