//! Zones written down and signed, by BIND's own tools.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::zone::{Signing, Zone};

/// Writes all zones and the root above them; gives the file of the root's keys.
pub(crate) fn write_all(dir: &Path, zones: &[Zone]) -> PathBuf {
    let mut root = String::new();
    for zone in zones {
        let name = &zone.name;
        writeln!(root, "{name}. NS ns.{name}.\nns.{name}. A 127.0.0.1").unwrap();
        if zone.signing != Signing::Lame {
            write(dir, zone);
        }
        if zone.signing == Signing::Signed {
            root.push_str(&delegation(dir, zone));
        }
    }
    let root = Zone::signed("", &root);
    write(dir, &root);
    let key = keys(dir, "").next().expect("the root has a key");
    let anchors = dir.join("root.key");
    fs::copy(key, &anchors).unwrap();
    anchors
}

/// The file that the server reads.
pub(crate) fn file(dir: &Path, zone: &str) -> PathBuf {
    let name = if zone.is_empty() { "root" } else { zone };
    dir.join(format!("{name}.zone"))
}

fn write(dir: &Path, zone: &Zone) {
    let name = &zone.name;
    let text = format!(
        "$ORIGIN {name}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n{}\n",
        zone.records
    );
    let path = file(dir, name);
    fs::write(&path, text).unwrap();
    if zone.signing != Signing::Signed {
        return;
    }
    key(dir, name);
    sign(dir, zone);
    let mut signed = fs::read_to_string(&path).unwrap();
    for (from, to) in &zone.forged {
        assert!(signed.contains(from), "nothing to forge: {from} in {name}");
        signed = signed.replace(from, to);
    }
    fs::write(&path, signed).unwrap();
}

fn key(dir: &Path, zone: &str) {
    let mut keygen = tool("dnssec-keygen", dir);
    keygen.args(["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", &format!("{zone}.")]);
    run(keygen);
}

/// The zone's file is replaced; beside it lies what its parent has to know.
fn sign(dir: &Path, zone: &Zone) {
    let path = file(dir, &zone.name);
    let mut signzone = tool("dnssec-signzone", dir);
    // One key for everything; its records are put into the zone.
    signzone.args(["-q", "-z", "-S", "-K"]).arg(dir);
    signzone.args(["-o", &format!("{}.", zone.name), "-f"]).arg(&path);
    if let Some(rounds) = zone.nsec3 {
        signzone.args(["-3", "-", "-H", &rounds.to_string()]);
    }
    if zone.expired {
        // -P: a zone that is out of date is not to be looked through afterwards.
        signzone.args(["-P", "-s", "20010101000000", "-e", "20020101000000"]);
    }
    signzone.arg(&path);
    run(signzone);
}

/// DS records of a zone: of the key that signed it, or of another.
fn delegation(dir: &Path, zone: &Zone) -> String {
    if !zone.foreign_key {
        return fs::read_to_string(dir.join(format!("dsset-{}.", zone.name))).unwrap();
    }
    let elsewhere = dir.join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    key(&elsewhere, &zone.name);
    let mut ds = tool("dnssec-dsfromkey", dir);
    ds.arg(keys(&elsewhere, &zone.name).next().expect("a key"));
    run(ds)
}

fn keys(dir: &Path, zone: &str) -> impl Iterator<Item = PathBuf> {
    let begin = format!("K{zone}.+");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(move |path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&begin) && name.ends_with(".key")
    })
}

pub(crate) fn tool(name: &str, dir: &Path) -> Command {
    let found = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]
        .map(|place| Path::new(place).join(name));
    let Some(path) = found.into_iter().find(|path| path.exists()) else {
        panic!("missing: {name} of BIND 9; run `make bind`");
    };
    let mut command = Command::new(path);
    command.current_dir(dir);
    command
}

pub(crate) fn run(mut command: Command) -> String {
    let ran = command.output().expect("BIND's tools run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{command:?}: {}{}", text(&ran.stdout), text(&ran.stderr));
    text(&ran.stdout)
}
