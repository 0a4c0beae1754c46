//! One question's answer, as octets.
//!
//! Whoever asks is a stranger: what is not a question about names of our zones is refused before hickory sees it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_server::net::NetError;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{OpCode, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Record, RecordType};
use hickory_server::proto::serialize::binary::BinEncoder;
use hickory_server::server::{Request, RequestHandler as _, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{Catalog, MessageResponse};

use super::serve::MAX_UDP_ANSWER;
use crate::publish::owner::MAX_LABEL;

/// The answer to a message, and none to what must not be answered.
pub(super) async fn answer(
    catalog: &Catalog,
    message: &[u8],
    from: SocketAddr,
    protocol: Protocol,
) -> Option<Vec<u8>> {
    if !is_question(message) {
        return None;
    }
    let Ok(request) = Request::from_bytes(message.to_vec(), from, protocol) else {
        return Some(bare(message, false, ResponseCode::FormErr.low(), 0));
    };
    let has_edns = request.edns.is_some();
    if let Some(code) = refusal(&request) {
        return Some(bare(message, has_edns, code.low(), 0));
    }
    // Whoever wants everything comes by TCP, where nobody forges addresses (RFC 8482, section 4.4).
    let wants_all = request.queries.queries().iter().any(|one| one.query_type() == RecordType::ANY);
    if protocol == Protocol::Udp && wants_all {
        return Some(bare(message, has_edns, 0, CUT));
    }
    let limit = match (protocol, &request.edns) {
        (Protocol::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_UDP, MAX_UDP_ANSWER),
        (Protocol::Udp, None) => PLAIN_UDP,
        _ => u16::MAX,
    };
    let kept = Kept::default();
    catalog.handle_request::<_, TokioTime>(&request, kept.clone()).await;
    let whole = kept.take()?;
    let is_cut = whole.len() > limit.into() || whole.get(2).is_some_and(|flags| flags & CUT != 0);
    // A part is of no use to whoever has to come again, and of much to whoever forges addresses.
    Some(if is_cut { bare(message, has_edns, 0, AUTHORITATIVE | CUT) } else { whole })
}

/// That there is more by TCP, without a look at what is asked.
pub(super) fn cut(message: &[u8]) -> Option<Vec<u8>> {
    is_question(message).then(|| bare(message, false, 0, CUT))
}

/// Whether it may be answered: an answer to an answer would go round for ever.
fn is_question(message: &[u8]) -> bool {
    message.len() >= HEADER && message.get(2).is_some_and(|flags| flags & RESPONSE == 0)
}

/// An answer without records: the question as it came, and that we know EDNS where whoever asks does.
fn bare(message: &[u8], has_edns: bool, code: u8, flags: u8) -> Vec<u8> {
    let question = question(message);
    let mut answer = Vec::with_capacity(HEADER + question.len() + OPT.len());
    answer.extend(message.iter().take(2));
    let asked = message.get(2).copied().unwrap_or_default();
    answer.extend([RESPONSE | asked & (OPERATION | RECURSION) | flags, code]);
    answer.extend([0, u8::from(!question.is_empty()), 0, 0, 0, 0, 0, u8::from(has_edns)]);
    answer.extend(question);
    if has_edns {
        answer.extend(OPT);
    }
    answer
}

/// The only question of a message, octet for octet; empty where there is another number of them, or it cannot be read.
fn question(message: &[u8]) -> &[u8] {
    let mut at = HEADER;
    if message.get(4..6) != Some(&[0, 1]) {
        return &[];
    }
    loop {
        match message.get(at) {
            Some(0) => return message.get(HEADER..at + 1 + TYPE_AND_CLASS).unwrap_or_default(),
            Some(length) if usize::from(*length) <= MAX_LABEL => at += 1 + usize::from(*length),
            _ => return &[],
        }
    }
}

fn refusal(request: &Request) -> Option<ResponseCode> {
    match request.metadata.op_code {
        OpCode::Query => {}
        OpCode::Update => return Some(ResponseCode::Refused),
        _ => return Some(ResponseCode::NotImp),
    }
    let is_ours = |query: &hickory_server::proto::op::LowerQuery| {
        let kinds = [RecordType::AXFR, RecordType::IXFR];
        query.query_class() == DNSClass::IN && !kinds.contains(&query.query_type())
    };
    match request.queries.queries() {
        [query] if is_ours(query) => None,
        [_] => Some(ResponseCode::Refused),
        _ => Some(ResponseCode::FormErr),
    }
}

/// Keeps the answer that hickory would send.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Option<Vec<u8>>>>);

impl Kept {
    fn take(&self) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait::async_trait]
impl ResponseHandler for Kept {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut octets = Vec::with_capacity(PLAIN_UDP.into());
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_max_size(u16::MAX);
        let info = response.destructive_emit(&mut encoder)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(octets);
        Ok(info)
    }
}

/// Octets of a message's header.
const HEADER: usize = 12;

/// The bit of the third octet that says that a message is an answer.
const RESPONSE: u8 = 0x80;

/// The bits of the third octet that say what is asked for.
const OPERATION: u8 = 0x78;

/// The bit of the third octet that says that the answer is of a server of the zone.
const AUTHORITATIVE: u8 = 0x04;

/// The bit of the third octet that says that there is more by TCP.
const CUT: u8 = 0x02;

/// The bit of the third octet that is given back as it came.
const RECURSION: u8 = 0x01;

/// Octets of a question after its name.
const TYPE_AND_CLASS: usize = 4;

/// That we know EDNS, and how large a datagram we take (RFC 6891, section 6.1).
const OPT: [u8; 11] = {
    let [high, low] = MAX_UDP_ANSWER.to_be_bytes();
    [0, 0, 41, high, low, 0, 0, 0, 0, 0, 0]
};

/// Octets of an answer by UDP for whoever does not say that he takes more (RFC 1035, section 4.2.1).
const PLAIN_UDP: u16 = 512;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_octets_of_strangers_panic_and_answers_fit(
            any in vec(any::<u8>(), 0..200),
            changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let catalog = Catalog::new();
            let mut question = QUESTION.to_vec();
            for (place, octet) in changes {
                let place = place.index(question.len());
                question[place] = octet;
            }
            let from = "192.0.2.1:5353".parse().unwrap();
            for octets in [&any, &question] {
                let answer = runtime.block_on(answer(&catalog, octets, from, Protocol::Udp));
                let is_answer = |answer: Vec<u8>| {
                    answer.len() <= MAX_UDP_ANSWER.into()
                        && answer[..2] == octets[..2]
                        && answer[2] & RESPONSE != 0
                };
                prop_assert!(answer.is_none_or(is_answer));
            }
        }
    }

    /// `unix.ar SOA`, with EDNS for 65535 octets.
    const QUESTION: &[u8] =
        b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x04unix\x02ar\x00\x00\x06\x00\x01\
        \x00\x00\x29\xff\xff\x00\x00\x00\x00\x00\x00";
}
