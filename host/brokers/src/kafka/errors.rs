//! What librdkafka says, in the words of the broker trait: which broker, which topic, which cause.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::cluster::Cluster;
use super::native::admin::Fault;
use crate::broker::BrokerError;

impl Cluster {
    /// An error about a topic (or about the cluster, with an empty one).
    pub(super) fn error(&self, topic: &str, error: &KafkaError) -> BrokerError {
        match error {
            KafkaError::AdminOp(code) => self.fault(topic, &Fault::new(*code, code.to_string())),
            KafkaError::Transaction(error) => {
                self.fault(topic, &Fault::new(error.code(), error.string()))
            }
            other => match other.rdkafka_error_code() {
                Some(code) => self.fault(topic, &Fault::new(code, code.to_string())),
                None => BrokerError::Invalid(self.words(topic, &other.to_string())),
            },
        }
    }

    /// The same of a fault, where there is more than a code.
    pub(super) fn fault(&self, topic: &str, fault: &Fault) -> BrokerError {
        let trouble = if is_silence(fault.code) { self.voice().trouble() } else { None };
        let fault = trouble.as_ref().unwrap_or(fault);
        let words = self.words(topic, &self.cause(topic, fault));
        match fault.code {
            Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicId => BrokerError::NotFound(words),
            Code::TopicAlreadyExists => BrokerError::Exists(words),
            code if is_refusal(code) => BrokerError::Refused(words),
            _ if is_passing(&fault.text) => BrokerError::Unavailable(words),
            code if is_invalid(code) => BrokerError::Invalid(words),
            Code::KafkaStorageError => BrokerError::Full(words),
            _ => BrokerError::Unavailable(words),
        }
    }

    /// The cause, with what looks likely where librdkafka does not say it.
    fn cause(&self, topic: &str, fault: &Fault) -> String {
        let text = fault.text.trim();
        let is_clear = self.options().tls.is_none();
        let closed_in = |state| {
            text.contains("connection closed by peer") && text.contains(&format!("state {state}"))
        };
        let likely = if text.contains("SSL listener") || is_clear && closed_in("APIVERSION_QUERY") {
            "it seems to speak TLS, and clear text is configured"
        } else if text.contains("PLAINTEXT broker listener")
            || text.contains("wrong version number")
            || !is_clear && closed_in("SSL_HANDSHAKE")
        {
            "it seems to speak clear text, and TLS is configured"
        } else if self.options().sasl.is_none() && closed_in("UP") {
            "it went away, or it wants a user and none is configured"
        } else {
            let needs = self.rights(topic, fault);
            return needs.map_or_else(|| text.to_owned(), |needs| format!("{text} ({needs})"));
        };
        format!("{likely} ({text})")
    }

    /// What has to be allowed for what is refused, where that is no right to a flow's topic.
    fn rights(&self, topic: &str, fault: &Fault) -> Option<String> {
        let identity = &self.options().identity;
        match fault.code {
            Code::TransactionalIdAuthorizationFailed => {
                Some(format!("it takes Write for the transactional ids fnaa.{identity}."))
            }
            Code::GroupAuthorizationFailed => {
                Some(format!("it takes Read for the group fnaa.{identity}"))
            }
            Code::ClusterAuthorizationFailed => {
                Some("it takes Write for a topic, or IdempotentWrite for the cluster".to_owned())
            }
            // A transaction does not say for which of its topics.
            Code::TopicAuthorizationFailed if topic.is_empty() => Some(format!(
                "it takes Write for the topics of outputs, and for those of _fnaa.{identity}."
            )),
            Code::TopicAuthorizationFailed
                if topic.starts_with("_fnaa.") && !fault.text.contains(LACKING) =>
            {
                Some(format!("{LACKING} Read"))
            }
            _ => None,
        }
    }

    /// Broker, topic and cause.
    pub(super) fn words(&self, topic: &str, cause: &str) -> String {
        let name = &self.options().name;
        if topic.is_empty() {
            format!("broker {name}: {cause}")
        } else {
            format!("broker {name}: topic {topic}: {cause}")
        }
    }
}

/// What stands before the name of a right that is missing.
const LACKING: &str = "it takes the right";

impl Fault {
    /// With the right that was missing, where a topic was refused for want of one.
    pub(super) fn lacking(mut self, right: &str) -> Self {
        if self.code == Code::TopicAuthorizationFailed {
            self.text = format!("{} ({LACKING} {right})", self.text.trim());
        }
        self
    }
}

/// Whether it says only that nobody answered, so that what librdkafka told meanwhile says more.
fn is_silence(code: Code) -> bool {
    matches!(
        code,
        Code::OperationTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::TimedOutQueue
            | Code::MessageTimedOut
    )
}

/// What a cluster says of a request as if it could never be done, while its nodes are starting: none of them
/// may be given a partition yet.
fn is_passing(text: &str) -> bool {
    text.contains("All brokers are currently fenced")
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::DelegationTokenAuthorizationFailed
            | Code::SecurityDisabled
            | Code::PolicyViolation
    )
}

fn is_invalid(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidReplicaAssignment
            | Code::InvalidConfig
            | Code::InvalidRequest
            | Code::InvalidArgument
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::UnsupportedForMessageFormat
            | Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::KafkaOptions;

    #[test]
    fn that_no_node_is_ready_yet_is_no_mistake_of_who_asks() {
        let cluster = Cluster::new(KafkaOptions::new("k", "127.0.0.1:1", "x", "")).unwrap();
        let told = |cause: &str| {
            let text = format!("Unable to replicate the partition 3 time(s): {cause}");
            cluster.fault("t", &Fault::new(Code::InvalidReplicationFactor, text))
        };
        let starting = told("All brokers are currently fenced.");
        assert!(matches!(starting, BrokerError::Unavailable(_)), "{starting}");
        assert!(starting.to_string().contains("broker k: topic t: "), "{starting}");
        let few = told(
            "The target replication factor of 3 cannot be reached because only 1 broker(s) are registered.",
        );
        assert!(matches!(few, BrokerError::Invalid(_)), "{few}");
    }
}
