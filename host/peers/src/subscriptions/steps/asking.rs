//! The first step of a subscription: its owner is asked for it.

use std::sync::atomic::{AtomicBool, Ordering};

use fnap::command::Command;
use fnap::name::{FlowName, Name};
use fnap::reply::{Code, Failure};
use host_brokers::{Broker, BrokerError, TopicRef};
use host_events::Incarnation;
use host_registry::{Stage, Subscription, Transport};
use uuid::Uuid;

use super::ending::is_word;
use super::{AGAIN, LONG, reference};
use crate::reach::Unreached;
use crate::subscriptions::{Subscriptions, Trouble};

impl Subscriptions {
    /// Asks the owner's host, which knows a repeat by its reference.
    pub(super) async fn ask(&self, row: &Subscription) -> Result<(), Trouble> {
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

    /// What there is of a subscription at its owner's. One that went before anybody attached to it is asked for again, by
    /// the same reference, which says whether there is another one or none.
    pub(super) async fn describe(
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

fn request_of(failure: &Failure) -> String {
    let words = failure.words.split_whitespace();
    let request = words.filter_map(|word| word.strip_prefix("request=")).next();
    request.unwrap_or_default().chars().take(64).collect()
}
