//! What every tool begins with: the engine of a host, the component's file, and what an instance is made with.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use host_plugins::limits::MAX_COMPONENT;
use host_plugins::{Cardinality, Engine, EngineOptions, Info, Limits, Plugin, Setup};
use tempfile::TempDir;

use super::cli::{Component, Made};
use super::schema;

/// An engine and the component.
pub(crate) struct Desk {
    pub(crate) engine: Engine,
    pub(crate) component: Bytes,
    /// Compiled code that nobody keeps.
    _temporary: Option<TempDir>,
}

impl Desk {
    /// Reads the file and starts the engine.
    pub(crate) fn open(at: &Component) -> Result<Self> {
        let component = read(&at.file)?;
        let (cache, temporary) = cache(at.cache.as_deref())?;
        // As many instances as a tool has at once: address space is dear on small machines. A pool counts two memories
        // and six modules an instance; interpreters have up to three and fifteen.
        let options = EngineOptions { pool: 3 * INSTANCES, ..EngineOptions::new(cache) };
        let engine = Engine::new(&options).context("engine")?;
        Ok(Self { engine, component, _temporary: temporary })
    }

    /// Compiles the component and asks it what it is.
    pub(crate) async fn plugin(&self) -> Result<Plugin> {
        let loaded = self.engine.load(self.component.clone()).await;
        loaded.map_err(|error| anyhow::anyhow!("{error}\n  {}", super::advice::to_do(&error)))
    }
}

/// Reads a component; one octet over the largest there may be is enough to refuse it.
fn read(path: &Path) -> Result<Bytes> {
    let shown = || path.display().to_string();
    let file = File::open(path).with_context(shown)?;
    if file.metadata().with_context(shown)?.is_dir() {
        bail!("{}: a directory, not a component", shown());
    }
    let mut bytes = Vec::new();
    file.take(MAX_COMPONENT + 1).read_to_end(&mut bytes).with_context(shown)?;
    Ok(bytes.into())
}

/// A directory of the user's own; where there is none, one that goes with the tool.
fn cache(asked: Option<&Path>) -> Result<(PathBuf, Option<TempDir>)> {
    let from =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own = || from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    if let Some(dir) =
        asked.map(Path::to_owned).or_else(|| own().map(|dir| dir.join("fnaa/compiled")))
    {
        return Ok((dir, None));
    }
    let temporary = TempDir::new().context("no temporary directory")?;
    Ok((temporary.path().join("compiled"), Some(temporary)))
}

/// The type's name as a host takes it: the file's.
pub(crate) fn stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".wasm")
}

/// What an instance is made with, and whether somebody chose its configuration.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) config: String,
    pub(crate) is_chosen: bool,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) limits: Limits,
}

impl Order {
    /// What was asked for, and what fits the plugin for the rest.
    pub(crate) fn of(info: &Info, made: &Made, inputs: &[String]) -> Result<Self> {
        let config = match made.config.as_deref() {
            None => schema::least(&info.config_schema)?,
            Some(text) => match text.strip_prefix('@') {
                Some(path) => read_config(Path::new(path))?,
                None => text.to_owned(),
            },
        };
        let limits = made.limits.iter().map(|(name, value)| (name.as_str(), *value));
        let limits = Limits::default().with(limits, &most());
        let inputs = flows("input", info.inputs, inputs)?;
        let outputs = flows("output", info.outputs, &made.outputs)?;
        Ok(Self { config, is_chosen: made.config.is_some(), inputs, outputs, limits })
    }

    /// For one shard, with nothing in its state.
    pub(crate) fn setup(&self, processor: &str, shard: u32) -> Setup {
        Setup {
            shard,
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            config: self.config.clone(),
            limits: self.limits.clone(),
            ..Setup::empty(processor)
        }
    }
}

/// On his own machine an author may grant himself anything.
fn most() -> Limits {
    let all = Limits::default()
        .values()
        .into_keys()
        .map(|name| (name, serde_json::Value::from(u32::MAX)));
    serde_json::from_value(all.collect()).unwrap_or_default()
}

fn read_config(path: &Path) -> Result<String> {
    let shown = || path.display().to_string();
    let mut text = String::new();
    let file = File::open(path).with_context(shown)?;
    let length = file.take(MAX_CONFIG + 1).read_to_string(&mut text).with_context(shown)?;
    if length as u64 > MAX_CONFIG {
        bail!("{}: larger than {MAX_CONFIG} octets", shown());
    }
    Ok(text)
}

fn flows(side: &str, wants: Cardinality, named: &[String]) -> Result<Vec<String>> {
    let made = |count: usize| match (side, count) {
        ("input", 1) => vec!["in".to_owned()],
        ("input", _) => vec!["in".to_owned(), "in2".to_owned()],
        (_, 1) => vec!["out".to_owned()],
        _ => vec!["out".to_owned(), "out2".to_owned()],
    };
    match wants {
        _ if named.is_empty() => Ok(made(if wants == Cardinality::One { 1 } else { 2 })),
        Cardinality::One if named.len() > 1 => {
            bail!("the plugin takes one {side}, not {}", named.len())
        }
        _ => Ok(named.to_vec()),
    }
}

/// Instances that a tool has at once: one for each partition of a flow that is read.
pub(crate) const INSTANCES: u32 = 64;

/// Octets of a configuration; a command's is shorter.
const MAX_CONFIG: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_is_the_types_name() {
        assert_eq!(stem(Path::new("a/every.wasm")), Some("every"));
        assert_eq!(stem(Path::new("every.wasm.new")), None);
    }

    #[test]
    fn flows_are_made_up_as_the_plugin_takes_them() {
        let named = ["a".to_owned(), "b".to_owned()];
        assert_eq!(flows("input", Cardinality::One, &[]).unwrap(), ["in"]);
        assert_eq!(flows("output", Cardinality::Many, &[]).unwrap(), ["out", "out2"]);
        assert_eq!(flows("output", Cardinality::Many, &named).unwrap(), named);
        assert!(flows("output", Cardinality::One, &named).is_err());
    }

    #[test]
    fn any_limit_can_be_raised_here() {
        let limits = Limits::default().with([("call_ms", 60_000)].into_iter(), &most());
        assert_eq!(limits.call_ms, 60_000);
    }

    #[test]
    fn a_directory_and_a_file_too_large_are_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("a directory"));
        let path = dir.path().join("large.wasm");
        File::create(&path).unwrap().set_len(MAX_COMPONENT * 2).unwrap();
        assert_eq!(read(&path).unwrap().len() as u64, MAX_COMPONENT + 1);
    }
}
