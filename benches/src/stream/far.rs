//! The same two participants far apart: each in a network of its own, and between them [`relay`](super::relay), which delays
//! every packet and loses some.
//!
//! What the kernel offers for that (netem) is in few of them; networks, veth and vxlan are in most. Needs root, and
//! says so where it cannot be.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::relay::Relay;
use super::runs::{self, Plan};
use super::two::Place;
use crate::table::{Reach, Table};

/// The word for the process that has a network of its own, in which the others' networks meet.
pub const FAR: &str = "stream-far";
/// One way.
const DELAY: Duration = Duration::from_millis(50);
/// Packets of which one is lost, each way.
const LOST: u64 = 1_000;
/// What of plain TCP's rate has to be reached.
const REACH: Reach = Reach::AtLeast(0.8);
const DEBUG: bool = cfg!(debug_assertions);

/// Runs the process, which prints a table of its own.
pub fn measure(_: &mut Table) {
    let program = std::env::current_exe().unwrap();
    let run = Command::new("unshare").arg("--net").arg(program).arg(FAR).status();
    if !run.is_ok_and(|status| status.success()) {
        eprintln!(
            "not measured: far apart; it needs root, unshare, nsenter and ip, and a kernel with vxlan"
        );
    }
}

/// What runs in that network.
pub fn run(_: &[String]) {
    ip("link set lo up");
    let networks = [Network::new(1), Network::new(2)];
    let relay = Relay::start(networks.each_ref().map(Network::address), DELAY, LOST);
    let mut table = Table::default();
    for control in controls() {
        networks.iter().for_each(|network| network.control(&control));
        let slow = control == "cubic" || control == "reno";
        let plan = Plan {
            how: format!("100 ms, 0.1 % lost, {control}"),
            events: if DEBUG {
                500
            } else if slow {
                8_000
            } else {
                100_000
            },
            partitions: if slow { &[1] } else { &[1, 4] },
            tls: false,
            rate: Reach::None,
            part: REACH,
        };
        runs::pair(&mut table, networks.each_ref().map(Network::place), &plan);
    }
    eprintln!("  relay: {}", relay.shown());
    table.print();
}

/// Congestion controls that are tried: the machine's own, and one that takes every loss for too much traffic, as most do.
fn controls() -> Vec<String> {
    let read = |name| std::fs::read_to_string(format!("{CONTROL}/{name}")).unwrap();
    let mut all = vec![read("tcp_congestion_control").trim().to_owned()];
    let allowed = read("tcp_allowed_congestion_control");
    let slow = ["cubic", "reno"]
        .into_iter()
        .find(|name| allowed.split_whitespace().any(|one| one == *name));
    all.extend(slow.map(str::to_owned));
    all.dedup();
    all
}

/// A network that is connected with ours, and through the relay with the other one.
struct Network {
    number: u8,
    /// It is there as long as some process has it.
    holder: Child,
}

impl Network {
    fn new(number: u8) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]).stdin(Stdio::null());
        let network = Self { number, holder: command.spawn().unwrap() };
        let own = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net"));
        let id = network.holder.id().to_string();
        stories::eventually("a network", || match (own(&id), own("self")) {
            (Ok(its), Ok(ours)) if its != ours => Ok(()),
            other => Err(format!("{other:?}")),
        });
        network.connect(&id);
        network
    }

    fn connect(&self, id: &str) {
        let (n, other) = (self.number, 3 - self.number);
        ip(&format!("link add near{n} type veth peer name near netns {id}"));
        ip(&format!("address add 10.89.{n}.1/24 dev near{n}"));
        ip(&format!("link set near{n} up"));
        self.ip(&format!("address add 10.89.{n}.2/24 dev near"));
        self.ip("link set near up");
        // What goes to the other one is packed into datagrams to the relay.
        self.ip(&format!(
            "link add far type vxlan id 89 dev near local 10.89.{n}.2 remote 10.89.{n}.1 dstport {PORT} nolearning noudpcsum"
        ));
        // One packet is one packet, not sixty-four kilobytes to be cut up later.
        self.ip("link set far gso_max_segs 1");
        self.ip("link set far up");
        // Loopback's addresses, because hosts of one user on one machine trust each other there: `lo` itself stays down.
        self.set("/proc/sys/net/ipv4/conf/all/route_localnet", "1");
        self.ip(&format!("address add 127.9.0.{n}/32 dev far"));
        self.ip(&format!("route add 127.9.0.{other}/32 dev far src 127.9.0.{n}"));
    }

    fn address(&self) -> std::net::SocketAddrV4 {
        std::net::SocketAddrV4::new([10, 89, self.number, 2].into(), PORT)
    }

    fn place(&self) -> Place {
        Place {
            address: format!("127.9.0.{}", self.number),
            control: Some(format!("10.89.{}.2", self.number)),
            network: Some(self.holder.id()),
        }
    }

    /// Which congestion control its connections have.
    fn control(&self, name: &str) {
        self.set(&format!("{CONTROL}/tcp_congestion_control"), name);
    }

    fn ip(&self, words: &str) {
        let mut command = self.place().command(Path::new("ip"));
        assert!(command.args(words.split(' ')).status().unwrap().success(), "ip {words}");
    }

    fn set(&self, path: &str, value: &str) {
        let mut command = self.place().command(Path::new("tee"));
        let mut tee =
            command.arg(path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        tee.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        assert!(tee.wait().unwrap().success(), "{path}");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}

/// Where vxlan is spoken.
const PORT: u16 = 4789;
const CONTROL: &str = "/proc/sys/net/ipv4";
