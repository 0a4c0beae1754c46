//! A chain of certificates that a peer has shown: whom it names, and which authority vouches for it.
//!
//! Judges one chain at one moment. Knows nothing of DNS, and does not see whether the peer has the key.

use fnap::name::Name;
use rustls_pki_types::{CertificateDer, DnsName, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage};
use webpki::{RequiredEkuNotFoundContext, VerifiedPath};

/// Certificates of one chain, bounded because each is looked at for every record. The longest public
/// chains have four.
pub const MAX_CERTIFICATES: usize = 10;

/// A peer's certificate and those that lead from it to an authority.
#[derive(Clone, Debug)]
pub struct Chain {
    certificates: Vec<CertificateDer<'static>>,
}

impl Chain {
    /// Takes certificates in DER, the peer's own first. None where there are none or too many, or where the
    /// first cannot be read.
    #[must_use]
    pub fn read(certificates: &[Vec<u8>]) -> Option<Self> {
        if certificates.len() > MAX_CERTIFICATES {
            return None;
        }
        let certificates: Vec<_> =
            certificates.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let own = certificates.first()?;
        EndEntityCert::try_from(own).is_ok().then_some(Self { certificates })
    }

    /// Whether the peer's certificate has the name, by RFC 9525: as a DNS name among its alternative names,
    /// the whole first label of which may be `*`.
    #[must_use]
    pub fn is_named(&self, host: &Name) -> bool {
        let Ok(name) = DnsName::try_from(host.as_str()) else { return false };
        self.leaf().is_some_and(|leaf| {
            leaf.verify_is_valid_for_subject_name(&ServerName::DnsName(name)).is_ok()
        })
    }

    /// Whether one of the authorities vouches for the peer's certificate now, by a path that `through` takes.
    pub(crate) fn leads_to(
        &self,
        authorities: &[TrustAnchor<'_>],
        through: &dyn Fn(&VerifiedPath<'_>) -> bool,
    ) -> bool {
        let Some(leaf) = self.leaf() else { return false };
        let accept = |path: &VerifiedPath<'_>| match through(path) {
            true => Ok(()),
            false => Err(Error::UnknownIssuer),
        };
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let now = UnixTime::now();
        let issuers = self.issuers();
        leaf.verify_for_usage(algorithms, authorities, issuers, now, OfAnAgent, None, Some(&accept))
            .is_ok()
    }

    /// The peer's own certificate, as it came.
    pub(crate) fn own(&self) -> Option<&CertificateDer<'static>> {
        self.certificates.first()
    }

    /// All but the peer's own.
    pub(crate) fn issuers(&self) -> &[CertificateDer<'static>] {
        self.certificates.get(1..).unwrap_or_default()
    }

    fn leaf(&self) -> Option<EndEntityCert<'_>> {
        EndEntityCert::try_from(self.own()?).ok()
    }
}

/// The public key of a certificate, as selector 1 of TLSA compares it; none where it cannot be read.
pub(crate) fn public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    Some(parsed.subject_public_key_info().to_vec())
}

/// What the certificate of an agent may be for: a server, a client, or whatever it likes.
///
/// The one certificate of an agent serves both ways: who connects to it sees it, and so does whom it connects to.
/// Public authorities give out certificates for servers only, so that asking for `clientAuth` would leave
/// private authorities alone; what is proven is a host's name, and that both uses prove.
struct OfAnAgent;

impl ExtendedKeyUsageValidator for OfAnAgent {
    fn validate(&self, uses: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        let mut present = Vec::new();
        for each in uses {
            present.push(each?.to_decoded_oid());
        }
        let is_fit = |oid: &Vec<usize>| {
            oid == KeyUsage::SERVER_AUTH_REPR || oid == KeyUsage::CLIENT_AUTH_REPR
        };
        if present.is_empty() || present.iter().any(is_fit) {
            return Ok(());
        }
        let required = KeyUsage::client_auth();
        Err(Error::RequiredEkuNotFoundContext(RequiredEkuNotFoundContext { required, present }))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};

    use super::*;
    use crate::testing::{Authority, chain, expired, host};

    fn is_trusted(certificates: &[&[u8]], root: &Authority) -> bool {
        chain(certificates).leads_to(root.roots().anchors(), &|_| true)
    }

    #[test]
    fn a_certificate_may_be_for_servers_or_clients_and_for_nothing_else() {
        let root = Authority::root("root");
        let cases = [
            (vec![ServerAuth], true),
            (vec![ClientAuth], true),
            (vec![CodeSigning, ClientAuth], true),
            (vec![], true),
            (vec![CodeSigning], false),
        ];
        for (uses, is_good) in cases {
            let mut params = host(&["a.example"]);
            params.extended_key_usages.clone_from(&uses);
            let (leaf, _) = root.leaf(&params);
            assert_eq!(is_trusted(&[&leaf], &root), is_good, "{uses:?}");
        }
    }

    #[test]
    fn nobody_vouches_for_an_expired_certificate_or_one_of_a_stranger() {
        let root = Authority::root("root");
        assert!(is_trusted(&[&root.host(&["a.example"])], &root));
        assert!(!is_trusted(&[&root.leaf(&expired(&["a.example"])).0], &root));
        let stranger = Authority::root("root");
        assert!(!is_trusted(&[&stranger.host(&["a.example"])], &root));
        // An authority in the middle has to be brought along.
        let middle = root.below("middle");
        let leaf = middle.host(&["a.example"]);
        assert!(!is_trusted(&[&leaf], &root));
        assert!(is_trusted(&[&leaf, &middle.der()], &root));
    }

    #[test]
    fn a_name_is_matched_as_a_whole_or_by_its_first_label() {
        let root = Authority::root("root");
        let leaf = root.host(&["a.example", "*.b.example"]);
        let chain = chain(&[&leaf]);
        let is_named = |name: &str| chain.is_named(&name.parse().unwrap());
        assert!(["a.example", "x.b.example"].into_iter().all(is_named));
        for name in ["b.example", "x.y.b.example", "x.a.example", "example", "aa.example"] {
            assert!(!is_named(name), "{name}");
        }
    }

    #[test]
    fn what_is_no_chain_is_not_read() {
        let leaf = Authority::root("root").host(&["a.example"]);
        assert!(Chain::read(&[]).is_none());
        assert!(Chain::read(&[b"nonsense".to_vec(), leaf.clone()]).is_none());
        assert!(Chain::read(&vec![leaf.clone(); MAX_CERTIFICATES]).is_some());
        assert!(Chain::read(&vec![leaf; MAX_CERTIFICATES + 1]).is_none());
    }
}
