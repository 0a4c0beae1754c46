//! Seeing that the topics of an identity are what they were, or making them where they never were.
//!
//! What they were is known from three places: the marks that lie in them, that one of the two is there, and what
//! this host remembers. Where one of these says that there was more than there is, nothing is made and nothing
//! written. A beginning that was interrupted is gone on with: nothing is committed before it has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::begun::{Begun, begun};
use super::lane::record;
use super::mark::{Mark, POSITIONS_KEY, STATE_KEY, uneven};
use super::memory::Memory;
use super::ours::{Ours, another_life, grown, look, lost};
use super::{recover, send};
use crate::broker::{BrokerError, Output, TopicRef, TopicSpec};
use crate::kafka::chains::Piece;
use crate::kafka::cluster::Cluster;
use crate::kafka::native::admin::{Fault, TopicDescription};
use crate::kafka::topics;

/// Most lanes of an identity: each costs a client and its threads.
pub(in crate::kafka) const MOST_LANES: u32 = 64;

/// Largest record of both topics. A value of a plugin's state is at most half a megabyte unless an operator
/// allows more; a shard's positions take some 60 bytes a partition.
const LARGEST: u32 = 2 * 1024 * 1024;

/// Kafka compacts no segment that is written to, and taking a lane over reads all of it.
const SEGMENT: u32 = 16 * 1024 * 1024;

/// How often it is looked again where something is missing: another host may be in the middle of beginning.
const LOOKS: u32 = 3;
const LOOK: Duration = Duration::from_millis(300);

/// One of the topics as it was found.
struct Found {
    topic: TopicRef,
    there: Option<TopicDescription>,
    key: &'static [u8],
    /// What lane 0 begins with.
    mark: Option<Mark>,
}

impl Ours {
    /// Whether an identity has topics. Makes none.
    pub(super) async fn are_there(cluster: &Cluster) -> Result<bool, BrokerError> {
        let [positions, state] = Self::names(cluster);
        let found = look(cluster, [&positions, &state]).await?;
        Ok(found.iter().any(Option::is_some))
    }

    /// The topics of an identity, made where they never were.
    pub(super) async fn ensure(cluster: &Cluster) -> Result<Self, BrokerError> {
        let mut looks = 1;
        loop {
            match Self::find_or_make(cluster).await {
                Err(BrokerError::Damaged(_)) if looks < LOOKS => looks += 1,
                found => return found,
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn find_or_make(cluster: &Cluster) -> Result<Self, BrokerError> {
        let [positions, state] = Self::names(cluster);
        let found = look(cluster, [&positions, &state]).await?;
        let path = Memory::path(cluster.options());
        let remembered = path.as_deref().map(Memory::read).transpose();
        let remembered = remembered.map_err(BrokerError::Damaged)?.flatten();
        if let Some(memory) = &remembered {
            let [in_positions, in_state] = &found;
            as_remembered(cluster, &positions, memory.positions, in_positions.as_ref())?;
            as_remembered(cluster, &state, memory.state, in_state.as_ref())?;
        }
        let [in_positions, in_state] = found;
        let mut positions = Found::read(cluster, positions, in_positions, POSITIONS_KEY).await?;
        let mut state = Found::read(cluster, state, in_state, STATE_KEY).await?;
        let marked = marked(cluster, &positions, &state).await?;
        let lanes = positions.lanes().or(state.lanes()).unwrap_or(cluster.options().lanes);
        let lanes = positions.make(cluster, lanes).await?;
        let also = state.make(cluster, lanes).await?;
        if also != lanes {
            let words = format!("it has {also} partitions, {} has {lanes}", positions.topic.topic);
            return Err(BrokerError::Invalid(cluster.words(&state.topic.topic, &words)));
        }
        let ours = Self { positions: positions.topic, state: state.topic, lanes };
        if let Some(marked) = marked {
            ours.begin(cluster, &marked).await?;
        }
        let memory = Memory::new(lanes, ours.positions.id, ours.state.id);
        if let Some(path) = path.filter(|_| remembered.as_ref() != Some(&memory))
            && let Err(error) = memory.write(&path)
        {
            tracing::warn!(path = %path.display(), cause = %error, "cannot remember the topics of the lanes");
        }
        Ok(ours)
    }

    /// Marks the lanes that are not marked yet, 0 last.
    async fn begin(&self, cluster: &Cluster, marked: &Marked) -> Result<(), BrokerError> {
        let mark = |topic: &TopicRef, key: &'static [u8], lane| {
            let records = vec![record(Bytes::from_static(key), Some(self.mark(lane).write()))];
            let output = Output { topic: topic.clone(), partition: lane, records };
            (!marked.contains(&(key, lane))).then_some(output)
        };
        let both = (1..self.lanes).flat_map(|lane| {
            [mark(&self.positions, POSITIONS_KEY, lane), mark(&self.state, STATE_KEY, lane)]
        });
        write(cluster, both.flatten().collect()).await?;
        for last in [mark(&self.positions, POSITIONS_KEY, 0), mark(&self.state, STATE_KEY, 0)] {
            write(cluster, last.into_iter().collect()).await?;
        }
        Ok(())
    }
}

/// Marks that are there, by their keys and lanes.
type Marked = BTreeSet<(&'static [u8], u32)>;

/// What is marked where something is not marked yet, and nothing where all is; refuses what has lost something.
async fn marked(
    cluster: &Cluster,
    positions: &Found,
    state: &Found,
) -> Result<Option<Marked>, BrokerError> {
    for (found, other) in [(positions, state), (state, positions)] {
        match (&found.mark, &other.mark) {
            (Some(mark), _) => found.is_as(cluster, mark, positions.topic.id, state.topic.id)?,
            (None, Some(_)) if found.there.is_none() => {
                return Err(lost(cluster, &found.topic, "it is gone, the other one is not"));
            }
            (None, _) => {}
        }
    }
    const GONE: &str = "what lane 0 begins with is not there";
    match (&positions.mark, &state.mark) {
        (Some(_), Some(_)) => return Ok(None),
        (None, Some(_)) => return Err(lost(cluster, &positions.topic, GONE)),
        // Marks of a beginning are missing, unless something came after it.
        (_, None) => {}
    }
    let ids = (positions.topic.id, state.topic.id);
    let lanes = positions.lanes().or(state.lanes()).unwrap_or_default();
    let mut all = Marked::new();
    for found in [state, positions] {
        let Some(there) = &found.there else { continue };
        let mark = Mark::new(lanes, 0, ids.0, ids.1);
        match begun(cluster, &found.topic, there, found.key, &mark).await? {
            Begun::Marked(lanes) => all.extend(lanes.into_iter().map(|lane| (found.key, lane))),
            // What lies behind the mark of one was committed, and the other one has none.
            Begun::More(_) if found.mark.is_some() => {
                return Err(lost(cluster, &state.topic, GONE));
            }
            Begun::More(words) => return Err(lost(cluster, &found.topic, &words)),
        }
    }
    Ok(Some(all))
}

impl Found {
    /// A topic that may be there; refuses one that cannot keep anything.
    async fn read(
        cluster: &Cluster,
        mut topic: TopicRef,
        there: Option<TopicDescription>,
        key: &'static [u8],
    ) -> Result<Self, BrokerError> {
        let Some(found) = &there else { return Ok(Self { topic, there, key, mark: None }) };
        topic.id = found.id;
        usable(cluster, &topic, found).await?;
        let mark = recover::mark(cluster, &topic, key).await?;
        Ok(Self { topic, there, key, mark })
    }

    fn lanes(&self) -> Option<u32> {
        self.there.as_ref().and_then(|found| u32::try_from(found.partitions.len()).ok())
    }

    /// Refuses a topic that is not the one that was marked.
    fn is_as(
        &self,
        cluster: &Cluster,
        mark: &Mark,
        positions: Option<uuid::Uuid>,
        state: Option<uuid::Uuid>,
    ) -> Result<(), BrokerError> {
        let lanes = self.lanes().unwrap_or_default();
        if lanes != mark.lanes {
            return Err(grown(cluster, &self.topic, &uneven(lanes, mark.lanes)));
        }
        match Mark::new(lanes, 0, positions, state).differs(mark) {
            Some(words) => Err(lost(cluster, &self.topic, &words)),
            None => Ok(()),
        }
    }

    /// Sees that a topic is there, and gives its number of partitions.
    async fn make(&mut self, cluster: &Cluster, lanes: u32) -> Result<u32, BrokerError> {
        if let Some(lanes) = self.lanes() {
            return Ok(lanes);
        }
        let (topic, replication) = (self.topic.clone(), cluster.options().replication);
        let partitions = lanes.clamp(1, MOST_LANES);
        let spec = TopicSpec { topic, partitions, replication, config: settings() };
        match topics::create(cluster, &spec).await {
            // Another host was quicker.
            Ok(_) | Err(BrokerError::Exists(_)) => {}
            Err(error) => return Err(error),
        }
        let made = cluster.topic(&spec.topic).await?;
        self.topic.id = made.id;
        usable(cluster, &self.topic, &made).await?;
        self.there = Some(made);
        Ok(self.lanes().unwrap_or_default())
    }
}

/// Refuses a topic that this host saw in another life, or that it saw and that is gone.
fn as_remembered(
    cluster: &Cluster,
    topic: &TopicRef,
    remembered: Option<uuid::Uuid>,
    found: Option<&TopicDescription>,
) -> Result<(), BrokerError> {
    let path = Memory::path(cluster.options()).unwrap_or_default();
    let told = |cause: &str| {
        lost(cluster, topic, &format!("{cause}; this host remembers it in {}", path.display()))
    };
    match (remembered, found.map(|found| found.id)) {
        (_, None) => Err(told("it is not there any more")),
        (Some(meant), Some(Some(id))) if meant != id => Err(told(&another_life(meant, id))),
        _ => Ok(()),
    }
}

async fn usable(
    cluster: &Cluster,
    topic: &TopicRef,
    there: &TopicDescription,
) -> Result<(), BrokerError> {
    let refused = |words: &str| Err(BrokerError::Invalid(cluster.words(&topic.topic, words)));
    let settings = topics::settings(cluster, &topic.topic).await?;
    let policy = settings.iter().find(|setting| setting.name == "cleanup.policy");
    let policy = policy.map_or("", |setting| &setting.value);
    if policy != "compact" {
        return refused(&format!("its cleanup.policy is {policy}, it has to be compact"));
    }
    let partitions = there.partitions.len();
    if partitions > MOST_LANES as usize {
        return refused(&format!("it has {partitions} partitions, {MOST_LANES} is the most"));
    }
    Ok(())
}

/// Writes records of ours outside of a transaction.
pub(super) async fn write(cluster: &Cluster, outputs: Vec<Output>) -> Result<(), BrokerError> {
    let (handle, outputs) = (cluster.appending()?, Arc::new(outputs));
    let mut sent = Vec::with_capacity(outputs.len());
    for (index, output) in outputs.iter().enumerate() {
        let piece = Piece { load: 0, output: index, records: 0..output.records.len() };
        sent.push((output, send(&handle, &outputs, &piece).await));
    }
    for (output, parcel) in sent {
        parcel.done().await;
        if let Some(refused) = parcel.refused() {
            let fault = Fault::new(refused, refused.to_string()).lacking("Write");
            return Err(match cluster.fault(&output.topic.topic, &fault) {
                // It was there a moment ago.
                BrokerError::NotFound(words) => BrokerError::Unavailable(words),
                error => error,
            });
        }
    }
    Ok(())
}

fn settings() -> BTreeMap<String, String> {
    [
        ("cleanup.policy", "compact".to_owned()),
        ("max.message.bytes", LARGEST.to_string()),
        ("segment.bytes", SEGMENT.to_string()),
        // What a segment holds that is not full is compacted after that long.
        ("segment.ms", (60 * 60 * 1000).to_string()),
        ("min.cleanable.dirty.ratio", "0.2".to_owned()),
        // Half of it is how long what a host's disk knows of a lane may be believed.
        ("delete.retention.ms", (14 * 24 * 60 * 60 * 1000_u64).to_string()),
        // Kafka refuses records of a clock that is an hour ahead of its own: of a host whose clock is wrong it
        // would take nothing.
        ("message.timestamp.type", "LogAppendTime".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
