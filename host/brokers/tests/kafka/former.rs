//! What an earlier host left in the lanes.

use host_brokers::kafka::KafkaOptions;
use host_brokers::{Append, Appended, ShardId};
use host_events::{Incarnation, partition_for_key};
use rdkafka::producer::BaseRecord;
use sha2::{Digest, Sha256};

use crate::battery::{Place, bounded, record, shard, shows, token, topic};
use crate::lanes::open;
use crate::place::OnKafka;
use crate::raw::Writer;

const PRINCIPAL: &str = "ana";

/// What a writer is hashed to, and with a token what that is.
fn id(flow: Incarnation, principal: &str, token: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(flow.0.as_bytes());
    hash.update((principal.len() as u64).to_be_bytes());
    hash.update(principal);
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
        let lane = |token: &str| {
            partition_for_key(&id(topic.incarnation, PRINCIPAL, token), options.lanes)
        };
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
        let key = [&b"\x01t"[..], &id(topic.incarnation, PRINCIPAL, &before)].concat();
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

/// A shard, and a principal, of a lane.
fn of_lane(lane: u32, lanes: u32, flow: Incarnation) -> (ShardId, String) {
    let of = |shard: &ShardId| {
        let key = [&shard.processor.as_bytes()[..], &shard.shard.to_be_bytes()].concat();
        partition_for_key(&key, lanes) == lane
    };
    let principals = (0..).map(|number| format!("ann-{number}"));
    let mut principals =
        principals.filter(|name| partition_for_key(&id(flow, name, ""), lanes) == lane);
    ((0..).map(shard).find(of).unwrap(), principals.next().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_cannot_be_had_stops_its_own_writers_and_no_others() {
    bounded(async {
        let place = OnKafka::new();
        let options = KafkaOptions { lanes: 2, ..place.options() };
        let broker = open(&options).await;
        let topic = topic(&broker, "a", 1).await;
        let [(_, well), (broken, its_own)] =
            [0, 1].map(|lane| of_lane(lane, options.lanes, topic.incarnation));
        broker.open(broken).await.unwrap();
        broker.close().await;
        drop(broker);
        let (servers, state) =
            (crate::place::servers(), format!("_fnaa.{}.state", options.identity));
        tokio::task::block_in_place(|| {
            let writer = Writer::new(&servers);
            writer.send(BaseRecord::<str, str>::to(&state).partition(1).key("\u{2}s").payload("x"));
            writer.flush();
        });
        let broker = open(&options).await;
        let append = |principal: &str, text: &str| Append {
            records: vec![(0, record(text.to_owned()))],
            token: token(principal, text),
        };
        let tokens: Vec<_> = (0..16).map(|number| number.to_string()).collect();
        let elsewhere = |text: &&String| {
            partition_for_key(&id(topic.incarnation, &well, text), options.lanes) == 1
        };
        assert!(tokens.iter().any(|text| elsewhere(&text)));
        for repeated in [false, true] {
            for text in &tokens {
                let written = broker.append(&topic, append(&well, text)).await.unwrap();
                assert_eq!(written, Appended { count: 1, repeated });
            }
        }
        let refused = broker.append(&topic, append(&its_own, "x")).await.unwrap_err();
        assert!(refused.to_string().contains("this host knows up to 1"), "{refused}");
        let refused = broker.open(broken).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains("this host knows up to 1"), "{refused}");
        shows(&broker, &topic, 0, &tokens).await;
    })
    .await;
}
