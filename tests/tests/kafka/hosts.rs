//! What happens to the host: killed, stopped and woken up, and one too many.

use kafka_node::{Node, Setup};
use rustix::process::Signal;
use stories::Dice;

use crate::site::{Site, check, commit, commits, load, login, network, running, times};

#[test]
fn killed_at_random_under_load_a_host_loses_nothing_and_repeats_nothing() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let mut host = site.start();
    network(&mut login(&host), 1);
    let writer = load(&node.servers());
    let mut dice = Dice::of("CHAOS_SEED");
    let kills = times(4, 50);
    for _ in 0..kills {
        dice.wait(200, 2500);
        host.kill();
        host = site.start();
    }
    running(&mut login(&host));
    println!("killed {kills} times");
    check(&node.servers(), writer.stop());
}

#[test]
fn a_host_that_was_stopped_past_its_session_and_wakes_up_can_commit_nothing() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let host = site.start();
    network(&mut login(&host), 1);
    assert!(host.end().success());
    let copy = site.copied();
    let first = site.start();
    running(&mut login(&first));
    let writer = load(&node.servers());
    for _ in 0..times(1, 10) {
        commits(&first, 200);
        first.signal(Signal::STOP);
        let second = copy.start();
        running(&mut login(&second));
        // What the second one commits shows that the first has lost its lanes.
        commits(&second, 2000);
        first.signal(Signal::CONT);
        commit(&[&first, &second], 500);
        assert!(second.end().success());
    }
    running(&mut login(&first));
    check(&node.servers(), writer.stop());
}

#[test]
fn two_hosts_of_one_identity_that_fight_over_the_lanes_do_everything_once() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let host = site.start();
    network(&mut login(&host), 1);
    assert!(host.end().success());
    let copy = site.copied();
    let (mut one, mut two) = (site.start(), copy.start());
    let writer = load(&node.servers());
    let mut dice = Dice::of("CHAOS_SEED");
    for _ in 0..times(2, 10) {
        dice.wait(3000, 6000);
        one.kill();
        one = site.start();
        dice.wait(3000, 6000);
        two.kill();
        two = copy.start();
    }
    drop(two);
    running(&mut login(&one));
    check(&node.servers(), writer.stop());
}
