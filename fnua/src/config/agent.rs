//! One host, and who one is there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use fnap::sasl::Mechanism;

use crate::address::Address;
use crate::hosts::Origin;
use crate::secret::Password;

/// One host, and who one is there.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What `--agent` calls it.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// The addresses of its host, where they were looked up already; the system looks them up where there are none.
    pub at: Vec<SocketAddr>,
    /// Others of the same participant, asked in this order where this one cannot be reached.
    pub others: Vec<Self>,
    /// The name that its certificate has to bear, where it is another than the address's.
    pub server_name: Option<String>,
    /// Namespaces it hosts, lower case.
    pub namespaces: Vec<String>,
    /// What stands in front of a remote flow's name where a subscription names no local one.
    pub prefix: Option<String>,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// What one proves oneself with.
    pub login: Login,
    /// How it was found in DNS, where it was.
    pub(crate) origin: Option<Arc<Origin>>,
}

/// How a connection is encrypted, and who is believed to be the host.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Where it is not said: STARTTLS, and nothing without it; on loopback only where there is a `ca_file` or a
    /// certificate.
    pub mode: Option<TlsMode>,
    /// The authorities that may vouch for the host, in PEM; the system's where there is none.
    pub ca_file: Option<PathBuf>,
    /// With [`TlsMode::Never`]: whether that holds for addresses that are not loopback, too.
    pub allow_plaintext: bool,
}

/// When the handshake is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// When the host has agreed to STARTTLS; it must.
    StartTls,
    /// At once.
    Implicit,
    /// Not at all.
    Never,
}

/// What one proves oneself with.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The user's name.
    pub username: Option<String>,
    /// His password; one that `fnua login` has kept where there is none.
    pub password: Option<Source>,
    /// A token of an identity provider.
    pub token: Option<Source>,
    /// A certificate of one's own.
    pub certificate: Option<Certificate>,
    /// Whom to act as, where it is not oneself.
    pub acts_as: Option<String>,
    /// The mechanism to use; the best that fits where there is none.
    pub mechanism: Option<Mechanism>,
}

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// It is known.
    Here(Password),
    /// The first line of a file, read anew for each connection.
    File(PathBuf),
    /// The first line that a program prints, run anew for each connection: the program, then its arguments.
    Command(Vec<String>),
}

/// A client's certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM file with the certificate, then those that lead to its authority.
    pub chain: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
}

impl TlsMode {
    pub(crate) const ALL: [Self; 3] = [Self::StartTls, Self::Implicit, Self::Never];

    /// What a configuration calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Implicit => "implicit",
            Self::Never => "never",
        }
    }
}

impl Agent {
    /// A host that no configuration names: there one is nobody.
    #[must_use]
    pub fn stranger(address: Address) -> Self {
        Self {
            name: address.to_string(),
            address,
            at: Vec::new(),
            others: Vec::new(),
            server_name: None,
            namespaces: Vec::new(),
            prefix: None,
            tls: Tls::default(),
            login: Login::default(),
            origin: None,
        }
    }

    /// The same host, where one is this user.
    #[must_use]
    pub fn with_password(mut self, username: impl Into<String>, password: Password) -> Self {
        self.login.username = Some(username.into());
        self.login.password = Some(Source::Here(password));
        self
    }

    /// The name that its certificate has to bear.
    #[must_use]
    pub fn server_name(&self) -> &str {
        self.server_name.as_deref().unwrap_or_else(|| self.address.host())
    }

    /// What it says that runs a program, or leaves TLS out where others can listen.
    pub(crate) fn reaches_out(&self) -> Option<&'static str> {
        let runs = |source: &Option<Source>| matches!(source, Some(Source::Command(_)));
        let Login { password, token, .. } = &self.login;
        let found = [
            (runs(password), "password_command"),
            (runs(token), "token_command"),
            (self.tls.allow_plaintext, "allow_plaintext"),
        ];
        found.into_iter().find(|(says, _)| *says).map(|(_, key)| key)
    }

    /// Whether the password stands in the configuration itself.
    pub(crate) const fn holds_password(&self) -> bool {
        matches!(self.login.password, Some(Source::Here(_)))
    }
}

impl Login {
    /// What a mechanism needs and is not there.
    pub(crate) fn lacks(&self, mechanism: Mechanism) -> Option<&'static str> {
        match mechanism {
            // The password may be one that was kept.
            Mechanism::Plain | Mechanism::ScramSha256 => {
                self.username.is_none().then_some("a username")
            }
            Mechanism::OauthBearer => {
                self.token.is_none().then_some("a token_file or a token_command")
            }
            Mechanism::External => {
                self.certificate.is_none().then_some("a certificate_file and a key_file")
            }
            Mechanism::Anonymous => None,
        }
    }

    /// Whether there is nothing to prove oneself with.
    pub(crate) const fn is_nobody(&self) -> bool {
        self.username.is_none() && self.token.is_none() && self.certificate.is_none()
    }

    /// The user's name, or nothing.
    pub(crate) fn user(&self) -> &str {
        self.username.as_deref().unwrap_or_default()
    }
}
