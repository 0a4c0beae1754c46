//! `fnaad cert DIR`: an authority for development, and certificates that it signs.
//!
//! In the directory: `ca.pem` and `ca.key` (kept once they are there), `server.pem` and `server.key`, and for
//! each client `user-NAME.pem` or `domain-NAME.pem` with its key. Keys are for their owner only. Nothing is
//! overwritten unasked, and nothing at all is made where one file would be; a host's certificate that bears the names
//! ordered for a domain's stays as it is. Not for the open network: there, hosts
//! have certificates that everybody's software trusts.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use fnap::name::Name;
use fnap::sasl::MAX_USER;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;
use zeroize::Zeroizing;

use crate::files;

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Order {
    /// Where.
    pub dir: PathBuf,
    /// Names and addresses under which the host is reached; none for no server's certificate.
    pub names: Vec<HostName>,
    /// Whom else to give one.
    pub clients: Vec<Client>,
    /// How long they can be used.
    pub days: u16,
    /// Whether files that are there may be replaced; the authority never is.
    pub force: bool,
}

/// A name in DNS, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// A name.
    Name(Name),
    /// An address.
    Address(IpAddr),
}

/// Whom a client's certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// A user of a host.
    User(String),
    /// A domain, whose agent has the names of the order.
    Domain(Name),
}

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub what: String,
}

/// Makes what is ordered, and the authority where there is none.
///
/// # Errors
/// When a file is there already, cannot be written, or the authority's cannot be used.
pub fn make(order: &Order) -> Result<Vec<Made>> {
    let domain = order.clients.iter().any(|client| matches!(client, Client::Domain(_)));
    if domain && order.names.is_empty() {
        bail!("a domain's certificate carries the names of its agent: --name HOST");
    }
    let leaves = leaves(order)?;
    let mut stems = BTreeSet::new();
    if let Some(twice) = leaves.iter().find(|leaf| !stems.insert(&leaf.stem)) {
        bail!("{}.pem would be made twice", twice.stem);
    }
    let there = leaves.iter().flat_map(|leaf| leaf.files(&order.dir)).find(|path| path.exists());
    if let Some(path) = there.filter(|_| !order.force) {
        bail!("{} is there already; --force replaces it", path.display());
    }
    files::make_dir(&order.dir)?;
    let (authority, mut made) = authority(&order.dir)?;
    for leaf in leaves {
        made.extend(leaf.sign(order, &authority)?);
    }
    Ok(made)
}

/// A certificate that the authority is to sign.
struct Leaf {
    stem: String,
    what: String,
    params: CertificateParams,
}

impl Leaf {
    fn files(&self, dir: &Path) -> [PathBuf; 2] {
        [format!("{}.pem", self.stem), format!("{}.key", self.stem)].map(|name| dir.join(name))
    }

    fn sign(mut self, order: &Order, authority: &Issuer<'_, KeyPair>) -> Result<[Made; 2]> {
        lasts(&mut self.params, order.days);
        let key = KeyPair::generate().context("key")?;
        let certificate = self.params.signed_by(&key, authority).context("certificate")?;
        let [pem_file, key_file] = self.files(&order.dir);
        write_pair(&pem_file, &certificate.pem(), &key_file, &key)?;
        let until = self.params.not_after.date();
        let what = format!("certificate for {}, until {until}", self.what);
        let key = format!("its key, for {} only", self.who_keeps_it());
        Ok([Made { path: pem_file, what }, Made { path: key_file, what: key }])
    }

    fn who_keeps_it(&self) -> &'static str {
        if self.stem == SERVER { "this host" } else { "that client" }
    }
}

fn leaves(order: &Order) -> Result<Vec<Leaf>> {
    let mut leaves = Vec::new();
    let hosts: Result<Vec<SanType>> = order.names.iter().map(HostName::alternative).collect();
    let hosts = hosts?;
    if let Some(first) = order.names.first().filter(|_| !keeps_server(order)) {
        let names: Vec<String> = order.names.iter().map(ToString::to_string).collect();
        let purpose = ExtendedKeyUsagePurpose::ServerAuth;
        let params = leaf(&first.to_string(), hosts.clone(), purpose);
        leaves.push(Leaf { stem: SERVER.to_owned(), what: names.join(", "), params });
    }
    for client in &order.clients {
        let (name, names) = match client {
            Client::User(name) => {
                let uri = Ia5String::try_from(format!("fnap:user:{name}"));
                let uri = uri.context("name of a user")?;
                (name.clone(), vec![SanType::URI(uri)])
            }
            Client::Domain(name) => (name.to_string(), hosts.clone()),
        };
        let params = leaf(&name, names, ExtendedKeyUsagePurpose::ClientAuth);
        leaves.push(Leaf { stem: client.stem(), what: client.to_string(), params });
    }
    Ok(leaves)
}

/// Whether the names are for a domain's certificate only: the host has one with all of them.
fn keeps_server(order: &Order) -> bool {
    let domain = order.clients.iter().any(|client| matches!(client, Client::Domain(_)));
    let server = order.dir.join(format!("{SERVER}.pem"));
    domain && bears(&server, &order.names).unwrap_or(false)
}

/// Whether a certificate has all these names; none where there is no certificate.
fn bears(file: &Path, names: &[HostName]) -> Option<bool> {
    let text = files::read(file).ok()??;
    let (_, pem) = parse_x509_pem(text.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let borne = &certificate.subject_alternative_name().ok()??.value.general_names;
    Some(names.iter().all(|name| borne.iter().any(|borne| name.is(borne))))
}

fn leaf(name: &str, names: Vec<SanType>, purpose: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = named(name);
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    params
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn lasts(params: &mut CertificateParams, days: u16) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - SLOW_CLOCKS;
    params.not_after = now + Duration::days(days.into());
}

/// The authority of a directory, and what was made for it.
fn authority(dir: &Path) -> Result<(Issuer<'static, KeyPair>, Vec<Made>)> {
    let (pem_file, key_file) = (dir.join(CA), dir.join(CA_KEY));
    if let Some(pem) = files::read(&pem_file)? {
        let key = files::read(&key_file)?.map(Zeroizing::new);
        let key = key.with_context(|| format!("{} without its key", pem_file.display()))?;
        let key = KeyPair::from_pem(&key).with_context(|| key_file.display().to_string())?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key);
        return Ok((issuer.with_context(|| pem_file.display().to_string())?, Vec::new()));
    }
    let mut random = [0_u8; 4];
    getrandom::fill(&mut random).context("random numbers")?;
    // Two authorities of one name would be taken for each other.
    let mut params = named(&format!("fnaad development {:08x}", u32::from_be_bytes(random)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    lasts(&mut params, CA_DAYS);
    // One that is there alone was written just before a crash.
    let key = match files::read(&key_file)?.map(Zeroizing::new) {
        Some(text) => KeyPair::from_pem(&text).with_context(|| key_file.display().to_string())?,
        None => KeyPair::generate().context("key")?,
    };
    let certificate = params.self_signed(&key).context("certificate")?;
    write_pair(&pem_file, &certificate.pem(), &key_file, &key)?;
    let made = vec![
        Made { path: pem_file, what: "the authority, for everybody who shall trust it".to_owned() },
        Made { path: key_file, what: "its key: whoever has it can be anybody".to_owned() },
    ];
    Ok((Issuer::new(params, key), made))
}

/// The key first: a certificate without one would be kept for ever.
fn write_pair(pem_file: &Path, pem: &str, key_file: &Path, key: &KeyPair) -> Result<()> {
    let text = Zeroizing::new(key.serialize_pem());
    files::replace(key_file, text.as_bytes())?;
    files::replace_for_all(pem_file, pem.as_bytes())
}

impl HostName {
    fn is(&self, borne: &GeneralName<'_>) -> bool {
        match (self, borne) {
            (Self::Name(name), GeneralName::DNSName(other)) => name.as_str() == *other,
            (Self::Address(IpAddr::V4(one)), GeneralName::IPAddress(other)) => {
                one.octets() == *other
            }
            (Self::Address(IpAddr::V6(one)), GeneralName::IPAddress(other)) => {
                one.octets() == *other
            }
            _ => false,
        }
    }

    fn alternative(&self) -> Result<SanType> {
        Ok(match self {
            Self::Name(name) => {
                SanType::DnsName(Ia5String::try_from(name.as_str()).context("name")?)
            }
            Self::Address(address) => SanType::IpAddress(*address),
        })
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let name = text.parse().map(Self::Name);
        name.map_err(|error| format!("neither a name nor an address: {error}"))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(out),
            Self::Address(address) => address.fmt(out),
        }
    }
}

impl Client {
    /// The name of its files without their ending.
    fn stem(&self) -> String {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
        let safe = |c: char| if fits(c) { c } else { '_' };
        self.to_string().replacen(':', "-", 1).chars().map(safe).collect()
    }
}

impl FromStr for Client {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            // A certificate's URIs are of ASCII.
            Some(("user", name))
                if (1..=MAX_USER).contains(&name.len())
                    && name.chars().all(|c| c.is_ascii_graphic()) =>
            {
                Ok(Self::User(name.to_owned()))
            }
            Some(("domain", name)) => {
                name.parse().map(Self::Domain).map_err(|error| format!("no domain: {error}"))
            }
            _ => Err("neither user:NAME, of visible ascii, nor domain:NAME".to_owned()),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(out, "user:{name}"),
            Self::Domain(name) => write!(out, "domain:{name}"),
        }
    }
}

/// The authority's certificate, in a directory.
pub(crate) const CA: &str = "ca.pem";

const CA_KEY: &str = "ca.key";

/// Stem of the files of a host.
pub(crate) const SERVER: &str = "server";

/// Days that an authority can be used.
const CA_DAYS: u16 = 3650;

/// How far behind the clock of somebody who checks a certificate may be.
const SLOW_CLOCKS: Duration = Duration::hours(1);

#[cfg(test)]
mod tests;
