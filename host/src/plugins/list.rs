//! What is installed, as the registry has it, for people and for programs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use host_plugins::store::{Known, StoredRejected, TypeState};
use host_registry::{Books, Desired, Processor, Ran};
use serde_json::{Value, json};

use crate::cli::ListFormat;

/// Characters of a digest that tell versions apart for people.
const SHOWN: usize = 12;

/// What is known of one type.
#[derive(Default)]
struct Type {
    /// Versions that ran and are kept, the one that runs first.
    ran: Vec<Ran>,
    state: TypeState,
    rejected: Option<StoredRejected>,
}

/// One line for each type, and for each file that was rejected and is none's.
pub(super) fn list(registry: &Path, format: ListFormat, out: &mut impl Write) -> Result<()> {
    for (name, found) in types(registry)? {
        match format {
            ListFormat::Json => writeln!(out, "{}", found.value(&name)),
            ListFormat::Text => {
                let (version, digest) = match found.ran.first() {
                    Some(ran) => (or_dash(&ran.version), short(&ran.digest)),
                    None => ("-", "-"),
                };
                writeln!(out, "{name:<24} {version:<12} {digest:<SHOWN$} {}", found.words())
            }
        }
        .context("stdout")?;
    }
    Ok(())
}

/// All of one type.
pub(super) fn show(
    registry: &Path,
    name: &str,
    format: ListFormat,
    out: &mut impl Write,
) -> Result<()> {
    let Some(found) = types(registry)?.remove(name) else {
        bail!("no processor type {name} is installed");
    };
    let processors = host_registry::peek_processors(registry).context("registry")?;
    let users: Vec<&Processor> = processors
        .iter()
        .filter(|processor| processor.kind == name && processor.desired != Desired::Deleted)
        .collect();
    if format == ListFormat::Json {
        let mut value = found.value(name);
        if let Value::Object(fields) = &mut value {
            fields.insert("processors".into(), users.iter().map(|user| used_by(user)).collect());
        }
        return writeln!(out, "{value}").context("stdout");
    }
    writeln!(out, "{name} {}", found.words()).context("stdout")?;
    for (at, ran) in found.ran.iter().enumerate() {
        let what = if at == 0 { "runs" } else { "ran before" };
        let (version, digest) = (or_dash(&ran.version), short(&ran.digest));
        writeln!(out, "  {what}: {version} {digest} generation {}", ran.generation)
            .context("stdout")?;
    }
    for withheld in &found.state.withheld {
        let (known, reason) = (&withheld.version, &withheld.reason);
        writeln!(out, "  not tried again: {} {}: {reason}", known.version, short(&known.digest))
            .context("stdout")?;
    }
    for user in users {
        let upgrade = user.option("upgrade").unwrap_or("auto");
        let pinned = user.pinned.as_deref().map(short).unwrap_or_default();
        let line = format!("  processor {} upgrade={upgrade} {pinned}", user.name);
        writeln!(out, "{}", line.trim_end()).context("stdout")?;
    }
    Ok(())
}

fn used_by(processor: &Processor) -> Value {
    json!({
        "processor": processor.name.as_str(),
        "upgrade": processor.option("upgrade"),
        "pinned": processor.pinned,
    })
}

fn types(registry: &Path) -> Result<BTreeMap<String, Type>> {
    let Books { ran, types, files } = host_registry::peek_plugins(registry).context("registry")?;
    let mut found: BTreeMap<String, Type> = BTreeMap::new();
    for ran in ran {
        found.entry(ran.name.clone()).or_default().ran.push(ran);
    }
    for (name, document) in types {
        let state = serde_json::from_str(&document).with_context(|| format!("type {name}"))?;
        found.entry(name).or_default().state = state;
    }
    for (file, document) in files {
        let rejected = serde_json::from_str(&document).with_context(|| format!("file {file}"))?;
        let name = file.strip_suffix(".wasm").unwrap_or(&file).to_owned();
        found.entry(name).or_default().rejected = Some(rejected);
    }
    Ok(found)
}

impl Type {
    /// Its state in words; what an operator has to know first.
    fn words(&self) -> String {
        let mut words = Vec::new();
        if self.ran.is_empty() {
            words.push("not installed".to_owned());
        }
        if let Some(pinned) = &self.state.pinned {
            words.push(format!("pinned to {}", pinned.version));
        }
        if let Some(rollout) = &self.state.rollout {
            words.push(format!("on probation, {} before it", rollout.before.version));
        }
        if let Some(waiting) = &self.state.waiting {
            words.push(format!("{} waits", waiting.version));
        }
        if let Some(rejected) = &self.rejected {
            let version = self.version_of(rejected).map(|version| format!(", {version},"));
            let version = version.unwrap_or_default();
            words.push(format!("its file{version} is rejected: {}", rejected.reason));
        }
        if words.is_empty() { "ok".to_owned() } else { words.join("; ") }
    }

    /// Which version is rejected, as far as one knows: what cannot be loaded says none.
    fn version_of(&self, rejected: &StoredRejected) -> Option<&str> {
        let digest = rejected.digest.as_deref()?;
        let ran = self.ran.iter().map(|ran| (&ran.digest, &ran.version));
        let withheld =
            self.state.withheld.iter().map(|one| (&one.version.digest, &one.version.version));
        let (_, version) = ran.chain(withheld).find(|(known, _)| *known == digest)?;
        Some(version)
    }

    fn value(&self, name: &str) -> Value {
        let state = &self.state;
        let known = |known: &Known| json!({ "version": known.version, "digest": known.digest });
        json!({
            "type": name,
            "versions": self.ran.iter().map(|ran| json!({
                "version": ran.version, "digest": ran.digest, "generation": ran.generation,
                "at": ran.at, "bytes": ran.bytes,
            })).collect::<Vec<_>>(),
            "pinned": state.pinned.as_ref().map(known),
            "waiting": state.waiting.as_ref().map(known),
            "rollout": state.rollout,
            "withheld": state.withheld,
            "rejected": self.rejected,
        })
    }
}

fn short(digest: &str) -> &str {
    digest.get(..SHOWN).unwrap_or(digest)
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
