//! A Kafka cluster as the operator configured it, and what the broker is opened with.
//!
//! Passwords stand in files of their own, which only their owner may read, and are read when a cluster
//! is opened or checked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fnap::name::Name;
use host_brokers::kafka::{Kafka, KafkaOptions, Mechanism, Sasl, Tls};

use super::Lending;

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaBroker {
    /// `host:port,…` to begin with.
    pub servers: String,
    /// Names the topics and transactions of all hosts that are one participant.
    pub identity: String,
    /// How many lanes a new identity gets.
    pub lanes: u32,
    /// Copies of topics where a flow does not say.
    pub replication: Option<u16>,
    /// Under which name and port Kafka clients elsewhere reach it; none where they may not.
    pub advertise: Option<(Name, u16)>,
    /// Whether and how connections are encrypted.
    pub tls: Option<Tls>,
    /// Who this host is to the cluster.
    pub sasl: Option<Password>,
    /// How other participants read the topics of their subscriptions; not at all without it.
    pub subscriptions: Option<Lending>,
    /// Further settings under librdkafka's names.
    pub client: BTreeMap<String, String>,
}

/// A name, and where its password stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password {
    /// How they are shown to the cluster.
    pub mechanism: Mechanism,
    /// The name.
    pub username: String,
    /// A file with the password and nothing else.
    pub file: PathBuf,
}

impl KafkaBroker {
    /// A cluster in clear text with the defaults for everything else.
    #[must_use]
    pub fn plain(servers: &str, identity: &str) -> Self {
        let KafkaOptions { lanes, replication, tls, client, .. } =
            KafkaOptions::new("", servers, identity, "");
        let (servers, identity) = (servers.to_owned(), identity.to_owned());
        let (advertise, sasl, subscriptions) = (None, None, None);
        Self { servers, identity, lanes, replication, advertise, tls, sasl, subscriptions, client }
    }

    /// What the broker is opened with; reads the password.
    ///
    /// # Errors
    /// When the password cannot be read, or others can read it.
    pub fn options(
        &self,
        name: &str,
        instance: &str,
        cache_dir: PathBuf,
    ) -> Result<KafkaOptions, String> {
        let sasl = match &self.sasl {
            Some(Password { mechanism, username, file }) => Some(Sasl {
                mechanism: *mechanism,
                username: username.clone(),
                password: password(file).map_err(|why| format!("{}: {why}", file.display()))?,
            }),
            None => None,
        };
        Ok(KafkaOptions {
            instance: instance.to_owned(),
            lanes: self.lanes,
            replication: self.replication,
            tls: self.tls.clone(),
            sasl,
            client: self.client.clone(),
            ..KafkaOptions::new(name, &self.servers, &self.identity, cache_dir)
        })
    }

    /// Whether the files that it names can be used, and all of it together makes sense. Asks no cluster.
    ///
    /// # Errors
    /// Says which part does not.
    pub fn check(&self, name: &str) -> Result<(), String> {
        let options = self.options(name, name, PathBuf::new())?;
        if let Some(tls) = &self.tls {
            let identity = tls.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
            for file in tls.ca_file.iter().chain(identity) {
                File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
            }
        }
        Kafka::check(&options).map_err(|error| error.to_string())
    }
}

/// The only line of a file that nobody else may read.
fn password(file: &Path) -> Result<String, String> {
    let opened = File::open(file).map_err(|error| error.to_string())?;
    let mode = opened.metadata().map_err(|error| error.to_string())?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "holds a password and its mode is {mode:04o}: only its owner may read it (chmod 600)"
        ));
    }
    let mut text = String::new();
    let read = opened.take(MAX_PASSWORD + 1).read_to_string(&mut text);
    if read.map_err(|error| error.to_string())? as u64 > MAX_PASSWORD {
        return Err(format!("larger than {MAX_PASSWORD} octets"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains(['\n', '\0']) {
        return Err("a password is one line, and not empty".to_owned());
    }
    Ok(line.to_owned())
}

/// Octets of a password file: longer than any password, and than most mistakes.
const MAX_PASSWORD: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};

    use super::*;

    #[test]
    fn a_password_is_the_line_of_a_file_that_nobody_else_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        write(&file, "hunter2\n").unwrap();
        set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let refused = password(&file).unwrap_err();
        assert!(refused.contains("0640") && !refused.contains("hunter2"), "{refused}");
        set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password(&file).unwrap(), "hunter2");
        for (text, words) in
            [("", "not empty"), ("a\nb\n", "one line"), (&*"x".repeat(4097), "larger")]
        {
            write(&file, text).unwrap();
            let refused = password(&file).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
        let absent = password(&dir.path().join("none")).unwrap_err();
        assert!(absent.contains("No such file"), "{absent}");
    }
}
