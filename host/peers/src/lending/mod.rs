//! Subscriptions with a topic of their own: the owner's side of the transport Kafka.
//!
//! Each is a flow on a broker that other participants may reach, an ordinary processor that fills it, and a user of that
//! broker who may read it and nothing else. The row of the subscription comes first and says so to the end: what is
//! made, and what is taken away, follows from it, step by step, each step safe to repeat. Keeps no password: whoever
//! asks for his gets another one.

mod care;
mod empty;
mod price;
mod steps;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use fnap::name::Name;
use fnap::reply::{Code, Failure};
use fnap::subject::Subject;
use host_brokers::{Borrower, BrokerError};
use host_failpoints::failpoint;
use host_processors::Brokers;
use host_registry::{Flow, Registry, RegistryError, Subscriber};
use tokio::sync::{Mutex, Notify};
use zeroize::{Zeroize as _, Zeroizing};

use crate::subscriptions::Trouble;
pub use empty::Emptying;
use price::Prices;

/// A broker that other participants may read topics of their own at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The broker.
    pub broker: String,
    /// Where it is reached from outside: `host:port,…`.
    pub servers: String,
    /// How connections are secured there.
    pub security: Security,
}

/// How a Kafka client speaks with a broker to which it says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// In clear text, for trials on networks of one's own.
    SaslPlaintext,
    /// By TLS.
    SaslSsl,
}

impl Security {
    /// Both.
    pub const ALL: [Self; 2] = [Self::SaslPlaintext, Self::SaslSsl];

    /// Kafka's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

/// How names and passwords are shown to a broker.
pub const MECHANISM: &str = "SCRAM-SHA-512";

/// With what a subscriber reads his topic.
pub struct Credentials {
    /// Where, and how secured.
    pub offer: Offer,
    /// Who he is there, how his groups begin, and his password.
    pub user: Borrower,
    /// The topic.
    pub topic: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Credentials({})", self.topic)
    }
}

/// Looks after subscriptions that have a topic of their own. Cloning shares it.
#[derive(Clone)]
pub struct Lender(Arc<Inner>);

struct Inner {
    registry: Registry,
    brokers: Brokers,
    offers: Vec<Offer>,
    /// One step of a subscription at a time.
    under_way: Mutex<HashMap<Name, Arc<Mutex<()>>>>,
    prices: Prices,
    /// Something was left in the middle: the background looks at once.
    look: Notify,
}

impl Lender {
    /// Looks after those of a registry; new ones lie at the brokers that are offered.
    #[must_use]
    pub fn new(registry: Registry, brokers: Brokers, offers: Vec<Offer>) -> Self {
        let (under_way, prices, look) = Default::default();
        Self(Arc::new(Inner { registry, brokers, offers, under_way, prices, look }))
    }

    /// The broker for the topic of a new subscription: that of its flow where it is offered, else the first that is;
    /// none where none is.
    #[must_use]
    pub fn broker_for(&self, flow: &Flow) -> Option<&str> {
        let own = self.0.offers.iter().find(|offer| offer.broker == flow.broker);
        own.or(self.0.offers.first()).map(|offer| &*offer.broker)
    }

    /// Whether any broker is offered.
    #[must_use]
    pub fn offers(&self) -> bool {
        !self.0.offers.is_empty()
    }

    /// Makes a password for a subscription's topic and gives it with all else that is needed to read it. The former
    /// password is no longer taken.
    ///
    /// # Errors
    /// `RateLimit` where he asks too often; `NotFound`, also where it is somebody else's; `Denied` where it was ended by its owner; `Later` where something
    /// is still being made, or is away.
    pub async fn credentials(&self, who: &Subject, name: &Name) -> Result<Credentials, Trouble> {
        // Who asks about what is not his leaves no trace here.
        self.0.registry.borrowable(who, name)?;
        self.0.prices.take(who).await.map_err(Trouble::Refused)?;
        let turn = self.turn(name).await;
        let _turn = turn.lock().await;
        let row = self.0.registry.borrowable(who, name)?;
        self.bring(&row).await?;
        let missing = || later(format!("the topic of {name} is not there"));
        let broker = row.lent.as_ref().map(|lent| lent.broker.clone()).unwrap_or_default();
        let offer = self.0.offers.iter().find(|offer| offer.broker == broker);
        let offer = offer.ok_or_else(|| later(format!("broker {broker} is not offered now")))?;
        let flow = self.0.registry.flow(name).await?.ok_or_else(missing)?;
        let user = Borrower { name: name.to_string(), password: password()? };
        failpoint!("lending.before-lent");
        self.broker(&broker)?.lend(&flow.topic, &user).await.map_err(unmade)?;
        failpoint!("lending.lent");
        // Nobody gets the password of one that has ended meanwhile; whoever ended it waits for his turn.
        self.0.registry.borrowed(who, name).await?;
        Ok(Credentials { offer: offer.clone(), user, topic: flow.topic })
    }

    async fn turn(&self, name: &Name) -> Arc<Mutex<()>> {
        Arc::clone(self.0.under_way.lock().await.entry(name.clone()).or_default())
    }
}

/// A password of 192 random bits.
fn password() -> Result<Zeroizing<String>, Trouble> {
    let mut octets = [0; 24];
    getrandom::fill(&mut octets).map_err(|error| {
        Trouble::Refused(Failure::new(Code::ServerErr, format!("no random octets: {error}")))
    })?;
    let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(octets));
    octets.zeroize();
    Ok(text)
}

/// Time to the next try.
const AGAIN: Duration = Duration::from_secs(2);

fn later(words: String) -> Trouble {
    Trouble::Later(Failure::new(Code::Unavailable, words), AGAIN)
}

/// What a broker did not do; what it will never do is told so.
fn unmade(error: BrokerError) -> Trouble {
    match error {
        BrokerError::Invalid(words) => Trouble::Refused(Failure::new(Code::NotImplemented, words)),
        error => later(error.to_string()),
    }
}

/// Whether a row says that there should be something now.
fn is_wanted(row: &Subscriber) -> bool {
    row.is_live() && row.handed_at.is_some()
}

/// Whether the registry's own word is that a thing is not as it was thought, so that looking again helps.
fn is_passing(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Conflict { .. } | RegistryError::Pending { .. })
}
