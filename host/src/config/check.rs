//! `fnaad check`: what is wrong with a configuration and with what it points at.
//!
//! Changes nothing and starts nothing; a running host does not notice.

use std::fs::File;
use std::path::Path;

use host_names::SetupError;
use host_names::publish::Key;

use super::meaning::Named;
use super::{Broker, BrokerKind, Config, ConfigError, NamesConfig, Served};
use crate::lock::DirLock;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether a host with this configuration would not start; otherwise it is a warning.
    pub fatal: bool,
    /// Line of the configuration, counted from 1, where one says it.
    pub line: Option<usize>,
    /// What it is.
    pub what: String,
}

impl Finding {
    pub(super) fn error(what: String) -> Self {
        Self { fatal: true, line: None, what }
    }

    pub(super) fn warning(what: String) -> Self {
        Self { fatal: false, line: None, what }
    }
}

/// Looks at a configuration file and at the files and directories that it names.
///
/// # Errors
/// When the file itself cannot be used.
pub fn check(path: &Path) -> Result<Vec<Finding>, ConfigError> {
    let (config, files) = Config::load_with_files(path)?;
    let mut findings: Vec<Finding> = files.iter().filter_map(missing).collect();
    if findings.is_empty() {
        findings.extend(contents(&config));
    }
    // No error: who asks before a SIGHUP or a restart has it running.
    if let Some(holder) = DirLock::holder(&config.data_dir) {
        let dir = config.data_dir.display();
        findings.push(Finding::warning(format!(
            "data_dir {dir} is in use by another host{holder}: a second one would not start"
        )));
    }
    for (key, dir) in [("data_dir", &config.data_dir), ("plugins_dir", &config.plugins_dir)] {
        if let Err(reason) = usable(dir) {
            findings.push(Finding::error(format!("{key} {}: {reason}", dir.display())));
        }
    }
    findings.extend(config.warnings().into_iter().map(Finding::warning));
    Ok(findings)
}

/// Why a file that has to be there cannot be read.
fn missing(file: &Named) -> Option<Finding> {
    let Named { key, line, path } = file;
    let error = File::open(path).err()?;
    let what = format!("{key} {}: {error}", path.display());
    Some(Finding { fatal: true, line: Some(*line), what })
}

/// What is wrong in the files, which all are there.
fn contents(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = config.all_users() {
        findings.push(Finding::error(error.to_string()));
    }
    for Broker { name, kind } in &config.brokers {
        if let BrokerKind::Kafka(kafka) = kind
            && let Err(reason) = kafka.check(name)
        {
            findings.push(Finding::error(format!("broker {name}: {reason}")));
        }
    }
    for zone in &config.dns.zones {
        if let Served::Update { key_file, .. } = &zone.served
            && let Err(error) = Key::of_file(key_file)
        {
            findings.push(Finding::error(format!("dns zone {}: {error}", zone.name)));
        }
    }
    findings.extend(config.tls_findings());
    match config.names.domains() {
        // A machine without a resolver can do all but let strangers in; who wrote nothing wants none.
        Err(SetupError::NoServers(_)) if config.names == NamesConfig::default() => {}
        Err(SetupError::NoServers(reason)) => {
            let what = format!("no name servers: {reason}: no domain can prove itself");
            findings.push(Finding::warning(what));
        }
        Err(error) => findings.push(Finding::error(format!("names: {error}"))),
        Ok(_) => {}
    }
    findings
}

/// Whether a directory can be written, or made.
fn usable(dir: &Path) -> Result<(), String> {
    let nearest = dir.ancestors().find(|ancestor| ancestor.exists());
    let nearest = nearest.unwrap_or(Path::new("."));
    if !nearest.is_dir() {
        return Err(format!("{} is no directory", nearest.display()));
    }
    rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|error| format!("{} cannot be written: {error}", nearest.display()))
}
