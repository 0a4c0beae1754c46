//! The certificate of `fnaad dev`: of an authority of the directory's own, made at the first start, and anew
//! when the host has another name or the old one is about to expire.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use host_server::TlsFiles;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use crate::cert::{self, CA, HostName, Order, SERVER};
use crate::files as plain;

/// The files, for a configuration.
pub(crate) fn files(dir: &Path) -> TlsFiles {
    let dir = folder(dir);
    TlsFiles {
        certificate: dir.join(format!("{SERVER}.pem")),
        key: dir.join(format!("{SERVER}.key")),
        client_ca: Some(dir.join(CA)),
    }
}

/// Makes a certificate where there is none for all names of the host.
pub(super) fn prepare(dir: &Path, hostname: &str, listen: IpAddr) -> Result<()> {
    let mut addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    if !listen.is_unspecified() && !addresses.contains(&listen) {
        addresses.push(listen);
    }
    let mut names = vec![HostName::Name(hostname.parse()?), HostName::Name("localhost".parse()?)];
    names.extend(addresses.into_iter().map(HostName::Address));
    let TlsFiles { certificate, key, .. } = files(dir);
    let there = plain::read(&certificate)?.filter(|_| key.exists());
    if there.is_some_and(|pem| covers(&pem, &names)) {
        return Ok(());
    }
    let order = Order { dir: folder(dir), names, clients: Vec::new(), days: DAYS, force: true };
    cert::make(&order).map(drop)
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("tls")
}

/// Whether a certificate has these names and some time left.
fn covers(pem: &str, names: &[HostName]) -> bool {
    let Ok((_, pem)) = parse_x509_pem(pem.as_bytes()) else { return false };
    let Ok(certificate) = pem.parse_x509() else { return false };
    let left =
        certificate.validity().not_after.timestamp() - OffsetDateTime::now_utc().unix_timestamp();
    let Ok(Some(found)) = certificate.subject_alternative_name() else { return false };
    let found: BTreeSet<String> = found.value.general_names.iter().filter_map(text).collect();
    left > RENEWED_BEFORE && names.iter().all(|name| found.contains(&name.to_string()))
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).ok().map(|octets| IpAddr::from(octets).to_string()),
            _ => <[u8; 16]>::try_from(*octets).ok().map(|octets| IpAddr::from(octets).to_string()),
        },
        _ => None,
    }
}

/// How long a certificate can be used: somebody may leave a host running for long.
const DAYS: u16 = 365;

/// Seconds before its end at which a start makes another one.
const RENEWED_BEFORE: i64 = 60 * 86_400;
