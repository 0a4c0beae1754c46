//! Topics lent to who is no user of ours: a user made for one topic, and what he may.
//!
//! He may read that topic and work in groups whose names begin with his own, and nothing else. What a cluster decides
//! its nodes learn a little later, in the order in which it was decided: so a user is made before his rights and
//! goes before them, and it is the rights that are waited for.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::Kafka;
use super::cluster::REQUEST;
use super::native::admin::{self, Resource};
use super::rights::Right;
use crate::broker::{Borrower, BrokerError};

/// How long a node may take to learn of what the cluster has decided.
const SEEN: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

impl Kafka {
    pub(super) async fn lend_topic(&self, topic: &str, user: &Borrower) -> Result<(), BrokerError> {
        let (cluster, principal) = (&self.cluster, principal(&user.name));
        let handle = cluster.handle()?;
        let fault = |fault| cluster.fault(topic, &fault);
        let made = admin::set_user(&handle, &user.name, Some(&user.password), REQUEST).await;
        made.map_err(fault)?;
        let rights = [
            (Resource::Topic(topic), Right::Describe),
            (Resource::Topic(topic), Right::Read),
            (Resource::Groups(&user.name), Right::Read),
        ];
        for (resource, right) in rights {
            let allowed = admin::allow(&handle, &principal, resource, right, REQUEST).await;
            allowed.map_err(fault)?;
        }
        self.until_seen(&principal, |known| known >= rights.len()).await
    }

    pub(super) async fn take_back_all(&self, name: &str) -> Result<(), BrokerError> {
        let (cluster, principal) = (&self.cluster, principal(name));
        let handle = cluster.handle()?;
        match admin::set_user(&handle, name, None, REQUEST).await {
            Err(fault) if fault.code != Code::ResourceNotFound => {
                return Err(cluster.fault("", &fault));
            }
            _ => {}
        }
        match admin::disallow(&handle, &principal, None, REQUEST).await {
            // Where nobody is asked for rights there are none.
            Err(fault) if fault.code == Code::SecurityDisabled => return Ok(()),
            done => done.map_err(|fault| cluster.fault("", &fault))?,
        }
        self.until_seen(&principal, |known| known == 0).await
    }

    async fn until_seen(
        &self,
        principal: &str,
        is_so: impl Fn(usize) -> bool,
    ) -> Result<(), BrokerError> {
        let (handle, deadline) = (self.cluster.handle()?, Instant::now() + SEEN);
        loop {
            let asked = admin::rights_of(&handle, principal, REQUEST);
            if is_so(self.cluster.answer("", asked).await?.len()) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let words = format!("rights of {principal} changed, and not to be seen yet");
                return Err(BrokerError::Unavailable(self.cluster.words("", &words)));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn principal(name: &str) -> String {
    format!("User:{name}")
}
