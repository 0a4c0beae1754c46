//! From one Kafka to another broker by patterns, as docs/mirrormaker.md says: topics that are there, topics
//! that come later, what is set on them, and what stands in the way.

use kafka_node::Node;
use stories::{eventually, eventually_holds};

use crate::flows::{produce, topic};
use crate::site::{Site, login};

#[test]
fn topics_that_are_there_and_topics_that_come_later_are_mirrored_with_what_is_set_on_them() {
    let site = Site::shared("mirror");
    let host = site.start();
    let mut wire = login(&host);
    topic("mm.orders.EU", 3, 20);
    topic("mm.internal", 1, 1);
    topic("elsewhere", 1, 1);
    wire.ok("CREATE NAMESPACE old.unix.ar BROKER kafka");
    wire.ok("CREATE NAMESPACE new.unix.ar BROKER embedded");
    let wrong = wire.refused("UPDATE NAMESPACE old.unix.ar adopt=a//b");
    assert!(wrong.starts_with("400 ") && wrong.contains("a//b"), "{wrong}");
    wire.ok("UPDATE NAMESPACE old.unix.ar adopt=mm.*,!*.internal");
    assert_eq!(wire.data("GET FLOWS old.unix.ar"), ["mm.orders.eu.old.unix.ar"]);
    let mirror = wire.ok("REPLICATE *.old.unix.ar *.new.unix.ar AS all.new.unix.ar");
    assert_eq!(wire.data("GET FLOWS new.unix.ar"), ["mm.orders.eu.new.unix.ar"]);
    eventually_holds(&mut wire, "mm.orders.eu.new.unix.ar", 20);
    // One that comes later, with a setting and before anybody looks.
    let args =
        ["--create", "--topic", "mm.pay", "--partitions", "2", "--config", "retention.ms=-1"];
    Node::shared().tool("TopicCommand", &args);
    produce("mm.pay", 0..7);
    eventually("a flow for the new topic", || {
        // A flow is listed a moment before it can be used.
        let flows = wire.json("GET FLOWS new.unix.ar");
        let ready = flows.iter().filter(|flow| flow["status"] == "active");
        if ready.count() == 2 { Ok(()) } else { Err(format!("{flows:?}")) }
    });
    eventually_holds(&mut wire, "mm.pay.new.unix.ar", 7);
    let made = wire.describe("FLOW mm.pay.new.unix.ar");
    assert_eq!((&made["partitions"], &made["config.retention.ms"]), (&2.into(), &"-1".into()));
    let seen = wire.describe(&format!("PROCESSOR {mirror}"));
    assert_eq!((&seen["state"], &seen["taken"]), (&"pattern".into(), &2.into()));
    // What cannot be taken in is told.
    topic("mm.orders_eu", 1, 0);
    topic("mm.orders-eu", 1, 0);
    eventually("the trouble", || {
        let seen = wire.describe("NAMESPACE old.unix.ar");
        let told = seen["trouble"].to_string().contains("exists");
        if told { Ok(()) } else { Err(seen.to_string()) }
    });
    // It ends, and what it made goes on.
    wire.ok(&format!("DELETE PROCESSOR {mirror}"));
    produce("mm.pay", 7..12);
    eventually_holds(&mut wire, "mm.pay.new.unix.ar", 12);
    assert!(!wire.data("GET PROCESSORS").contains(&mirror));
}
