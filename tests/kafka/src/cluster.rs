//! Several nodes that replicate to each other.

use crate::address::Address;
use crate::home::Home;
use crate::node::{Node, random_id};
use crate::setup::Setup;

/// Nodes of one cluster, each broker and controller; all end when dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
}

impl Cluster {
    /// Three nodes: one may be lost.
    pub fn three() -> Self {
        Self::start(3, Setup::default())
    }

    /// `count` nodes, ready to be used. Clear text only: each has an authority of its own.
    pub fn start(count: usize, setup: Setup) -> Self {
        assert!(!setup.tls, "a cluster has no TLS");
        Home::get().prepare();
        let addresses: Vec<_> = (0..count).map(|_| Address::claim()).collect();
        let voters: Vec<_> = addresses.iter().map(|address| address.ip).collect();
        let cluster = random_id();
        let prepare = |(address, id)| Node::prepare(setup.clone(), address, id, &voters, &cluster);
        let nodes: Vec<_> = addresses.into_iter().zip(1..).map(prepare).collect();
        nodes.iter().for_each(Node::spawn);
        nodes.iter().for_each(Node::wait_ready);
        Self { nodes }
    }

    /// `ip:port` of all, separated by commas.
    pub fn servers(&self) -> String {
        self.nodes.iter().map(Node::servers).collect::<Vec<_>>().join(",")
    }

    /// The node of id `index + 1`.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }
}
