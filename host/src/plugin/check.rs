//! `fnaad plugin check`: what a component is, and everything that keeps a host from running it.
//!
//! Finds what it can at once, where a host stops at the first reason.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use host_plugins::survey::{Given, Survey, survey};
use host_plugins::{Cardinality, Info, LoadError, Plugin};
use serde::Serialize;

use super::advice;
use super::cli::Check;
use super::desk::{Desk, Order, stem};
use super::schema;
use crate::cli::ListFormat;

/// Checks and prints. True where a host would take the file.
pub(crate) async fn run(args: &Check, out: &mut impl Write) -> Result<bool> {
    let report = Report::of(args).await?;
    match args.format {
        ListFormat::Json => writeln!(out, "{}", serde_json::to_string(&report)?),
        ListFormat::Text => write!(out, "{}", report.text()),
    }
    .context("stdout")?;
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
            inputs: words(info.inputs),
            outputs: words(info.outputs),
            unnamed_dropped: info.unnamed_dropped,
            config_schema: serde_json::from_str(&info.config_schema).unwrap_or_default(),
            more: info.more.clone(),
        });
    }

    /// Makes some instances; the first touches pages that the others find.
    async fn instantiated(&mut self, args: &Check, plugin: &Plugin) -> Result<()> {
        let order = Order::of(plugin.info(), &args.made, &[])?;
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

    /// What is imported, by package: its version, the names of its interfaces, and what is behind it.
    fn packages(&self) -> Vec<(String, Vec<&str>, &str)> {
        let mut packages: Vec<(String, Vec<&str>, &str)> = Vec::new();
        for Import { name, behind } in &self.imports {
            let (package, rest) = name.split_once('/').unwrap_or((name, ""));
            let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
            let package = format!("{package}@{version}");
            match packages.iter_mut().find(|(known, _, of)| *known == package && of == behind) {
                Some((_, names, _)) => names.push(interface),
                None => packages.push((package, vec![interface], behind)),
            }
        }
        packages
    }

    fn text(&self) -> String {
        let mut text =
            format!("{}: {} bytes\nsha256       {}\n", self.file, self.bytes, self.digest);
        let mut line = |name: &str, what: String| text += &format!("{name:<12} {what}\n");
        if let (Some(contract), Some(world)) = (&self.contract, self.world) {
            line("contract", format!("{contract}, world {world}"));
        }
        if let Some(said) = &self.describe {
            line("type", format!("{} {}: {}", said.name, said.version, said.summary));
            let unnamed = if said.unnamed_dropped { "dropped" } else { "an error" };
            line(
                "shape",
                format!(
                    "{} to {}; events that no action names are {unnamed}",
                    said.inputs, said.outputs
                ),
            );
            line("config", said.config_schema.to_string());
            if !said.more.is_empty() {
                line("more", serde_json::Value::Object(said.more.clone()).to_string());
            }
        }
        for (index, (package, names, behind)) in self.packages().into_iter().enumerate() {
            line(
                if index == 0 { "imports" } else { "" },
                format!("{package:<22} {behind}\n{:36}{}", "", names.join(", ")),
            );
        }
        for (index, Export { name, what }) in self.exports.iter().enumerate() {
            line(if index == 0 { "exports" } else { "" }, format!("{name:<38} {what}"));
        }
        if let Some(Compiled { milliseconds, before }) = self.compile {
            line(
                "compile",
                format!("{milliseconds} ms{}", if before { ", compiled before" } else { "" }),
            );
        }
        if let Some(Made { config, microseconds, memory_bytes }) = &self.instance {
            line(
                "instance",
                format!("{microseconds} µs with init, {} KiB of memory", memory_bytes / 1024),
            );
            line("", format!("configured with {config}"));
        }
        for Problem { problem, to_do } in &self.problems {
            text += &format!("problem: {problem}\n  to do: {to_do}\n");
        }
        text += if self.ok { "a host takes it\n" } else { "a host refuses it\n" };
        text
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

fn words(side: Cardinality) -> &'static str {
    match side {
        Cardinality::One => "one",
        Cardinality::Many => "one or more",
    }
}

/// Instances that are made for the time of one.
const INSTANCES: usize = 21;
