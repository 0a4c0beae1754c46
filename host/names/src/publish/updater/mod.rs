//! Changes sent to a name server that takes updates (RFC 2136), signed (TSIG, RFC 8945).
//!
//! Over TCP, because a change of many flows is larger than a datagram, and an answer that is lost is not asked for
//! twice in silence. The messages are hickory's; the connection and the checks of signatures are ours, because hickory's client
//! gives the same text for every signature that a server rejects, and keeps copies of the secret.
//!
//! Does not ask which server a zone has: whom to ask is given, in order, and the next one is tried when one does not
//! answer, or says that it cannot (RFC 2136, section 4). What somebody refuses, nobody else is asked for.

mod key;
mod message;
mod tsig;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_net::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_net::proto::rr::{RData, RecordType};

pub use key::{Key, KeyError};
use message::{Condition, MAX_OCTETS, Piece, pieces};

use super::connection::Connection;
use super::records::{ID, incarnation};
use super::wire::{impossible, name};
use super::zone::check;
use super::{Change, Doubt, Outcome, Owner, PublishError, Publisher, Set, Zone};
use crate::AGENT_SERVICE;

/// Writes to zones by way of their name servers.
#[derive(Debug)]
pub struct Updater {
    servers: Vec<SocketAddr>,
    key: Key,
    timeout: Duration,
}

impl Updater {
    /// Sends changes to the first of these servers that answers, signed with a key.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>, key: Key) -> Self {
        Self { servers, key, timeout: UPDATE_TIMEOUT }
    }

    /// With another time for a connection, and for each answer.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Whom it asks, in order.
    #[must_use]
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    async fn at(
        &self,
        server: SocketAddr,
        zone: &Zone,
        change: &Change,
    ) -> Result<Outcome, PublishError> {
        let away = |error: std::io::Error| Self::away(server, &error);
        let connection = Connection::open(server, self.timeout).await.map_err(away)?;
        let mut talk = Talk { connection, server, key: &self.key, zone };
        talk.change(change).await
    }

    /// Tries one server after the other, while they are away or cannot do it.
    async fn somewhere<T, F: Future<Output = Result<T, PublishError>>>(
        &self,
        zone: &Zone,
        at: impl Fn(SocketAddr) -> F,
    ) -> Result<T, PublishError> {
        let (mut reasons, mut unable) = (Vec::new(), false);
        for server in &self.servers {
            match at(*server).await {
                Err(PublishError::Away { reason }) => reasons.push(reason),
                Err(PublishError::Unable { reason }) => {
                    unable = true;
                    reasons.push(reason);
                }
                done => return done,
            }
        }
        let reason = reasons.join("; ");
        Err(match (reasons.is_empty(), unable) {
            (true, _) => impossible(format!("no name server for zone {zone}")),
            (false, true) => PublishError::Unable { reason },
            (false, false) => PublishError::Away { reason },
        })
    }

    fn away(server: SocketAddr, error: &std::io::Error) -> PublishError {
        PublishError::Away { reason: format!("{server}: {error}") }
    }
}

#[async_trait::async_trait]
impl Publisher for Updater {
    async fn change(&self, zone: &Zone, change: &Change) -> Result<Outcome, PublishError> {
        check(zone, change)?;
        self.somewhere(zone, |server| self.at(server, zone, change)).await
    }

    async fn lost(
        &self,
        zone: &Zone,
        marks: &[Set],
        most: usize,
    ) -> Result<Vec<usize>, PublishError> {
        let at = |server| async move {
            let away = |error: std::io::Error| Self::away(server, &error);
            let connection = Connection::open(server, self.timeout).await.map_err(away)?;
            let mut talk = Talk { connection, server, key: &self.key, zone };
            talk.lost(marks, most).await
        };
        self.somewhere(zone, at).await
    }
}

/// A change while it is made at one server.
struct Talk<'a> {
    connection: Connection,
    server: SocketAddr,
    key: &'a Key,
    zone: &'a Zone,
}

impl Talk<'_> {
    async fn change(&mut self, change: &Change) -> Result<Outcome, PublishError> {
        let mut recognised = BTreeSet::new();
        let (mut in_vain, mut partly) = (0, false);
        let change = &self.without_doubt(change).await?;
        while in_vain < TRIES {
            let all = pieces(self.zone, change, &recognised)?;
            let (made, unmet) = self.all(all).await?;
            let Some(unmet) = unmet else {
                return Ok(Outcome { recognised: recognised.into_iter().collect() });
            };
            partly |= made > 0;
            let known = recognised.len();
            recognised.extend(self.sort_out(unmet, change, partly).await?);
            if recognised.len() == known {
                in_vain += 1;
            }
        }
        let reason = format!("{}: records that come and go while they are asked for", self.server);
        Err(PublishError::Away { reason })
    }

    /// What is doubtful is removed with the rest where it is ours, and not at all otherwise.
    async fn without_doubt<'c>(
        &mut self,
        change: &'c Change,
    ) -> Result<Cow<'c, Change>, PublishError> {
        if change.doubtful.is_empty() {
            return Ok(Cow::Borrowed(change));
        }
        let mut whole = change.clone();
        for Doubt { flow, id, remove } in std::mem::take(&mut whole.doubtful) {
            if self.has_id(&flow, &id).await? {
                whole.remove.extend(remove);
            }
        }
        Ok(Cow::Owned(whole))
    }

    /// Makes all pieces, or those before the one whose conditions were not met: how many, and that one.
    async fn all(&mut self, pieces: Vec<Piece>) -> Result<(usize, Option<Piece>), PublishError> {
        for (made, piece) in pieces.into_iter().enumerate() {
            if !self.update(&piece).await? {
                return Ok((made, Some(piece)));
            }
        }
        Ok((0, None))
    }

    async fn lost(&mut self, marks: &[Set], most: usize) -> Result<Vec<usize>, PublishError> {
        let is_sign = |set: &Set| incarnation(set).is_some();
        let there = |set: &Set| Condition::There(set.clone(), is_sign(set));
        let mut places: BTreeMap<Condition, usize> =
            marks.iter().enumerate().map(|(place, set)| (there(set), place)).collect();
        let mut lost = Vec::new();
        while lost.len() < most && !places.is_empty() {
            let (mut some, mut octets) = (BTreeSet::new(), 0);
            while octets < MAX_OCTETS / 2
                && let Some((condition, place)) = places.pop_first()
            {
                octets += condition.octets();
                some.insert((condition, place));
            }
            let conditions = some.iter().map(|(condition, _)| condition.clone()).collect();
            let unmet = self.unmet(conditions, most - lost.len()).await?;
            let is_unmet = |condition: &Condition| unmet.contains(condition);
            lost.extend(some.iter().filter(|(one, _)| is_unmet(one)).map(|(_, place)| *place));
        }
        Ok(lost)
    }

    /// Whether the conditions of a piece were met, and so it was made.
    async fn update(&mut self, piece: &Piece) -> Result<bool, PublishError> {
        let message = piece.message(self.connection.id(), self.zone)?;
        match self.answer(message).await?.response_code {
            ResponseCode::NoError => Ok(true),
            ResponseCode::YXDomain
            | ResponseCode::YXRRSet
            | ResponseCode::NXRRSet
            | ResponseCode::NXDomain => Ok(false),
            code => Err(self.refusal(code)),
        }
    }

    /// Which conditions were not met: those of our own flows are given back, others are an error.
    async fn sort_out(
        &mut self,
        piece: Piece,
        change: &Change,
        partly: bool,
    ) -> Result<BTreeSet<Owner>, PublishError> {
        let (mut ours, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for condition in self.unmet(piece.conditions, usize::MAX).await? {
            let id = change.fresh.iter().find(|(flow, _)| flow == condition.owner());
            let is_ours = match (&condition, id) {
                (Condition::Free(flow) | Condition::Absent(flow, _), Some((_, id))) => {
                    self.has_id(flow, id).await?
                }
                _ => false,
            };
            if is_ours { &mut ours } else { &mut taken }.insert(condition.owner().clone());
        }
        match taken.is_empty() {
            true => Ok(ours),
            false => Err(PublishError::Taken { owners: taken.into_iter().collect(), partly }),
        }
    }

    /// Those that are not true, found by halves: mostly few are. No more are looked for where there are `most`.
    async fn unmet(
        &mut self,
        conditions: BTreeSet<Condition>,
        most: usize,
    ) -> Result<Vec<Condition>, PublishError> {
        let mut unmet = Vec::new();
        let mut left: Vec<Vec<Condition>> = vec![conditions.into_iter().collect()];
        while let Some(mut some) = left.pop().filter(|_| unmet.len() < most) {
            if some.is_empty() || self.update(&Piece::question(&some)).await? {
                continue;
            }
            match some.len() {
                1 => unmet.extend(some),
                many => {
                    left.push(some.split_off(many / 2));
                    left.push(some);
                }
            }
        }
        Ok(unmet)
    }

    /// Whether the TXT records of a flow have this incarnation.
    async fn has_id(&mut self, flow: &Owner, id: &str) -> Result<bool, PublishError> {
        let service = AGENT_SERVICE.split('.').map(|label| label.as_bytes().to_vec());
        let owner = Owner::from_labels(service.chain(flow.labels()))
            .map_err(|error| impossible(format!("{flow}: {error}")))?;
        let mut message = Message::new(self.connection.id(), MessageType::Query, OpCode::Query);
        message.add_query(Query::query(name(&owner)?, RecordType::TXT));
        let answer = self.answer(message).await?;
        match answer.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            code => return Err(self.refusal(code)),
        }
        let wanted = format!("{ID}={id}");
        Ok(answer.answers.iter().any(|record| match &record.data {
            RData::TXT(text) => text.txt_data.iter().any(|string| **string == *wanted.as_bytes()),
            _ => false,
        }))
    }

    async fn answer(&mut self, message: Message) -> Result<Message, PublishError> {
        let signed = tsig::sign(message, self.key, now())?;
        let answer = self.connection.exchange(&signed.octets).await;
        let answer = answer.map_err(|error| Updater::away(self.server, &error))?;
        let checked = signed.check(&answer, self.key, now());
        checked.map_err(|distrust| distrust.error(self.server, self.key))
    }

    fn refusal(&self, code: ResponseCode) -> PublishError {
        let (server, zone, key) = (self.server, self.zone, self.key.name());
        let refused = |why: String| PublishError::Refused { reason: format!("{server}: {why}") };
        match code {
            ResponseCode::ServFail | ResponseCode::NotImp => {
                PublishError::Unable { reason: format!("{server}: {code}") }
            }
            ResponseCode::Refused => {
                refused(format!("its policy does not let key {key} change this in zone {zone}"))
            }
            ResponseCode::NotAuth => refused(format!("is no server of zone {zone}")),
            ResponseCode::NotZone => refused(format!("a name is not in zone {zone}")),
            code => refused(format!("zone {zone}: {code}")),
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How long a connection, and then each answer, may take: a name server on the other side of the world that has to
/// sign what changes does it in two.
pub const UPDATE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a change is begun again although all that was in its way has gone meanwhile.
const TRIES: usize = 3;

#[cfg(test)]
mod tests;
