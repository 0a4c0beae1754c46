//! Whether a chain of certificates is one that TLSA records name (RFC 6698, RFC 7671).
//!
//! Compares; whether the records themselves are to be believed was decided before.

use fnap::name::Name;
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256, Sha512};
use webpki::{VerifiedPath, anchor_from_trusted_cert, spki_for_anchor};

use crate::Tlsa;
use crate::certificates::{Chain, public_key};
use crate::roots::Roots;

/// What records say about the certificates of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// One of them means this chain.
    This,
    /// There are some that can be used, and they mean others.
    Other,
    /// Nothing that can be used: it is as if there were none (RFC 6698, section 4.1).
    Nothing,
}

/// What the records of a host say about a chain that is said to be the host's.
#[must_use]
pub fn published(records: &[Tlsa], chain: &Chain, host: &Name, roots: &Roots) -> Published {
    let usable = || records.iter().filter_map(Association::of);
    if usable().next().is_none() {
        return Published::Nothing;
    }
    match usable().any(|association| association.means(chain, host, roots)) {
        true => Published::This,
        false => Published::Other,
    }
}

/// A record that can be used.
struct Association<'a> {
    usage: Usage,
    selector: Selector,
    matching: Matching,
    data: &'a [u8],
}

#[derive(Clone, Copy)]
enum Usage {
    PkixTa,
    PkixEe,
    DaneTa,
    DaneEe,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Selector {
    Certificate,
    PublicKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Matching {
    Full,
    Sha256,
    Sha512,
}

impl<'a> Association<'a> {
    /// None where a number is not known or the digest has not its length.
    fn of(record: &'a Tlsa) -> Option<Self> {
        let usage = match record.usage {
            0 => Usage::PkixTa,
            1 => Usage::PkixEe,
            2 => Usage::DaneTa,
            3 => Usage::DaneEe,
            _ => return None,
        };
        let selector = match record.selector {
            0 => Selector::Certificate,
            1 => Selector::PublicKey,
            _ => return None,
        };
        let matching = match (record.matching, record.data.len()) {
            (0, 1..) => Matching::Full,
            (1, 32) => Matching::Sha256,
            (2, 64) => Matching::Sha512,
            _ => return None,
        };
        Some(Self { usage, selector, matching, data: &record.data })
    }

    fn means(&self, chain: &Chain, host: &Name, roots: &Roots) -> bool {
        match self.usage {
            // The record alone binds the key to the name: what else stands in the certificate, its names and
            // its days included, is not looked at (RFC 7671, section 5.1).
            Usage::DaneEe => self.is_own(chain),
            Usage::DaneTa => chain.is_named(host) && self.is_authority(chain),
            Usage::PkixEe => {
                chain.is_named(host)
                    && self.is_own(chain)
                    && chain.leads_to(roots.anchors(), &|_| true)
            }
            Usage::PkixTa => {
                let passes = |path: &VerifiedPath<'_>| self.is_on(path, roots);
                chain.is_named(host) && chain.leads_to(roots.anchors(), &passes)
            }
        }
    }

    fn is_own(&self, chain: &Chain) -> bool {
        chain.own().is_some_and(|own| self.is(own))
    }

    /// Whether the chain leads to the authority of the record: one that the chain brings along (RFC 7671,
    /// section 5.2, bids it to), or that stands in the record as a whole.
    fn is_authority(&self, chain: &Chain) -> bool {
        let leads_to = |authority: &CertificateDer<'_>| {
            anchor_from_trusted_cert(authority)
                .is_ok_and(|anchor| chain.leads_to(&[anchor], &|_| true))
        };
        let whole = self.selector == Selector::Certificate && self.matching == Matching::Full;
        chain.issuers().iter().any(|issuer| self.is(issuer) && leads_to(issuer))
            || (whole && leads_to(&CertificateDer::from(self.data)))
    }

    /// Whether a path to a trusted authority passes through the one that is meant, or ends there.
    fn is_on(&self, path: &VerifiedPath<'_>, roots: &Roots) -> bool {
        let anchor = path.anchor();
        let end = match self.selector {
            Selector::Certificate => roots.certificate(anchor).is_some_and(|root| self.is(root)),
            Selector::PublicKey => self.compare(&spki_for_anchor(anchor)),
        };
        end || path.intermediate_certificates().any(|issuer| match self.selector {
            Selector::Certificate => self.compare(&issuer.der()),
            Selector::PublicKey => self.compare(&issuer.subject_public_key_info()),
        })
    }

    fn is(&self, certificate: &CertificateDer<'_>) -> bool {
        match self.selector {
            Selector::Certificate => self.compare(certificate),
            Selector::PublicKey => public_key(certificate).is_some_and(|key| self.compare(&key)),
        }
    }

    fn compare(&self, selected: &[u8]) -> bool {
        match self.matching {
            Matching::Full => self.data == selected,
            Matching::Sha256 => self.data == Sha256::digest(selected).as_slice(),
            Matching::Sha512 => self.data == Sha512::digest(selected).as_slice(),
        }
    }
}

#[cfg(test)]
mod tests;
