//! Answers that hickory lets pass, or marks, and no server of a test would give.

use hickory_resolver::proto::dnssec::Algorithm;
use hickory_resolver::proto::dnssec::rdata::{NSEC, RRSIG, SigInput};
use hickory_resolver::proto::op::OpCode;
use hickory_resolver::proto::rr::SerialNumber;
use hickory_resolver::proto::rr::rdata::{NS, SOA, SRV};

use super::*;

const OWNER: &str = "_flow._tcp.emiliano.ar.";

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn record(owner: &str, data: RData, proof: Proof) -> Record {
    let mut record = Record::from_rdata(name(owner), 300, data);
    record.proof = proof;
    record
}

fn srv(proof: Proof) -> Record {
    record(OWNER, RData::SRV(SRV::new(0, 0, 61000, name("fnaa.emiliano.ar."))), proof)
}

fn soa(zone: &str, proof: Proof) -> Record {
    record(zone, RData::SOA(SOA::new(name("ns."), name("root."), 1, 1, 1, 1, 60)), proof)
}

fn nsec() -> Record {
    let data = NSEC::new(name("z.emiliano.ar."), [RecordType::A]);
    record("emiliano.ar.", RData::DNSSEC(DNSSECRData::NSEC(data)), Proof::Secure)
}

/// A signature over the SRV record of so many labels.
fn signature(num_labels: u8) -> Record {
    let input = SigInput {
        type_covered: RecordType::SRV,
        algorithm: Algorithm::ECDSAP256SHA256,
        num_labels,
        original_ttl: 300,
        sig_expiration: SerialNumber::new(2),
        sig_inception: SerialNumber::new(1),
        key_tag: 1,
        signer_name: name("emiliano.ar."),
    };
    let data = RRSIG::from_sig(input, vec![0; 64]);
    record(OWNER, RData::DNSSEC(DNSSECRData::RRSIG(data)), Proof::Secure)
}

/// How many records, and how secure; none where the answer is refused.
fn says(answers: Vec<Record>, authorities: Vec<Record>) -> Option<(usize, Security)> {
    let mut message = Message::response(1, OpCode::Query);
    message.answers = answers;
    message.authorities = authorities;
    match read(&message, &name(OWNER), RecordType::SRV, Security::Secure) {
        Ok(Step::Records(found)) => Some((found.records.len(), found.security)),
        Ok(Step::Alias(..)) => panic!("no alias was there"),
        Err(_) => None,
    }
}

#[test]
fn an_answer_is_as_secure_as_all_its_records() {
    use Proof::{Bogus, Indeterminate, Insecure, Secure};
    assert_eq!(says(vec![srv(Secure), srv(Secure)], vec![]), Some((2, Security::Secure)));
    assert_eq!(says(vec![srv(Insecure)], vec![]), Some((1, Security::Insecure)));
    for mixed in [[Secure, Bogus], [Insecure, Bogus], [Secure, Insecure], [Secure, Indeterminate]] {
        assert_eq!(says(mixed.map(srv).into(), vec![]), None, "{mixed:?}");
    }
}

#[test]
fn nothing_is_proven_by_an_unsigned_record_of_another_zone() {
    let unsigned = |zone: &str| says(vec![], vec![soa(zone, Proof::Insecure)]);
    assert_eq!(unsigned("emiliano.ar."), Some((0, Security::Insecure)));
    assert_eq!(unsigned("ar."), Some((0, Security::Insecure)));
    for foreign in ["evil.example.", "x._flow._tcp.emiliano.ar.", "xemiliano.ar."] {
        assert_eq!(unsigned(foreign), None, "{foreign}");
    }
    let proven = vec![soa("emiliano.ar.", Proof::Secure), nsec()];
    assert_eq!(says(vec![], proven), Some((0, Security::Secure)));
}

#[test]
fn a_wildcards_signature_needs_a_proof_that_the_name_itself_is_not_there() {
    let answers = |labels| vec![srv(Proof::Secure), signature(labels)];
    assert_eq!(says(answers(4), vec![]), Some((1, Security::Secure)));
    assert_eq!(says(answers(2), vec![soa("evil.example.", Proof::Insecure)]), None);
    assert_eq!(says(answers(2), vec![nsec()]), Some((1, Security::Secure)));
}

#[test]
fn records_under_other_names_are_nobodys_answer() {
    let mut foreign = srv(Proof::Secure);
    foreign.name = name("_flow._tcp.evil.example.");
    assert_eq!(says(vec![foreign], vec![]), Some((0, Security::Insecure)));
    let ns = record("ar.", RData::NS(NS(name("ns.ar."))), Proof::Insecure);
    assert_eq!(says(vec![], vec![ns]), None, "a server that refers to others");
}
