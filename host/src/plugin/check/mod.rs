//! `fnaad plugin check`: what a component is, and everything that keeps a host from running it.
//!
//! Finds what it can at once, where a host stops at the first reason.

mod shown;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use host_plugins::survey::{Given, Survey, survey};
use host_plugins::{Cardinality, Info, LoadError, Plugin};
use serde::Serialize;

use super::cli::Check;
use super::desk::{Desk, Order, stem};
use super::{advice, schema, words};

/// Checks and prints. True where a host would take the file.
pub(crate) async fn run(args: &Check, out: &mut impl Write) -> Result<bool> {
    let report = Report::of(args).await?;
    words::print(&report, Report::text, args.format, out)?;
    Ok(report.problems.is_empty())
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    bytes: usize,
    digest: String,
    /// Whether a host would take it.
    ok: bool,
    contract: Option<String>,
    world: Option<&'static str>,
    imports: Vec<Import>,
    exports: Vec<Export>,
    describe: Option<Described>,
    compile: Option<Compiled>,
    instance: Option<Made>,
    problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Import {
    name: String,
    behind: String,
}

#[derive(Debug, Serialize)]
struct Export {
    name: String,
    what: &'static str,
}

#[derive(Debug, Serialize)]
struct Described {
    name: String,
    version: String,
    summary: String,
    inputs: &'static str,
    outputs: &'static str,
    unnamed_dropped: bool,
    config_schema: serde_json::Value,
    more: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct Compiled {
    milliseconds: u128,
    /// Whether compiled code was there already.
    before: bool,
}

#[derive(Debug, Serialize)]
struct Made {
    config: String,
    /// The middle of some, with `init`.
    microseconds: u128,
    memory_bytes: usize,
}

#[derive(Debug, Serialize)]
struct Problem {
    problem: String,
    to_do: String,
}

impl Report {
    async fn of(args: &Check) -> Result<Self> {
        let desk = Desk::open(&args.component)?;
        let mut report = Self {
            file: args.component.file.display().to_string(),
            bytes: desk.component.len(),
            digest: host_plugins::engine::digest(&desk.component).to_string(),
            ok: false,
            contract: None,
            world: None,
            imports: Vec::new(),
            exports: Vec::new(),
            describe: None,
            compile: None,
            instance: None,
            problems: Vec::new(),
        };
        match survey(&desk.component) {
            Ok(found) => report.surveyed(found),
            Err(error) => report.refused(&error),
        }
        if report.problems.is_empty() {
            report.loaded(&desk, args).await?;
        }
        report.ok = report.problems.is_empty();
        Ok(report)
    }

    fn problem(&mut self, problem: impl Into<String>, to_do: impl Into<String>) {
        self.problems.push(Problem { problem: problem.into(), to_do: to_do.into() });
    }

    fn refused(&mut self, error: &LoadError) {
        self.problem(error.to_string(), advice::to_do(error));
    }

    fn surveyed(&mut self, found: Survey) {
        match found.contract {
            Ok(version) => {
                self.contract = Some(format!("flow:processor@{version}"));
                self.world = Some("processor");
            }
            Err(error) => self.refused(&error),
        }
        for import in found.imports {
            let behind = match import.given {
                Given::Contract => "the contract",
                Given::Wasi(behind) => behind,
                Given::Refused(error) => {
                    self.refused(&error);
                    "nothing: not granted"
                }
            };
            self.imports.push(Import { name: import.name, behind: behind.to_owned() });
        }
        self.exports = found.exports.into_iter().map(Export::of).collect();
    }

    async fn loaded(&mut self, desk: &Desk, args: &Check) -> Result<()> {
        let began = Instant::now();
        let loaded = desk.engine.load(desk.component.clone()).await;
        let took = began.elapsed();
        match loaded {
            Err(error) => self.refused(&error),
            Ok(plugin) => {
                self.compile = Some(Compiled {
                    milliseconds: took.as_millis(),
                    before: desk.engine.cache_hits() > 0,
                });
                self.described(args, plugin.info());
                self.instantiated(args, &plugin).await?;
            }
        }
        Ok(())
    }

    fn described(&mut self, args: &Check, info: &Info) {
        match stem(&args.component.file) {
            Some(stem) if stem == info.name => {}
            found => {
                let found = found
                    .map_or("no name that ends in .wasm".to_owned(), |stem| format!("`{stem}`"));
                self.problem(
                    format!("the file's name is {found}, describe says `{}`", info.name),
                    format!("call the file {}.wasm, or the type as the file", info.name),
                );
            }
        }
        for wrong in schema::wrong_with(&info.config_schema) {
            self.problem(
                format!("config-schema is no JSON Schema: {wrong}"),
                "users read it before they write a configuration: mend it in describe",
            );
        }
        self.describe = Some(Described {
            name: info.name.clone(),
            version: info.version.clone(),
            summary: info.summary.clone(),
            inputs: sides(info.inputs),
            outputs: sides(info.outputs),
            unnamed_dropped: info.unnamed_dropped,
            config_schema: serde_json::from_str(&info.config_schema).unwrap_or_default(),
            more: info.more.clone(),
        });
    }

    /// Makes some instances; the first touches pages that the others find.
    async fn instantiated(&mut self, args: &Check, plugin: &Plugin) -> Result<()> {
        let order = match Order::of(plugin.info(), &args.made, &[]) {
            Err(error) if error.is::<schema::TooMuch>() => {
                self.problem(
                    error.to_string(),
                    "ask for less in config-schema, or give a configuration with --config",
                );
                return Ok(());
            }
            order => order?,
        };
        let mut times = Vec::new();
        let mut memory = 0;
        for _ in 0..INSTANCES {
            let began = Instant::now();
            match plugin.instantiate(order.setup("check", 0)).await {
                Ok(instance) => {
                    times.push(began.elapsed());
                    memory = instance.memory();
                }
                Err(error) => {
                    self.problem(
                        format!("init with {}: {error}", order.config),
                        advice::about_init(&error, order.is_chosen),
                    );
                    return Ok(());
                }
            }
        }
        times.sort_unstable();
        let middle = times.get(times.len() / 2).copied().unwrap_or(Duration::ZERO);
        self.instance = Some(Made {
            config: order.config,
            microseconds: middle.as_micros(),
            memory_bytes: memory,
        });
        Ok(())
    }
}

impl Export {
    fn of(name: String) -> Self {
        let interface =
            name.strip_prefix("flow:processor/").map(|rest| rest.split('@').next().unwrap_or(rest));
        let what = match interface {
            Some("lifecycle") => "the processor",
            Some(_) => "optional interface",
            None => "not called by hosts",
        };
        Self { name, what }
    }
}

fn sides(side: Cardinality) -> &'static str {
    match side {
        Cardinality::One => "one",
        Cardinality::Many => "one or more",
    }
}

/// Instances that are made for the time of one.
const INSTANCES: usize = 21;
