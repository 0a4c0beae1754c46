//! The report of a check as text for people.

use super::{Compiled, Export, Import, Made, Problem, Report};
use crate::plugin::words;

impl Report {
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

    pub(super) fn text(&self) -> String {
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
            text += &format!("problem: {}\n  to do: {to_do}\n", words::indented(problem));
        }
        text += if self.ok { "a host takes it\n" } else { "a host refuses it\n" };
        text
    }
}
