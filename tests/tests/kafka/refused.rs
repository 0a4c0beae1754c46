//! A target that an ACL refuses, and allows again.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kafka_node::{Node, Setup};
use stories::eventually_described;

use crate::site::{BRIDGE, COPY, Site, check, load, login, network, running, times};

const USER: &str = "carrier";
const PASSWORD: &str = "a secret of its own";

#[test]
fn a_target_that_an_acl_refuses_is_waited_for_and_says_so() {
    let node = Node::start(Setup::default().user(USER, PASSWORD).acls());
    let user = format!("User:{USER}");
    let everything = ["--topic", "*", "--group", "*", "--transactional-id", "*", "--cluster"];
    let allow = ["--add", "--allow-principal", &user, "--operation", "All"];
    node.tool("AclCommand", &[&allow[..], &everything].concat());
    let site = Site::on(&node.sasl_servers(), &sasl());
    write_password(site.dir());
    let host = site.start();
    let mut wire = login(&host);
    network(&mut wire, 1);
    let writer = load(&node.servers());
    let deny = ["--deny-principal", &user, "--operation", "Write", "--topic", COPY];
    for _ in 0..times(1, 5) {
        node.tool("AclCommand", &[&["--add"], &deny[..]].concat());
        let told = eventually_described(&mut wire, BRIDGE, "the reason why it waits", |seen| {
            seen.to_string().to_lowercase().contains("authoriz")
        });
        assert!(told.to_string().contains(COPY) && told.to_string().contains("kafka"), "{told}");
        node.tool("AclCommand", &[&["--remove", "--force"], &deny[..]].concat());
        running(&mut wire);
    }
    check(&node.servers(), writer.stop());
}

fn sasl() -> String {
    format!(
        "[brokers.sasl]\nmechanism = \"SCRAM-SHA-512\"\nusername = \"{USER}\"\n\
         password_file = \"password\"\n"
    )
}

fn write_password(dir: &Path) {
    let file = dir.join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
}
