//! What a test asks BIND's tools.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use crate::sign::{run, tool};

/// A key that signs updates, made by `tsig-keygen`.
pub struct Key {
    name: String,
    statement: String,
}

impl Key {
    /// A new secret of hmac-sha256 under this name.
    pub fn new(name: &str) -> Self {
        let mut keygen = tool("tsig-keygen", Path::new("/"));
        keygen.args(["-a", "hmac-sha256", name]);
        Self { name: name.to_owned(), statement: run(keygen) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a configuration, or a file of the key, says.
    pub fn statement(&self) -> &str {
        &self.statement
    }

    /// Writes it to a file that only its owner can read.
    pub fn write(&self, dir: &Path) -> PathBuf {
        let path = dir.join(format!("{}.key", self.name));
        // A file of another key with this name keeps its mode, which is the same.
        let mut options = OpenOptions::new();
        let mut file =
            options.create(true).write(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(self.statement.as_bytes()).unwrap();
        path
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What dig says of a question: one try, with time for a machine that does much else.
pub fn dig(server: SocketAddr, arguments: &[&str]) -> String {
    let mut dig = tool("dig", Path::new("/"));
    // -r: nothing that the user's own file says.
    dig.args(["-r", &format!("@{}", server.ip()), "-p", &server.port().to_string()]);
    dig.args(["+tries=1", "+time=60", "+norecurse"]).args(arguments);
    run(dig)
}

/// Lets nsupdate do what a script says, after `server`; what it says, and whether it was done.
pub fn nsupdate(server: SocketAddr, script: &str) -> (bool, String) {
    let mut nsupdate = tool("nsupdate", Path::new("/"));
    nsupdate.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = nsupdate.spawn().expect("nsupdate runs");
    let mut stdin = running.stdin.take().unwrap();
    write!(stdin, "server {} {}\n{script}\n", server.ip(), server.port()).unwrap();
    drop(stdin);
    let output = running.wait_with_output().unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// The text of a zone as BIND reads it: one record a line; or what is wrong with it.
pub fn checkzone(zone: &str, text: &str) -> Result<String, String> {
    let dir = TempDir::with_prefix("bind-zone-").unwrap();
    let file = dir.path().join("zone");
    fs::write(&file, text).unwrap();
    let mut checkzone = tool("named-checkzone", dir.path());
    // -k and -n: names that only hosts must not have, and targets elsewhere, are none of our business.
    checkzone
        .args(["-q", "-i", "none", "-k", "ignore", "-n", "ignore", "-o", "-", "-s", "full", zone]);
    let output = checkzone.arg(&file).output().expect("named-checkzone runs");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stdout) + &text(&output.stderr)),
    }
}
