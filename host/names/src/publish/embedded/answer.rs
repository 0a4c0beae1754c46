//! One question's answer, as octets.
//!
//! Whoever asks is a stranger: what is not a question about names of our zones is refused before hickory sees it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_server::net::NetError;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Record, RecordType};
use hickory_server::proto::serialize::binary::BinEncoder;
use hickory_server::server::{Request, RequestHandler as _, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{Catalog, MessageResponse};

use super::serve::MAX_UDP_ANSWER;

/// The answer to a message, and none to what must not be answered.
pub(super) async fn answer(
    catalog: &Catalog,
    message: &[u8],
    from: SocketAddr,
    protocol: Protocol,
) -> Option<Vec<u8>> {
    let [first, second, flags, _, ..] = *message else { return None };
    // An answer to an answer would go round for ever.
    if message.len() < HEADER || flags & RESPONSE != 0 {
        return None;
    }
    let id = u16::from_be_bytes([first, second]);
    let Ok(request) = Request::from_bytes(message.to_vec(), from, protocol) else {
        return error(id, OpCode::Query, ResponseCode::FormErr);
    };
    let op = request.metadata.op_code;
    if let Some(code) = refusal(&request) {
        return error(id, op, code);
    }
    let limit = match (protocol, &request.edns) {
        (Protocol::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_UDP, MAX_UDP_ANSWER),
        (Protocol::Udp, None) => PLAIN_UDP,
        _ => u16::MAX,
    };
    let kept = Kept { limit, octets: Arc::default() };
    catalog.handle_request::<_, TokioTime>(&request, kept.clone()).await;
    kept.take()
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

fn error(id: u16, op: OpCode, code: ResponseCode) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Response, op);
    message.metadata.response_code = code;
    message.to_vec().ok()
}

/// Keeps the answer that hickory would send.
#[derive(Clone)]
struct Kept {
    limit: u16,
    octets: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Kept {
    fn take(&self) -> Option<Vec<u8>> {
        self.octets.lock().unwrap_or_else(PoisonError::into_inner).take()
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
        encoder.set_max_size(self.limit);
        let info = response.destructive_emit(&mut encoder)?;
        *self.octets.lock().unwrap_or_else(PoisonError::into_inner) = Some(octets);
        Ok(info)
    }
}

/// Octets of a message's header.
const HEADER: usize = 12;

/// The bit of the third octet that says that a message is an answer.
const RESPONSE: u8 = 0x80;

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
