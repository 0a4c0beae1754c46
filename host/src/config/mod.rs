//! What the operator wrote, and what it means.
//!
//! A file is read into `raw` (what may stand there), then into [`Config`] (what it means). Unknown keys
//! and wrong values are refused with file and line, all of them at once. Starts nothing.

mod administrators;
mod audit;
mod brokers;
mod check;
mod diff;
mod dns;
mod error;
mod identities;
mod kafka;
mod lending;
mod meaning;
mod names;
mod peers;
mod quotas;
mod raw;
mod reports;
#[cfg(test)]
mod strange;
mod subjects;
#[cfg(test)]
mod tests;
mod tls;
mod traces;
mod upgrades;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fnap::name::Name;
use host_iam::{Quota, Settings, Subject, UserList, UsersError};
use host_observe::traces::TraceOptions;
use host_plugins::Limits;
use host_server::{ListenerOptions, TlsFiles};

use crate::audit::AuditOptions;
use crate::dev;
use meaning::Named;

pub(crate) use brokers::is_server;
pub use check::{Finding, check};
pub use diff::{Difference, differences};
pub use dns::{Advertised, DnsConfig, DnsZone, Served};
pub use error::{ConfigError, Fault};
pub use kafka::{KafkaBroker, Password};
pub use lending::Lending;
pub use names::NamesConfig;
pub use peers::PeersConfig;
pub use reports::ReportsConfig;
pub use upgrades::Upgrades;

/// A participant's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The host's name, in the greeting.
    pub hostname: String,
    /// Addresses to listen on in clear text, with STARTTLS where there is a certificate.
    pub listen: Vec<SocketAddr>,
    /// Addresses to listen on for TLS.
    pub listen_tls: Vec<SocketAddr>,
    /// Those of `listen` where everybody may authenticate in clear text.
    pub clear_text_on: Vec<SocketAddr>,
    /// The certificate.
    pub tls: Option<TlsFiles>,
    /// Registry, embedded brokers, compiled plugins.
    pub data_dir: PathBuf,
    /// The plugins' inbox.
    pub plugins_dir: PathBuf,
    /// Brokers; the first is that of namespaces that name none.
    pub brokers: Vec<Broker>,
    /// Namespaces that are made where they do not exist, and the names of their brokers.
    pub namespaces: Vec<(Name, String)>,
    /// File with users.
    pub users_file: Option<PathBuf>,
    /// Users written in the configuration itself.
    pub users: UserList,
    /// How others than users with passwords come in.
    pub identities: Settings,
    /// Who may do everything.
    pub administrators: Vec<Subject>,
    /// How much of the host one principal may use.
    pub quotas: BTreeMap<Subject, Quota>,
    /// How connections are treated.
    pub listener: ListenerOptions,
    /// Limits of every plugin instance.
    pub limits: Limits,
    /// The highest limits that one processor may be given.
    pub most: Limits,
    /// What is logged, and how.
    pub log: Log,
    /// Address of metrics and probes; none where nobody asked for it.
    pub observe: Option<SocketAddr>,
    /// Whom to ask about names, and whom to believe about domains.
    pub names: NamesConfig,
    /// Who it is to other participants.
    pub peers: PeersConfig,
    /// What it says of itself in DNS, and where.
    pub dns: DnsConfig,
    /// Where the audit log goes.
    pub audit: AuditOptions,
    /// What is told in the reports flows of namespaces.
    pub reports: ReportsConfig,
    /// Where traces go; none where nobody asked for them.
    pub traces: Option<TraceOptions>,
    /// What the first of a type has to do with a new version before others follow.
    pub upgrades: Upgrades,
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// What namespaces call it.
    pub name: String,
    /// What it is.
    pub kind: BrokerKind,
}

/// What a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// The log inside of this host, under the data directory.
    Embedded,
    /// A cluster of Apache Kafka.
    Kafka(Box<KafkaBroker>),
}

/// What is logged, and how; always to stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Text for people, or JSON for programs.
    pub format: LogFormat,
    /// The least important level that is shown.
    pub level: tracing::Level,
    /// Other levels for parts of the host: `part=level,…`.
    pub filter: Option<String>,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: tracing::Level::INFO, filter: None }
    }
}

impl Log {
    /// The level and the filter, as the subscriber wants them.
    #[must_use]
    pub fn directives(&self) -> String {
        let filter = self.filter.as_deref().unwrap_or_default();
        // hickory warns of whatever a stranger's name server sends, with all of it.
        let hickory = "hickory_net=off,hickory_resolver=off,hickory_proto=off";
        format!("{},wasmtime=warn,cranelift=warn,{hickory},{filter}", self.level)
    }
}

impl Config {
    /// Name of the broker of namespaces that name none.
    pub(crate) fn default_broker(&self) -> String {
        self.brokers.first().map(|broker| broker.name.clone()).unwrap_or_default()
    }

    /// Reads a file. Relative paths in it are relative to its directory.
    ///
    /// # Errors
    /// All that is wrong in it, each with its line.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with_files(path).map(|(config, _)| config)
    }

    /// The same, with the files that have to be there beside it.
    fn load_with_files(path: &Path) -> Result<(Self, Vec<Named>), ConfigError> {
        let text = read(path)?;
        let (config, files) = Self::parse_with_files(&text, path)?;
        if !config.users.is_empty() {
            refuse_if_exposed(path)?;
        }
        Ok((config, files))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// All that is wrong in it, each with its line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::parse_with_files(text, path).map(|(config, _)| config)
    }

    fn parse_with_files(text: &str, path: &Path) -> Result<(Self, Vec<Named>), ConfigError> {
        let base = path.parent().unwrap_or(Path::new(""));
        let faults = |faults| ConfigError::Wrong { path: path.display().to_string(), faults };
        let raw = raw::parse(text).map_err(|fault| faults(vec![fault]))?;
        meaning::meaning(raw, text, base).map_err(faults)
    }

    /// What `fnaad dev DIR` runs: everything under one directory. New namespaces get the first broker.
    #[must_use]
    pub fn dev(
        dir: &Path,
        listen: SocketAddr,
        dns: SocketAddr,
        namespaces: Vec<Name>,
        brokers: Vec<Broker>,
    ) -> Self {
        let dns =
            DnsConfig::dev(dev::reachable(listen).ip(), dns, namespaces.iter().map(domain_of));
        let first = brokers.first().map_or(EMBEDDED, |broker| &broker.name).to_owned();
        let domain = namespaces.first().map(domain_of);
        Self {
            hostname: hostname_of(namespaces.first()),
            listen: vec![listen],
            listen_tls: Vec::new(),
            clear_text_on: Vec::new(),
            tls: Some(crate::dev::certificate_files(dir)),
            data_dir: dir.join("data"),
            plugins_dir: dir.join("plugins"),
            namespaces: namespaces.into_iter().map(|name| (name, first.clone())).collect(),
            brokers,
            users_file: Some(dir.join("users.toml")),
            users: UserList::default(),
            identities: Settings::default(),
            administrators: vec![Subject::User(dev::USER.to_owned())],
            quotas: BTreeMap::new(),
            listener: listener_defaults(),
            limits: Limits::default(),
            most: Limits::default(),
            log: Log::default(),
            observe: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            names: NamesConfig::default(),
            reports: ReportsConfig::usual(domain.is_some()),
            traces: None,
            peers: PeersConfig { domain, assumed: true, ..PeersConfig::dev() },
            dns,
            upgrades: Upgrades::default(),
            audit: AuditOptions { file: dir.join("data").join(audit::FILE), flow: None },
        }
    }

    /// All users: those of the file and those of the configuration itself.
    ///
    /// # Errors
    /// When the file cannot be read, others can read it, or somebody is named twice.
    pub fn all_users(&self) -> Result<UserList, UsersError> {
        let mut users = match &self.users_file {
            Some(path) => UserList::load(path)?,
            None => UserList::default(),
        };
        users.merge(self.users.clone())?;
        Ok(users)
    }

    /// What an operator should know though nothing is wrong; for the log and for `fnaad check`.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.clear_text_warnings().collect();
        if let Some(address) = self.observe.filter(|address| !address.ip().is_loopback()) {
            warnings.push(format!(
                "whoever reaches {address} reads the metrics: names of flows and processors, and how much they carry"
            ));
        }
        let Settings { anonymous, providers, .. } = &self.identities;
        let certificates = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let others = *anonymous || certificates || !providers.is_empty();
        if self.users_file.is_none() && self.users.is_empty() && !others {
            warnings.push("there are no users: nobody can authenticate".to_owned());
        }
        if self.administrators.is_empty() {
            warnings.push(
                "nobody is an administrator: without administrators = [\"user:NAME\"] nobody may do more than \
                 earlier grants allow"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// `fnaa.unix.ar` for the namespace `flows.unix.ar`, as in the draft's transcripts.
fn hostname_of(namespace: Option<&Name>) -> String {
    let domain = namespace.map(domain_of);
    format!("fnaa.{}", domain.as_ref().map_or("localhost", Name::as_str))
}

/// `unix.ar` for the namespace `flows.unix.ar`.
fn domain_of(namespace: &Name) -> Name {
    let above = namespace.parent().filter(|_| namespace.as_str().starts_with("flows."));
    above.unwrap_or_else(|| namespace.clone())
}

pub(crate) fn listener_defaults() -> ListenerOptions {
    ListenerOptions {
        connections: CONNECTIONS,
        idle: IDLE,
        stalled: STALLED,
        max_data_line: MAX_EVENT,
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read as _;
    let shown = path.display().to_string();
    let unreadable = |reason: String| ConfigError::Unreadable { path: shown.clone(), reason };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut text = String::new();
    let length = file.take(MAX_FILE + 1).read_to_string(&mut text);
    match length.map_err(|error| unreadable(error.to_string()))? {
        length if length as u64 > MAX_FILE => {
            Err(unreadable(format!("larger than {MAX_FILE} octets")))
        }
        _ => Ok(text),
    }
}

fn refuse_if_exposed(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = path.display().to_string();
    let metadata = std::fs::metadata(path).map_err(|error| ConfigError::Unreadable {
        path: shown.clone(),
        reason: error.to_string(),
    })?;
    match metadata.permissions().mode() & 0o7777 {
        mode if mode & 0o077 != 0 => Err(ConfigError::Exposed { path: shown, mode }),
        _ => Ok(()),
    }
}

/// The type of the broker inside of this host, and what it is called where nobody says.
pub const EMBEDDED: &str = "embedded";

/// Connections at once: about 30 KiB each when idle, so 30 MiB.
const CONNECTIONS: usize = 1_024;

/// Silence after which a connection is closed: longer than a person thinks over a command.
const IDLE: Duration = Duration::from_secs(600);

/// How long a peer may leave what we send unread: longer than a broken radio link.
const STALLED: Duration = Duration::from_secs(60);

/// Largest event of a WRITE: the default of Kafka's `max.message.bytes`.
const MAX_EVENT: usize = 1024 * 1024;

/// Octets of a configuration file: 1,000 namespaces and some hundred users are a tenth of it.
const MAX_FILE: u64 = 4 * 1024 * 1024;
