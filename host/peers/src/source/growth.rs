//! Partitions that a flow gains while it is followed.
//!
//! Who wants all of a flow is told of them, and gets them from their beginning. Who follows single partitions, as hosts
//! do, is told by the end of his stream (503), and learns when he attaches again. Nobody is told before they are there.

use std::time::Duration;

use fnap::reply::{Code, Failure};
use fnap::stream::Partition;
use host_processors::topic_of;
use tokio::time::{sleep, timeout};

use super::House;
use super::attach::{Carried, Extent, Sending, sending, usable};
use super::words::broker_failure;

/// How often, and how soon again, a broker is asked whether it has made them.
const TRIES: u32 = 20;
const AGAIN: Duration = Duration::from_millis(500);

/// How long a broker may take for an answer.
const SLOW: Duration = Duration::from_secs(10);

/// What has come, and what is to be sent of it; none where it has not come yet.
pub(super) type Grown = Result<Option<(Vec<Partition>, Vec<Sending>)>, Failure>;

/// Waits until a flow has so many partitions; gives those that the follower does not know.
pub(super) async fn grown(
    house: House<'_>,
    carried: Carried,
    Extent { known, all }: Extent,
    partitions: u32,
) -> Grown {
    let again = |why: &str| Failure::new(Code::Unavailable, format!("{why}: attach again"));
    for _ in 0..TRIES {
        let flow = usable(house, &carried).await?;
        let broker = house.brokers.get(&flow.broker);
        let broker = broker.ok_or_else(|| again("the broker is not configured"))?;
        let topic = topic_of(&flow);
        let info = timeout(SLOW, broker.describe(&topic)).await;
        let info = info.map_err(|_| again("the broker does not answer in time"))?;
        let info = info.map_err(|error| broker_failure(&error))?;
        if info.partitions.len() < partitions as usize {
            sleep(AGAIN).await;
            continue;
        }
        if !all {
            let words = format!("flow {} has {partitions} partitions now", carried.name);
            return Err(again(&words));
        }
        let logs = (0..).zip(&info.partitions).skip(known as usize);
        let added: Vec<Partition> = logs
            .map(|(partition, log)| {
                let (earliest, latest) = (log.earliest, log.latest);
                Partition { partition, earliest, latest, next: earliest }
            })
            .collect();
        let send = |partition| sending(house, &carried, &flow, (broker, &topic), partition);
        let sending = added.iter().map(send).collect();
        return Ok(Some((added, sending)));
    }
    Ok(None)
}
