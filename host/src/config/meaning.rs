//! From what stands in a file to what it means; gathers every fault, not only the first.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fnap::name::Name;
use host_plugins::Limits;
use host_server::ListenerOptions;
use toml::Spanned;
use tracing_subscriber::EnvFilter;

use super::error::Fault;
use super::raw::{At, Raw, RawLimits, RawLog, RawNamespace, RawPluginLimits, line_of};
use super::tls::Listens;
use super::{Broker, Config, Log, LogFormat, administrators, listener_defaults, quotas};

/// The meaning of a file whose relative paths are relative to `base`.
pub(super) fn meaning(
    raw: Raw,
    text: &str,
    base: &Path,
) -> Result<(Config, Vec<Named>), Vec<Fault>> {
    let mut reader = Reader { text, faults: Vec::new(), files: Vec::new() };
    let hostname = reader.required("hostname", raw.hostname).and_then(|name| reader.name(&name));
    let us = hostname.as_ref().map_or("", Name::as_str);
    let brokers = reader.brokers(raw.brokers.unwrap_or_default(), us, base);
    let namespaces = reader.namespaces(raw.namespaces.unwrap_or_default(), &brokers);
    let users = reader.users(raw.users.unwrap_or_default());
    let (anonymous, common_names) = (raw.anonymous, raw.certificate_common_names);
    let oauth = raw.oauth.unwrap_or_default();
    let identities = reader.identities(anonymous, common_names, oauth, base);
    let administrators = administrators::meaning(&mut reader, raw.administrators);
    let quotas = quotas::meaning(&mut reader, raw.quotas);
    let (listener, limits, most) = reader.limits(raw.limits.unwrap_or_default());
    let log = reader.log(raw.log.unwrap_or_default());
    let observe = raw.observe.unwrap_or_default().listen;
    let observe = observe.and_then(|address| reader.address(&address));
    let names = reader.names(raw.names.unwrap_or_default(), base);
    let peers = reader.peers(raw.peers.unwrap_or_default(), base);
    let dns = reader.dns(raw.dns.unwrap_or_default(), base);
    let reports = reader.reports(raw.reports.unwrap_or_default(), peers.domain.is_some());
    let traces = reader.traces(raw.traces.unwrap_or_default(), base, us);
    let upgrades = reader.upgrades(raw.upgrades.unwrap_or_default());
    let data_dir =
        reader.required("data_dir", raw.data_dir).and_then(|dir| reader.path(&dir, base));
    let plugins_dir = match raw.plugins_dir {
        Some(dir) => reader.path(&dir, base),
        None => data_dir.as_ref().map(|dir| dir.join("plugins")),
    };
    let audit = reader.audit(raw.audit.unwrap_or_default(), base, data_dir.as_deref(), &namespaces);
    let users_file = raw.users_file.and_then(|file| reader.file(&file, base));
    let Listens { listen, listen_tls, clear_text_on, tls } =
        reader.listens(raw.listen, raw.listen_tls, raw.clear_text_on, raw.tls, base);
    match (hostname, data_dir, plugins_dir, audit) {
        (Some(hostname), Some(data_dir), Some(plugins_dir), Some(audit))
            if reader.faults.is_empty() =>
        {
            let config = Config {
                hostname: hostname.to_string(),
                listen,
                listen_tls,
                clear_text_on,
                tls,
                data_dir,
                plugins_dir,
                brokers,
                namespaces,
                users_file,
                users,
                identities,
                administrators,
                quotas,
                listener,
                limits,
                most,
                log,
                observe,
                names,
                peers,
                dns,
                audit,
                reports,
                traces,
                upgrades,
            };
            Ok((config, reader.files))
        }
        _ => Err(reader.into_faults()),
    }
}

pub(super) struct Reader<'a> {
    text: &'a str,
    faults: Vec<Fault>,
    files: Vec<Named>,
}

/// A file that the configuration names, and that has to be there.
#[derive(Debug)]
pub(super) struct Named {
    /// The key that names it.
    pub(super) key: String,
    /// Line of the configuration, counted from 1.
    pub(super) line: usize,
    /// The file.
    pub(super) path: PathBuf,
}

impl Reader<'_> {
    pub(super) fn fault<T>(&mut self, at: &Spanned<T>, what: impl ToString) {
        let line = line_of(self.text, at.span().start);
        self.faults.push(Fault { line, what: what.to_string() });
    }

    /// A fault that stands nowhere.
    pub(super) fn fault_of_file(&mut self, what: impl ToString) {
        self.faults.push(Fault { line: 1, what: what.to_string() });
    }

    fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|fault| fault.line);
        self.faults
    }

    fn required(&mut self, key: &str, value: At<String>) -> Option<Spanned<String>> {
        if value.is_none() {
            self.fault_of_file(format!("{key} is missing"));
        }
        value
    }

    pub(super) fn name(&mut self, text: &Spanned<String>) -> Option<Name> {
        let name = text.get_ref().parse().map_err(|error: fnap::name::NameError| {
            self.fault(text, format!("not a name: {error}"));
        });
        name.ok()
    }

    pub(super) fn path(&mut self, text: &Spanned<String>, base: &Path) -> Option<PathBuf> {
        if text.get_ref().is_empty() {
            self.fault(text, "empty path");
            return None;
        }
        // No system has a path with a NUL; the others would be printed as they are.
        if text.get_ref().contains(char::is_control) {
            self.fault(text, "a path without control characters");
            return None;
        }
        Some(base.join(text.get_ref()))
    }

    /// The path of a file that has to be there.
    pub(super) fn file(&mut self, text: &Spanned<String>, base: &Path) -> Option<PathBuf> {
        let path = self.path(text, base)?;
        let at = text.span().start;
        let (key, line) = (key_before(self.text, at).to_owned(), line_of(self.text, at));
        self.files.push(Named { key, line, path: path.clone() });
        Some(path)
    }

    pub(super) fn address(&mut self, text: &Spanned<String>) -> Option<SocketAddr> {
        let address = text.get_ref().parse().ok();
        if address.is_none() {
            self.fault(text, "not an address and port, as in 127.0.0.1:61000");
        }
        address
    }

    fn namespaces(
        &mut self,
        written: Vec<RawNamespace>,
        brokers: &[Broker],
    ) -> Vec<(Name, String)> {
        let mut namespaces: Vec<(Name, String)> = Vec::new();
        for RawNamespace { name: text, broker } in written {
            let Some(name) = self.name(&text) else { continue };
            if namespaces.iter().any(|(other, _)| *other == name) {
                self.fault(&text, format!("a second namespace {name}"));
            }
            let known = |name: &str| brokers.iter().any(|broker| broker.name == name);
            if let Some(broker) = broker.as_ref().filter(|broker| !known(broker.get_ref())) {
                self.fault(broker, format!("no broker {}", broker.get_ref().escape_debug()));
            }
            let first = || brokers.first().map(|broker| broker.name.clone()).unwrap_or_default();
            namespaces.push((name, broker.map_or_else(first, Spanned::into_inner)));
        }
        namespaces
    }

    fn log(&mut self, raw: RawLog) -> Log {
        let mut log = Log::default();
        if let Some(format) = raw.format {
            match format.get_ref().as_str() {
                "text" => log.format = LogFormat::Text,
                "json" => log.format = LogFormat::Json,
                _ => self.fault(&format, "a log format is text or json"),
            }
        }
        if let Some(level) = raw.level {
            match level.get_ref().as_str() {
                "error" => log.level = tracing::Level::ERROR,
                "warn" => log.level = tracing::Level::WARN,
                "info" => log.level = tracing::Level::INFO,
                "debug" => log.level = tracing::Level::DEBUG,
                "trace" => log.level = tracing::Level::TRACE,
                _ => self.fault(&level, "a log level is error, warn, info, debug or trace"),
            }
        }
        if let Some(filter) = raw.filter {
            match EnvFilter::builder().parse(filter.get_ref()) {
                Ok(_) if filter.get_ref().is_empty() => {}
                Ok(_) => log.filter = Some(filter.into_inner()),
                Err(_) => {
                    self.fault(&filter, "a log filter is part=level,… as in host_server=debug");
                }
            }
        }
        log
    }

    fn limits(&mut self, raw: RawLimits) -> (ListenerOptions, Limits, Limits) {
        let mut listener = listener_defaults();
        if let Some(value) = self.number(raw.connections, 1..=100_000) {
            listener.connections = value as usize;
        }
        if let Some(value) = self.number(raw.idle_seconds, 1..=86_400) {
            listener.idle = Duration::from_secs(value);
        }
        if let Some(value) = self.number(raw.stalled_seconds, 1..=3_600) {
            listener.stalled = Duration::from_secs(value);
        }
        if let Some(value) = self.number(raw.event_bytes, KIB..=16 * MIB) {
            listener.max_data_line = value as usize;
        }
        let usual = self.plugin_limits(raw.plugin.unwrap_or_default(), None);
        let most = self.plugin_limits(raw.plugin_most.unwrap_or_default(), Some(&usual));
        (listener, usual, most)
    }

    /// What every plugin gets; or the most that one may get, which is never less than `every`.
    fn plugin_limits(&mut self, raw: RawPluginLimits, every: Option<&Limits>) -> Limits {
        let usual = every.cloned().unwrap_or_default();
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let mut number = |value, range: RangeInclusive<u64>, usual: u64| {
            let least = if every.is_some() { usual } else { *range.start() };
            self.number(value, least..=*range.end()).unwrap_or(usual)
        };
        Limits {
            memory: number(raw.memory_bytes, MIB..=4_096 * MIB, usual.memory),
            table_elements: number(raw.table_elements, 100..=10_000_000, usual.table_elements),
            call_ms: number(raw.call_ms, 1..=600_000, usual.call_ms),
            soft_ms: number(raw.soft_ms, 1..=1_000, usual.soft_ms),
            init_ms: number(raw.init_ms, 1..=600_000, usual.init_ms),
            batch_events: small(number(raw.batch_events, 1..=65_536, usual.batch_events.into())),
            batch_bytes: number(raw.batch_bytes, KIB..=256 * MIB, usual.batch_bytes),
            emit_events: small(number(raw.emit_events, 1..=1_048_576, usual.emit_events.into())),
            emit_bytes: number(raw.emit_bytes, KIB..=256 * MIB, usual.emit_bytes),
            state_bytes: number(raw.state_bytes, 0..=4_096 * MIB, usual.state_bytes),
            state_value_bytes: number(raw.state_value_bytes, 1..=16 * MIB, usual.state_value_bytes),
            log_lines: small(number(raw.log_lines, 0..=10_000, usual.log_lines.into())),
            recycle_bytes: number(raw.recycle_bytes, 0..=4_096 * MIB, usual.recycle_bytes),
            idle_ms: number(raw.idle_ms, 10..=86_400_000, usual.idle_ms),
        }
    }

    pub(super) fn number(&mut self, value: At<u64>, range: RangeInclusive<u64>) -> Option<u64> {
        let value = value?;
        if !range.contains(value.get_ref()) {
            let (least, most) = (range.start(), range.end());
            self.fault(&value, format!("{} is not between {least} and {most}", value.get_ref()));
            return None;
        }
        Some(value.into_inner())
    }
}

/// The bare key whose value begins there.
fn key_before(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default().trim_end();
    let before =
        before.strip_suffix('=').unwrap_or(before).trim_end().trim_end_matches(['"', '\'']);
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    before.rsplit(|c| !bare(c)).next().unwrap_or_default()
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
