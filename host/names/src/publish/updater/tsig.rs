//! Messages that are signed, and answers that are checked (RFC 8945).
//!
//! What an answer without a signature says is believed only where it says why the signature of the question was not
//! accepted, and then only that nothing was done.

use hickory_net::proto::op::{Message, ResponseCode};
use hickory_net::proto::rr::Name;
use hickory_net::proto::rr::rdata::TSIG;
use hickory_net::proto::rr::rdata::tsig::{
    TsigError, make_tsig_record, message_tbs, signed_bitmessage_to_buf,
};

use super::key::Key;
use crate::publish::PublishError;
use crate::publish::wire::{impossible, name};

/// A message as it travels, and what its answer is checked by.
pub(super) struct Signed {
    pub(super) octets: Vec<u8>,
    mac: Vec<u8>,
}

/// Signs a message with a key, at a time in seconds since 1970.
pub(super) fn sign(mut message: Message, key: &Key, now: u64) -> Result<Signed, PublishError> {
    let failed = |error: &dyn std::fmt::Display| impossible(format!("message: {error}"));
    let name = name(key.name())?;
    let unsigned =
        TSIG::new(key.algorithm.clone(), now, FUDGE, Vec::new(), message.id, None, Vec::new());
    let content = message_tbs(&message, &unsigned, &name).map_err(|error| failed(&error))?;
    let mac = key.algorithm.mac_data(&key.secret, &content).map_err(|error| failed(&error))?;
    let record = make_tsig_record(name, unsigned.set_mac(mac.clone()));
    message.set_signature(Box::new(record));
    let octets = message.to_vec().map_err(|error| failed(&error))?;
    Ok(Signed { octets, mac })
}

impl Signed {
    /// The answer, when it comes from somebody who has the key, about this message, and now.
    pub(super) fn check(&self, answer: &[u8], key: &Key, now: u64) -> Result<Message, Distrust> {
        // Before anything else: what follows relies on counts that fit the message.
        let message = Message::from_vec(answer).map_err(|_| Distrust::Unreadable)?;
        if !self.octets.starts_with(&message.id.to_be_bytes()) {
            return Err(Distrust::Unreadable);
        }
        let Some(record) = message.signature() else {
            return Err(Distrust::Unsigned(message.response_code));
        };
        let refused = record.data.error;
        if record.data.mac.is_empty() {
            return Err(
                refused.map_or(Distrust::Unsigned(message.response_code), Distrust::Refused)
            );
        }
        self.verify(answer, key)?;
        if let Some(error) = refused {
            return Err(Distrust::Refused(error));
        }
        if record.data.time.abs_diff(now) > u64::from(record.data.fudge) {
            return Err(Distrust::Refused(TsigError::BadTime));
        }
        Ok(message)
    }

    fn verify(&self, answer: &[u8], key: &Key) -> Result<(), Distrust> {
        let (content, record) = signed_bitmessage_to_buf(answer, Some(&self.mac), true)
            .map_err(|_| Distrust::Unreadable)?;
        let ours = name(key.name()).unwrap_or_else(|_| Name::root());
        if record.name != ours || record.data.algorithm != key.algorithm {
            return Err(Distrust::Forged);
        }
        let mac = &record.data.mac;
        key.algorithm.verify_mac(&key.secret, &content, mac).map_err(|_| Distrust::Forged)
    }
}

/// Why nothing may be done with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    /// No message of DNS, or the answer to another one.
    Unreadable,
    /// Not signed, although the question was.
    Unsigned(ResponseCode),
    /// The server did not accept the signature of the question.
    Refused(TsigError),
    /// Signed by somebody who does not have the key.
    Forged,
}

impl Distrust {
    /// As an error of a server.
    pub(super) fn error(self, server: std::net::SocketAddr, key: &Key) -> PublishError {
        let key = key.name();
        let refused = |why: String| PublishError::Refused { reason: format!("{server}: {why}") };
        let away = |why: String| PublishError::Away { reason: format!("{server}: {why}") };
        match self {
            Self::Refused(TsigError::BadKey) => refused(format!(
                "tsig rejected: key {key} is unknown there, or of another algorithm"
            )),
            Self::Refused(TsigError::BadSig) => {
                refused(format!("tsig rejected: key {key} has another secret there"))
            }
            Self::Refused(TsigError::BadTime) => refused(format!(
                "tsig rejected: key {key} is good, but the clocks differ by more than {FUDGE} s"
            )),
            Self::Refused(other) => {
                refused(format!("tsig rejected: key {key}, error {}", u16::from(other)))
            }
            Self::Unsigned(ResponseCode::ServFail | ResponseCode::NotImp) => {
                away("cannot do it, in an answer that is not signed".to_owned())
            }
            Self::Unsigned(code) => refused(format!("answer without signature: {code}")),
            Self::Forged => refused(format!("answer that is not signed by key {key}")),
            Self::Unreadable => away("answer that is no answer".to_owned()),
        }
    }
}

/// How far two clocks may differ, in seconds (recommended by RFC 8945, section 10).
const FUDGE: u16 = 300;

#[cfg(test)]
mod tests {
    use bind_node::Key as Made;
    use hickory_net::proto::op::{MessageType, OpCode, Query};
    use hickory_net::proto::rr::RecordType;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        let dir = tempfile::tempdir().unwrap();
        Key::of_file(&Made::new("fnaa-key").write(dir.path())).unwrap()
    }

    fn question(kind: MessageType) -> Message {
        let mut message = Message::new(7, kind, OpCode::Update);
        message.add_query(Query::query("unix.ar.".parse().unwrap(), RecordType::SOA));
        message
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Our own message back is a message with a signature of ours, but not one about our question.
        #[test]
        fn no_octets_of_strangers_panic_or_are_believed(
            any in vec(any::<u8>(), 0..200),
            changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        ) {
            static KEY: std::sync::LazyLock<Key> = std::sync::LazyLock::new(key);
            let signed = sign(question(MessageType::Query), &KEY, 1_000_000).unwrap();
            let mut answer = sign(question(MessageType::Response), &KEY, 1_000_000).unwrap().octets;
            for (place, octet) in changes {
                let place = place.index(answer.len());
                answer[place] = octet;
            }
            for octets in [&any, &answer] {
                prop_assert!(signed.check(octets, &KEY, 1_000_000).is_err());
            }
        }
    }
}
