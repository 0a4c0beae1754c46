//! EXTERNAL: whom a client's certificate names (RFC 4422, appendix A).
//!
//! A certificate that leads to the operator's authority for clients names a user with one URI
//! `fnap:user:NAME` among its alternative names; with the common name of its subject only where the operator
//! said so. Says nothing about whether the certificate is the peer's: the TLS layer has checked that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fnap::name::Name;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::prepare;

/// What stands before a user's name in a certificate.
const USER_URI: &str = "fnap:user:";

/// The user that a certificate (DER) names, prepared.
#[must_use]
pub fn user_of(certificate: &[u8], common_names: bool) -> Option<String> {
    let (rest, certificate) = X509Certificate::from_der(certificate).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let names = certificate.subject_alternative_name().ok()?;
    let names = names.map_or(&[][..], |extension| &extension.value.general_names);
    let mut users = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(USER_URI),
        _ => None,
    });
    match (users.next(), users.next()) {
        (Some(user), None) => prepare::name(user),
        (None, _) if common_names => {
            let mut names = certificate.subject().iter_common_name();
            let (name, further) = (names.next()?, names.next());
            name.as_str().ok().filter(|_| further.is_none()).and_then(prepare::name)
        }
        // Whoever has two names might be either.
        _ => None,
    }
}

/// When a certificate (DER) expires; none where it is none, or that is beyond what the clock knows.
pub(crate) fn expires(certificate: &[u8]) -> Option<SystemTime> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    // The last second belongs to it (RFC 5280, section 4.1.2.5).
    let seconds = certificate.validity().not_after.timestamp().checked_add(1)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// Whom a client of EXTERNAL wants to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Whoever the certificate says.
    Any,
    /// That user.
    User(String),
    /// That domain's agent.
    Domain(Name),
    /// A user or a domain of that name.
    Either(Option<String>, Option<Name>),
}

impl Wanted {
    /// Reads an authorization identity: nothing, `user:NAME`, `domain:NAME` or `NAME`.
    #[must_use]
    pub fn parse(response: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(response).ok()?;
        if text.is_empty() {
            return Some(Self::Any);
        }
        if text.len() > MAX_AUTHORIZE {
            return None;
        }
        match text.split_once(':') {
            Some(("user", name)) => prepare::name(name).map(Self::User),
            Some(("domain", name)) => name.parse().ok().map(Self::Domain),
            _ => Some(Self::Either(prepare::name(text), text.parse().ok())),
        }
    }
}

/// Octets of an authorization identity: a name of 255 behind its kind.
const MAX_AUTHORIZE: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(uris: &[&str], common_name: &str) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["host.test".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_names_its_user_in_one_uri() {
        let ana = certificate(&["https://a.test", "fnap:user:ana"], "bo");
        assert_eq!(user_of(&ana, false).as_deref(), Some("ana"));
        assert_eq!(user_of(&ana, true).as_deref(), Some("ana"));
        let two = certificate(&["fnap:user:ana", "fnap:user:bo"], "bo");
        assert_eq!(user_of(&two, true), None);
        assert_eq!(user_of(&certificate(&["fnap:user:"], "bo"), true), None);
    }

    #[test]
    fn a_certificate_says_when_it_expires() {
        let mut params = CertificateParams::new(vec!["host.test".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let then = UNIX_EPOCH + Duration::from_secs(4_102_444_801);
        assert_eq!(expires(certificate.der()), Some(then));
        assert_eq!(expires(b"\x30\x03\x02\x01\x01"), None);
    }

    #[test]
    fn a_common_name_counts_where_the_operator_said_so() {
        let bo = certificate(&[], "bo");
        assert_eq!(user_of(&bo, false), None);
        assert_eq!(user_of(&bo, true).as_deref(), Some("bo"));
        assert_eq!(user_of(&certificate(&[], "two words"), true), None);
        for wrong in [&b""[..], b"\x30\x03\x02\x01\x01", &bo[..bo.len() - 1]] {
            assert_eq!(user_of(wrong, true), None);
        }
    }

    #[test]
    fn an_authorization_identity_is_nothing_a_user_a_domain_or_either() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        assert_eq!(Wanted::parse(b""), Some(Wanted::Any));
        assert_eq!(Wanted::parse(b"user:ana"), Some(Wanted::User("ana".to_owned())));
        assert_eq!(Wanted::parse(b"domain:A.test"), Some(Wanted::Domain(name("a.test"))));
        let either = Wanted::Either(Some("a.test".to_owned()), Some(name("a.test")));
        assert_eq!(Wanted::parse(b"a.test"), Some(either));
        for wrong in [&b"domain:a..b"[..], b"user:", b"\xff", &[b'a'; MAX_AUTHORIZE + 1]] {
            assert_eq!(Wanted::parse(wrong), None);
        }
    }
}
