//! The steps of one subscription, each from what the row says to what it says next.

mod asking;
mod ending;

use std::time::Duration;

use fnap::name::Name;
use fnap::reply::{Code, Failure};
use fnap::stream::MAX_BODY;
use fnap::value::Settings;
use host_registry::{
    Flow, FlowStatus, JournalId, Maker, NewFlow, NewProcessor, PEER, RegistryError, Stage,
    Subscription,
};

use super::{Subscriptions, Trouble};

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

/// By what its owner knows it.
fn reference(row: &Subscription) -> Result<Settings, Trouble> {
    let mut settings = Settings::default();
    let inserted = settings.insert("ref", row.reference.to_string());
    inserted.map_err(|error| Trouble::Refused(Failure::new(Code::BadFormat, error.to_string())))?;
    Ok(settings)
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
