//! The steps of one subscription, each from what the row says to what it says next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fnap::command::Command;
use fnap::name::{FlowName, Name};
use fnap::reply::{Code, Failure};
use fnap::stream::MAX_BODY;
use fnap::value::Settings;
use host_brokers::{Broker, BrokerError, TopicRef};
use host_events::Incarnation;
use host_events::clock::now;
use host_registry::{
    Flow, FlowStatus, JournalId, Maker, NewFlow, NewProcessor, PEER, REMEMBERED_FOR, RegistryError,
    Stage, Subscription, Transport,
};
use uuid::Uuid;

use super::{Subscriptions, Trouble};
use crate::reach::Unreached;

/// How long a step at a broker is waited for; it goes on in the background.
const STEP: Duration = Duration::from_secs(30);

/// Time to the next try where nobody said a longer one.
const AGAIN: Duration = Duration::from_secs(2);

/// Time to the next look at something of our own that is under way.
const SOON: Duration = Duration::from_millis(200);

/// Time to the next try with a host that answers nonsense.
const LONG: Duration = Duration::from_secs(60);

/// Between two questions whether the owner has said his word: owners are people.
const PENDING: Duration = Duration::from_secs(5);

/// The type of the processors that carry the events.
pub const CARRIER: &str = "bridge";

/// The setting of a flow that says how large its events may be, by Kafka's name.
const MAX_MESSAGE: &str = "max.message.bytes";

/// What the local flow takes: whatever a stream can bring, since only the owner knows what his flow takes, and may
/// change it.
const LARGEST: usize = MAX_BODY;

impl Subscriptions {
    /// Brings a subscription as far as it goes now; none where nothing of it is left.
    pub(super) async fn drive(&self, local: &Name) -> Result<Option<Subscription>, Trouble> {
        let _turn = self.0.turns.take(local).await;
        self.drive_in_turn(local).await
    }

    /// The same, for who has its turn.
    pub(super) async fn drive_in_turn(
        &self,
        local: &Name,
    ) -> Result<Option<Subscription>, Trouble> {
        loop {
            let Some(row) = self.0.registry.subscription(local) else { return Ok(None) };
            let done = match row.stage {
                Stage::Asking | Stage::Pending { .. } => self.ask(&row).await,
                Stage::Making => self.make(&row).await,
                Stage::Ending => self.take_down(&row).await,
                Stage::Ended if !row.cleared => self.clear(&row).await,
                Stage::Active | Stage::Ended => return Ok(Some(row)),
            };
            if let Err(trouble) = done {
                // Why it has ended is the word that counts.
                if row.stage != Stage::Ended {
                    self.note(&row, &trouble).await?;
                }
                return Err(trouble);
            }
        }
    }

    async fn note(&self, row: &Subscription, trouble: &Trouble) -> Result<(), RegistryError> {
        let why = trouble.to_string();
        let noted = self.0.registry.advance_subscription(&row.local, move |row| row.why = why);
        match noted.await {
            Err(RegistryError::NotFound { .. }) => Ok(()),
            noted => noted.map(drop),
        }
    }

    /// Asks the owner's host, which knows a repeat by its reference.
    async fn ask(&self, row: &Subscription) -> Result<(), Trouble> {
        let flow = FlowName::from(row.flow.clone());
        let invalid = |error: &dyn std::fmt::Display| {
            Trouble::Refused(Failure::new(Code::BadFormat, error.to_string()))
        };
        let mut settings = reference(row)?;
        if let Some(filter) = &row.filter {
            settings.insert("filter", filter.clone()).map_err(|error| invalid(&error))?;
        }
        let by_kafka = AtomicBool::new(false);
        let choose = |offered: &[String]| {
            let (flow, mut settings) = (flow.clone(), settings.clone());
            let may_borrow = self.0.broker.may_borrow(&row.flow);
            let transport = transport(row.wanted, offered, may_borrow)?;
            by_kafka.store(transport == Transport::Kafka, Ordering::Relaxed);
            if transport == Transport::Kafka {
                let said = settings.insert("transport", transport.as_str().to_owned());
                said.map_err(|error| Failure::new(Code::BadFormat, error.to_string()))?;
            }
            Ok(Command::Subscribe { flow, local: None, settings })
        };
        match self.0.ways.of(row).ask_able(&row.flow, &choose).await {
            Ok(lines) => {
                let remote = granted(&row.flow, &lines)?;
                let by_kafka = by_kafka.load(Ordering::Relaxed);
                let chosen = if by_kafka { Transport::Kafka } else { Transport::Stream };
                let comes = move |row: &mut Subscription| row.transport = chosen;
                self.0.registry.advance_subscription(&row.local, comes).await?;
                self.advance(row, Stage::Making, Some(remote)).await
            }
            Err(Unreached { failure, .. }) if failure.code == Code::Pending => {
                let request = request_of(&failure);
                self.advance(row, Stage::Pending { request }, None).await?;
                Err(Trouble::Pending(failure))
            }
            // A topic that takes its time is there all the same.
            Err(Unreached { failure, again, heard })
                if row.stage == Stage::Asking && (heard || goes_on(&by_kafka, &failure)) =>
            {
                Err(Trouble::Unclear(failure, again.unwrap_or(LONG)))
            }
            Err(Unreached { failure, again: None, .. }) => match row.stage {
                // The owner has said no, or has taken away what he had granted.
                Stage::Pending { .. } if is_word(&failure) => {
                    self.ended(row, failure.to_string()).await
                }
                _ if row.remote.is_some() && is_word(&failure) => {
                    self.ended(row, failure.to_string()).await
                }
                Stage::Pending { .. } => Err(Trouble::Later(failure, AGAIN)),
                _ => Err(Trouble::Refused(failure)),
            },
            Err(Unreached { failure, again: Some(after), .. }) => {
                Err(Trouble::Later(failure, after))
            }
        }
    }

    /// Makes the two flows and the processor, as far as they are not there.
    async fn make(&self, row: &Subscription) -> Result<(), Trouble> {
        let registry = &self.0.registry;
        let Some(remote) = &row.remote else {
            return self.advance(row, Stage::Asking, None).await;
        };
        let namespace = registry.counts_to(&row.local)?;
        // Whether he may have them was asked when he subscribed.
        let maker = Maker { owner: row.owner.clone(), most: None };
        let mut from = registry.flow(remote).await?;
        if from.is_none() {
            let info = self.describe(row, remote).await?;
            let new = NewFlow {
                broker: Some(PEER.to_owned()),
                partitions: u32::try_from(info.partitions.len()).unwrap_or(u32::MAX),
                topic_id: info.id,
                owned: false,
                maker: maker.clone(),
                alias_of: Some(namespace.clone()),
                // There it is a subscription's name.
                for_subscription: row.here,
                ..NewFlow::named(remote.clone())
            };
            self.carry_out(registry.create_flow(new).await?).await?;
            from = registry.flow(remote).await?;
        }
        let partitions = from.as_ref().map_or(1, |flow| flow.partitions);
        settled(from.as_ref())?;
        let local = registry.flow(&row.local).await?;
        settled(local.as_ref())?;
        if local.is_none() {
            let (maker, alias_of) = (maker.clone(), Some(namespace));
            let config = [(MAX_MESSAGE.to_owned(), LARGEST.to_string())].into();
            let named = NewFlow::named(row.local.clone());
            let new = NewFlow { partitions, config, maker, alias_of, ..named };
            self.carry_out(registry.create_flow(new).await?).await?;
        }
        if registry.processor(&row.processor).await?.is_none() {
            let new = bridge(row, remote, maker);
            self.carry_out(registry.create_processor(new).await?).await?;
        }
        let active = |row: &mut Subscription| {
            row.carried = true;
            if row.stage == Stage::Making {
                (row.stage, row.why) = (Stage::Active, String::new());
            }
        };
        registry.advance_subscription(&row.local, active).await?;
        Ok(())
    }

    /// Takes away what there is, here first; the last that goes is the row.
    async fn take_down(&self, row: &Subscription) -> Result<(), Trouble> {
        self.take_down_here(row).await?;
        match &row.remote {
            Some(remote) => self.tell_the_end(row, remote).await?,
            None if row.unheard => {}
            None => self.withdraw(row).await?,
        }
        Ok(self.0.registry.forget_subscription(&row.local).await?)
    }

    async fn tell_the_end(&self, row: &Subscription, remote: &Name) -> Result<(), Trouble> {
        let (subscription, settings) = (remote.clone(), Settings::default());
        let command = Command::Unsubscribe { subscription, settings };
        match self.0.ways.of(row).ask(&row.flow, &command).await {
            // Otherwise there is none any more, or it is somebody else's.
            Err(Unreached { failure, again, .. }) if !is_word(&failure) => {
                Err(Trouble::Later(failure, again.unwrap_or(AGAIN)))
            }
            _ => Ok(()),
        }
    }

    /// Takes back what was asked for, whatever its owner's host has of it by now. A host that takes no word of it, or
    /// cannot be found any more, is left to forget it by itself.
    async fn withdraw(&self, row: &Subscription) -> Result<(), Trouble> {
        let (subscription, settings) = (row.flow.clone(), reference(row)?);
        let command = Command::Unsubscribe { subscription, settings };
        match self.0.ways.of(row).ask(&row.flow, &command).await {
            Err(Unreached { failure, again: Some(after), .. }) if !is_forgotten(row) => {
                Err(Trouble::Later(failure, after))
            }
            _ => Ok(()),
        }
    }

    async fn take_down_here(&self, row: &Subscription) -> Result<(), Trouble> {
        let registry = &self.0.registry;
        if registry.processor(&row.processor).await?.is_some() {
            self.carry_out(registry.delete_processor(&row.processor).await?).await?;
        }
        if let Some(remote) = &row.remote
            && registry.flow(remote).await?.is_some_and(|flow| flow.is_remote())
        {
            self.carry_out(registry.delete_flow(remote).await?).await?;
        }
        if let Some(remote) = &row.remote {
            self.0.broker.give_back(remote).await;
        }
        if !row.carried && row.remote.is_some() && registry.flow(&row.local).await?.is_some() {
            self.carry_out(registry.delete_flow(&row.local).await?).await?;
        }
        Ok(())
    }

    /// Writes down that its owner has taken it away; what there is of it goes afterwards.
    pub(super) async fn ended(&self, row: &Subscription, why: String) -> Result<(), Trouble> {
        let from = row.stage.clone();
        let ended = move |row: &mut Subscription| {
            if row.stage == from {
                (row.stage, row.why, row.cleared) = (Stage::Ended, why, false);
            }
        };
        self.0.registry.advance_subscription(&row.local, ended).await?;
        Ok(())
    }

    /// Takes away what there is of one that has ended; what came of it stays.
    async fn clear(&self, row: &Subscription) -> Result<(), Trouble> {
        self.take_down_here(row).await?;
        let cleared = |row: &mut Subscription| row.cleared = true;
        self.0.registry.advance_subscription(&row.local, cleared).await?;
        Ok(())
    }

    async fn advance(
        &self,
        row: &Subscription,
        stage: Stage,
        remote: Option<Name>,
    ) -> Result<(), Trouble> {
        let from = row.stage.clone();
        let change = move |row: &mut Subscription| {
            // Whoever ended it meanwhile has to know whom to tell.
            row.remote = remote.or(row.remote.take());
            if row.stage == from {
                (row.stage, row.why) = (stage, String::new());
            }
        };
        self.0.registry.advance_subscription(&row.local, change).await?;
        Ok(())
    }

    async fn carry_out(&self, entry: JournalId) -> Result<(), Trouble> {
        match self.0.registry.wait(entry, STEP).await {
            Err(pending @ RegistryError::Pending { .. }) => {
                let failure = Failure::new(Code::Unavailable, pending.to_string());
                Err(Trouble::Later(failure, AGAIN))
            }
            done => Ok(done?),
        }
    }

    /// What there is of a subscription at its owner's. One that went before anybody attached to it is asked for again, by
    /// the same reference, which says whether there is another one or none.
    async fn describe(
        &self,
        row: &Subscription,
        remote: &Name,
    ) -> Result<host_brokers::TopicInfo, Trouble> {
        let topic = TopicRef::new(remote.as_str(), Incarnation(Uuid::nil()));
        let error = match self.0.broker.describe(&topic).await {
            Ok(info) => return Ok(info),
            // It cannot be had this way.
            Err(BrokerError::Invalid(words)) => {
                return Err(Trouble::Refused(Failure::new(Code::NotImplemented, words)));
            }
            Err(error) => error,
        };
        if matches!(error, BrokerError::NotFound(_) | BrokerError::Refused(_)) {
            self.advance(row, Stage::Asking, None).await?;
        }
        Err(Trouble::Later(Failure::new(Code::Unavailable, error.to_string()), AGAIN))
    }
}

/// How events are to come from a host that can do so much: as was wished, else by a stream where it has them. Topics
/// only where the operator has allowed those of this owner.
fn transport(
    wanted: Option<Transport>,
    offered: &[String],
    may_borrow: bool,
) -> Result<Transport, Failure> {
    let able = |word: &str| offered.iter().any(|one| one.eq_ignore_ascii_case(word));
    let words = match (wanted, able("STREAM=1"), able("KAFKA=1")) {
        (Some(Transport::Stream) | None, true, _) => return Ok(Transport::Stream),
        (Some(Transport::Kafka) | None, _, true) if may_borrow => return Ok(Transport::Kafka),
        (Some(Transport::Kafka), ..) if !may_borrow => NOT_BORROWED.to_owned(),
        (None, _, true) => format!("the other host has no streams, and {NOT_BORROWED}"),
        (Some(wanted), ..) => format!("the host of the flow has no transport {}", wanted.as_str()),
        (None, ..) => "the other host has neither streams nor topics for others".to_owned(),
    };
    Err(Failure::new(Code::NotImplemented, words))
}

/// Why no topics of somebody are read.
const NOT_BORROWED: &str =
    "transport kafka: the operator of this host does not allow it for this flow, see [peers.kafka]";

/// Whether the other host is still making what was asked for.
fn goes_on(by_kafka: &AtomicBool, failure: &Failure) -> bool {
    by_kafka.load(Ordering::Relaxed) && failure.code == Code::Unavailable
}

/// Refuses to go on with a flow that is still being made, or on its way out, by what was begun before a crash.
fn settled(flow: Option<&Flow>) -> Result<(), Trouble> {
    match flow.map(|flow| (flow, flow.status)) {
        Some((flow, FlowStatus::Creating | FlowStatus::Deleting)) => {
            let words = format!("flow {} is being made", flow.name);
            Err(Trouble::Later(Failure::new(Code::Unavailable, words), SOON))
        }
        _ => Ok(()),
    }
}

fn bridge(row: &Subscription, remote: &Name, maker: Maker) -> NewProcessor {
    let (inputs, outputs) = (vec![remote.clone()], vec![row.local.clone()]);
    let named = NewProcessor::named(row.processor.clone(), CARRIER, inputs, outputs);
    NewProcessor { maker, ..named }
}

/// The name of the subscription, as the owner's host gave it: one label below the flow, or it is no answer.
fn granted(flow: &Name, lines: &[String]) -> Result<Name, Trouble> {
    let name = match lines {
        [line] => line.parse::<Name>().ok().filter(|name| name.parent().as_ref() == Some(flow)),
        _ => None,
    };
    name.ok_or_else(|| {
        let words = "the other host's answer to SUBSCRIBE is no name of a subscription";
        Trouble::Unclear(Failure::new(Code::ConnError, words), LONG)
    })
}

/// By what its owner knows it.
fn reference(row: &Subscription) -> Result<Settings, Trouble> {
    let mut settings = Settings::default();
    let inserted = settings.insert("ref", row.reference.to_string());
    inserted.map_err(|error| Trouble::Refused(Failure::new(Code::BadFormat, error.to_string())))?;
    Ok(settings)
}

/// Whether its owner's host has forgotten by now what waited there.
fn is_forgotten(row: &Subscription) -> bool {
    now() >= row.since.saturating_add(REMEMBERED_FOR)
}

/// Whether it is the other host's word that there is no such subscription for us, and no trouble on the way.
fn is_word(failure: &Failure) -> bool {
    matches!(failure.code, Code::Forbidden | Code::NotFound)
}

fn request_of(failure: &Failure) -> String {
    let words = failure.words.split_whitespace();
    let request = words.filter_map(|word| word.strip_prefix("request=")).next();
    request.unwrap_or_default().chars().take(64).collect()
}

impl Trouble {
    /// Whether it goes on by itself, without anybody changing something.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Refused(_) => false,
            Self::Pending(_) | Self::Later(..) | Self::Unclear(..) => true,
            // What the other host says of a flow can be more than there may be here.
            Self::Registry(error) => !matches!(
                error,
                RegistryError::Conflict { .. }
                    | RegistryError::Invalid { .. }
                    | RegistryError::TooMany { .. }
                    | RegistryError::OverQuota { .. }
                    | RegistryError::NoNamespace { .. }
            ),
        }
    }

    /// When it is worth a try again; none where it is not.
    pub(super) fn again(&self) -> Option<Duration> {
        match self {
            Self::Refused(_) => None,
            Self::Pending(_) => Some(PENDING),
            Self::Later(_, after) | Self::Unclear(_, after) => Some(*after),
            Self::Registry(_) => Some(AGAIN),
        }
    }
}
