//! What an earlier host left in the lanes.

use host_brokers::{Append, Appended};
use host_events::{Incarnation, partition_for_key};
use rdkafka::producer::BaseRecord;
use sha2::{Digest, Sha256};

use crate::battery::{Place, bounded, record, shows, token, topic};
use crate::place::OnKafka;
use crate::raw::Writer;

const PRINCIPAL: &str = "ana";

/// What a writer is hashed to, and with a token what that is.
fn id(flow: Incarnation, token: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(flow.0.as_bytes());
    hash.update((PRINCIPAL.len() as u64).to_be_bytes());
    hash.update(PRINCIPAL);
    hash.update(token);
    hash.finalize()[..16].try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_an_earlier_host_gave_is_known_in_the_lane_that_its_hash_led_to() {
    bounded(async {
        let place = OnKafka::new();
        let options = place.options();
        let broker = place.open().await;
        let topic = topic(&broker, "a", 1).await;
        let append = |value: &str, text: &str| Append {
            records: vec![(0, record(value.to_owned()))],
            token: token(PRINCIPAL, text),
        };
        let lane = |token: &str| partition_for_key(&id(topic.incarnation, token), options.lanes);
        let elsewhere = |number: &usize| lane(&number.to_string()) != lane("");
        let [before, new]: [String; 2] = (0..)
            .filter(elsewhere)
            .take(2)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        let written = broker.append(&topic, append("x", "one that comes first")).await.unwrap();
        assert_eq!(written, Appended { count: 1, repeated: false });
        broker.close().await;
        drop(broker);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let key = [&b"\x01t"[..], &id(topic.incarnation, &before)].concat();
        let at = (now.as_millis() as u64).to_be_bytes();
        let value = [&[1][..], &7_u64.to_be_bytes(), &at].concat();
        let (servers, state) =
            (crate::place::servers(), format!("_fnaa.{}.state", options.identity));
        tokio::task::block_in_place(|| {
            let writer = Writer::new(&servers);
            let record = BaseRecord::to(&state).partition(lane(&before).cast_signed());
            writer.send(record.key(&key).payload(&value));
            writer.flush();
        });
        let broker = place.open().await;
        let again = broker.append(&topic, append("y", &before)).await.unwrap();
        assert_eq!(again, Appended { count: 7, repeated: true });
        let other = broker.append(&topic, append("z", &new)).await.unwrap();
        assert_eq!(other, Appended { count: 1, repeated: false });
        let other = broker.append(&topic, append("z", &new)).await.unwrap();
        assert_eq!(other, Appended { count: 1, repeated: true });
        shows(&broker, &topic, 0, ["x", "z"]).await;
    })
    .await;
}
