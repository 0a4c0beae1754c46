//! Users and rights of a cluster, for who is given a flow of ours to read or to write himself.
//!
//! Topics are named whole, never by a pattern; nothing here is done by itself.

use super::Kafka;
use super::cluster::REQUEST;
use super::native::admin::{self, Resource};
use crate::broker::BrokerError;

/// What somebody may do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// See that it is there, and its partitions. The others bring it with them.
    Describe,
    /// Read its records.
    Read,
    /// Write records.
    Write,
}

impl Kafka {
    /// Lets a principal (`User:name`) do something with a topic. Harmless where he may already.
    ///
    /// # Errors
    /// When the cluster has no authorizer, or does not let us.
    pub async fn allow(
        &self,
        principal: &str,
        topic: &str,
        right: Right,
    ) -> Result<(), BrokerError> {
        let handle = self.cluster.handle()?;
        let done = admin::allow(&handle, principal, Resource::Topic(topic), right, REQUEST).await;
        done.map_err(|fault| self.cluster.fault(topic, &fault))
    }

    /// Takes everything back that a principal was allowed with a topic.
    ///
    /// # Errors
    /// As of [`Kafka::allow`].
    pub async fn disallow(&self, principal: &str, topic: &str) -> Result<(), BrokerError> {
        let (handle, topics) = (self.cluster.handle()?, Some(Resource::Topic(topic)));
        let done = admin::disallow(&handle, principal, topics, REQUEST).await;
        done.map_err(|fault| self.cluster.fault(topic, &fault))
    }

    /// Principals and what each may do with a topic.
    ///
    /// # Errors
    /// As of [`Kafka::allow`].
    pub async fn rights(&self, topic: &str) -> Result<Vec<(String, Right)>, BrokerError> {
        let handle = self.cluster.handle()?;
        self.cluster.answer(topic, admin::rights(&handle, topic, REQUEST)).await
    }

    /// Gives a user a password for SCRAM-SHA-512, a new one where he has one.
    ///
    /// # Errors
    /// When the cluster does not let us.
    pub async fn put_user(&self, name: &str, password: &str) -> Result<(), BrokerError> {
        let done = admin::set_user(&self.cluster.handle()?, name, Some(password), REQUEST).await;
        done.map_err(|fault| self.cluster.fault("", &fault))
    }

    /// Takes his password from a user; connections that are open stay.
    ///
    /// # Errors
    /// When there is no such user, or the cluster does not let us.
    pub async fn remove_user(&self, name: &str) -> Result<(), BrokerError> {
        let done = admin::set_user(&self.cluster.handle()?, name, None, REQUEST).await;
        done.map_err(|fault| self.cluster.fault("", &fault))
    }
}
