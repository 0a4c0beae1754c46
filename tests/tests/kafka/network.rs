//! What happens to the network between a host and its Kafka: cut, silent, slow.

use std::time::Duration;

use kafka_node::{Node, Proxy, Setup};
use stories::Dice;

use crate::site::{Site, check, load, login, network, running, times};

#[test]
fn a_network_that_is_cut_silent_and_slow_costs_no_record() {
    let proxy = Proxy::start();
    let node = Node::start(Setup::default().behind(proxy.address()));
    proxy.forward(node.proxied());
    let site = Site::on(&proxy.address().to_string(), "");
    let host = site.start();
    network(&mut login(&host), 1);
    let writer = load(&node.servers());
    let mut dice = Dice::of("CHAOS_SEED");
    for _ in 0..times(1, 10) {
        dice.wait(1000, 3000);
        proxy.cut();
        dice.wait(500, 5000);
        proxy.heal();
        dice.wait(1000, 3000);
        proxy.silence();
        dice.wait(5000, 20_000);
        proxy.heal();
        dice.wait(1000, 3000);
        proxy.slow(Duration::from_millis(100), 200_000);
        dice.wait(3000, 8000);
        proxy.cut();
        proxy.heal();
    }
    running(&mut login(&host));
    check(&node.servers(), writer.stop());
}
