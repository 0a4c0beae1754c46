use super::*;
use std::num::NonZeroU32;

use crate::verifier::VerifierError;

// RFC 7677, section 3.
const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

fn verifier() -> ScramVerifier {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    ScramVerifier::of("pencil", NonZeroU32::new(4096).unwrap(), &salt)
}

fn asked() -> Asked {
    let first = ClientFirst::parse(FIRST).unwrap();
    let (mut asked, challenge) = Asked::new(&first, verifier(), b"anything");
    let challenge = String::from_utf8(challenge).unwrap();
    assert!(challenge.starts_with("r=rOprNGfwEbeRWgbNEkqO"), "{challenge}");
    assert!(challenge.ends_with(",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), "{challenge}");
    asked.said = asked.said.replace(&asked.nonce, NONCE);
    asked.nonce = NONCE.to_owned();
    asked
}

fn last(text: &str) -> Option<String> {
    asked()
        .proves(&Final::parse(text.as_bytes()).unwrap())
        .map(|proof| String::from_utf8(proof).unwrap())
}

#[test]
fn the_exchange_of_the_rfc_ends_with_the_proof_of_the_rfc() {
    let proof = last(&format!("c=biws,r={NONCE},p={PROOF}"));
    assert_eq!(proof.as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
}

#[test]
fn another_proof_nonce_or_binding_proves_nothing() {
    let other = PROOF.replace("dHzb", "dHzc");
    for text in [
        format!("c=biws,r={NONCE},p={other}"),
        format!("c=biws,r={NONCE}x,p={PROOF}"),
        format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,p={PROOF}"),
        format!("c=eSws,r={NONCE},p={PROOF}"),
        format!("c=biws,r={NONCE},p=AAAA"),
        format!("c=biws,r={NONCE},p="),
        format!("c=biws,r={NONCE},x=1,p={PROOF}"),
    ] {
        assert_eq!(last(&text), None, "{text}");
    }
}

#[test]
fn a_verifier_is_written_as_it_is_read_and_kept_within_limits() {
    let text = scram_verifier("pencil").unwrap();
    assert!(text.starts_with("SCRAM-SHA-256$100000:"), "{text}");
    assert_eq!(ScramVerifier::parse(&text).unwrap().to_text(), text);
    let known = verifier().to_text();
    assert_eq!(ScramVerifier::parse(&known), Ok(verifier()));
    let with = |count: &str| ScramVerifier::parse(&known.replace("4096", count));
    assert_eq!(with("4095"), Err(VerifierError::WeakScram));
    assert_eq!(with("500001"), Err(VerifierError::DearScram));
    for text in [
        "",
        "SCRAM-SHA-256$",
        "SCRAM-SHA-1$4096:AAAA$AAAA:AAAA",
        &known[..known.len() - 2],
        &with_salt("AAAA"),
    ] {
        assert_eq!(ScramVerifier::parse(text), Err(VerifierError::MalformedScram), "{text}");
    }
    assert_eq!(format!("{:?}", verifier()), "ScramVerifier(..)");
}

fn with_salt(salt: &str) -> String {
    verifier().to_text().replace("W22ZaJ0SNY7soEsUEjb6gQ==", salt)
}
