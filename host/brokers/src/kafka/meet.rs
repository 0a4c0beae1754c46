//! Having a client meet its cluster before it is needed.
//!
//! librdkafka connects when it is first asked for something, and what asks then finds nobody connected: it is put
//! off for half a second, for each producer that begins and for each partition that is assigned. Decides nothing:
//! where nobody answers, whatever comes next says so in its own words.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;

/// How long a cluster is waited for. Connecting and one answer take some milliseconds; a cluster that is away is
/// waited for by whatever comes next.
const MEETING: Duration = Duration::from_secs(2);

/// Connects, and has the client know where topics lie. Blocks.
pub(super) fn meet<C: ClientContext>(client: &Client<C>, topics: &[Arc<str>]) {
    for topic in topics {
        if client.fetch_metadata(Some(topic), MEETING).is_err() {
            return;
        }
    }
}
