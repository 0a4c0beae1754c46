//! Looks whether the topics of the lanes are still the ones that they were, for as long as the host runs.
//!
//! A producer writes by name: without this a host would go on in topics that somebody made again, until it is
//! started anew. What it writes there meanwhile is never taken for the whole: no lane of it is marked. A topic
//! that has only gained partitions stops nobody who has a lane: what stands in it is where it was. Whoever takes
//! a lane over after that is refused.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::group::GivesUp;
use super::ours::Ours;
use super::shares::Shares;
use crate::broker::BrokerError;
use crate::kafka::cluster::Cluster;

/// Between two looks: one question about two topics.
const EVERY: Duration = Duration::from_secs(2);

/// Looks until the broker is dropped.
pub(super) async fn run(
    cluster: Arc<Cluster>,
    ours: Arc<Ours>,
    shares: Arc<Shares>,
    lanes: impl GivesUp,
    mut closing: watch::Receiver<()>,
) {
    let mut told = String::new();
    loop {
        let found = tokio::select! {
            _ = closing.changed() => return,
            found = async { sleep(EVERY).await; ours.confirm(&cluster).await } => found,
        };
        let words = match found {
            Ok(()) => {
                shares.lost(None);
                String::new()
            }
            Err(error @ BrokerError::Damaged(_)) => {
                let words = error.to_string();
                shares.lost(Some(error));
                lanes.give_up(&(0..ours.lanes).collect::<Vec<_>>()).await;
                words
            }
            // What has gained partitions is read and written as before, and refused at the next take-over.
            Err(error @ BrokerError::Invalid(_)) => error.to_string(),
            // Nothing is known.
            Err(_) => continue,
        };
        if !words.is_empty() && words != told {
            let broker = &cluster.options().name;
            tracing::error!(
                broker,
                cause = words,
                "the topics of the lanes are not what they were"
            );
        }
        told = words;
    }
}
