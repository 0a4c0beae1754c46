//! How users prove who they are: SCRAM-SHA-256 and EXTERNAL, by the user agent and octet by octet.

use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use ring::{digest, hmac, pbkdf2};
use stories::{A, Certificates, Config, Fnaad, Fnua, Wire};
use tempfile::TempDir;

use crate::identities::user;

const REFUSED: &str = "401 AUTH_REQUIRED authentication failed";

/// A host with an administrator, ana, who has both verifiers; it has a certificate, and takes those of clients
/// from the same authority.
fn host() -> (Fnaad, Certificates, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path(), &["--name", "127.0.0.1"]);
    let mut config = Config::new(dir.path());
    let (head, _) = config.text.split_once("\n[[users]]").unwrap();
    let head = head.replacen("listen", "users_file = \"users.toml\"\nlisten", 1);
    let tls = "listen_tls = [\"127.0.0.1:0\"]\n\n[tls]\ncertificate_file = \"tls/server.pem\"\n\
        key_file = \"tls/server.key\"\nclient_ca_file = \"tls/ca.pem\"\n";
    config.text = head.replacen("user:test", "user:ana", 1).replacen(
        "\n[[namespaces]]",
        &format!("{tls}\n[[namespaces]]"),
        1,
    );
    let path = config.save().to_owned();
    user(dir.path(), &["add", "ana"], "pencil");
    (Fnaad::serve(dir.path(), &path), certificates, dir)
}

/// The user agent with an agent of these keys.
fn agent(dir: &Path, address: &str, keys: &str) -> Fnua {
    let file = dir.join("agent.toml");
    std::fs::write(&file, format!("[[agents]]\nname = \"x\"\naddress = \"{address}\"\n{keys}\n"))
        .unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    Fnua::new(file)
}

fn with_password(name: &str, password: &str) -> String {
    format!("username = \"{name}\"\npassword = \"{password}\"")
}

/// How the user agent proved who it is, as its trace shows.
fn proved_by(fnua: &Fnua) -> String {
    let said = fnua.run(&["-d", "get", "flows"]);
    assert_eq!(said.code, 0, "{said:?}");
    let asked = said.stderr.lines().filter_map(|line| line.strip_prefix("C: AUTHENTICATE "));
    asked.collect::<Vec<_>>().join(" then ")
}

/// What a client sends as its proof, and what the host has to send as its own (RFC 5802, section 3).
fn proofs(password: &str, salt: &[u8], rounds: u32, said: &str) -> (String, String) {
    let sign = |key: &[u8], text: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
    };
    let (mut salted, rounds) = ([0; 32], NonZeroU32::new(rounds).unwrap());
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
    let client_key = sign(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored_key.as_ref(), said.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let host = sign(&sign(&salted, b"Server Key"), said.as_bytes());
    (BASE64_STANDARD.encode(proof), BASE64_STANDARD.encode(host))
}

#[test]
fn the_proofs_of_this_test_are_those_of_rfc_7677() {
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let said = format!(
        "n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
    );
    let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let (client, host) = proofs("pencil", &salt, 4096, &said);
    assert_eq!(client, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_eq!(host, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/// SCRAM-SHA-256 by hand; gives the last line. What the host proves of itself has to be right.
fn scram(wire: &mut Wire, name: &str, password: &str) -> String {
    let decoded = |line: &str| {
        let text = BASE64_STANDARD.decode(line.strip_prefix("330 ").expect(line)).unwrap();
        String::from_utf8(text).unwrap()
    };
    let first = format!("n={name},r=fyko+d2lbbFgONRv9qkxdawL");
    let message = BASE64_STANDARD.encode(format!("n,,{first}"));
    let challenge = decoded(&wire.ask(&format!("AUTHENTICATE SCRAM-SHA-256 {message}"))[0]);
    let fields: Vec<&str> = challenge.split(',').collect();
    let [nonce, salt, rounds] = fields[..] else { panic!("{challenge}") };
    assert!(nonce.starts_with("r=fyko+d2lbbFgONRv9qkxdawL") && nonce.len() > 40, "{challenge}");
    let salt = BASE64_STANDARD.decode(salt.strip_prefix("s=").unwrap()).unwrap();
    let rounds: u32 = rounds.strip_prefix("i=").unwrap().parse().unwrap();
    assert!(rounds >= 4096, "{challenge}");
    let bare = format!("c=biws,{nonce}");
    let (proof, own) = proofs(password, &salt, rounds, &format!("{first},{challenge},{bare}"));
    let answer = wire.ask(&BASE64_STANDARD.encode(format!("{bare},p={proof}"))).remove(0);
    if !answer.starts_with("330 ") {
        return answer;
    }
    assert_eq!(decoded(&answer), format!("v={own}"), "the host knows the user");
    wire.ask("=").remove(0)
}

#[test]
fn a_password_is_proved_with_scram_octet_by_octet_and_a_wrong_one_gets_the_one_answer() {
    let (host, certificates, _dir) = host();
    let mut clear = host.connect();
    let mut encrypted = Wire::connect_tls(host.tls_address(), &certificates.trust()).unwrap();
    for wire in [&mut clear, &mut encrypted] {
        assert!(wire.data("CAPABILITIES").contains(&"AUTH=SCRAM-SHA-256".to_owned()));
        // The attempt that failed is over: the next one on the same connection is another.
        assert_eq!(scram(wire, "ana", "pencils"), REFUSED);
        assert_eq!(scram(wire, "nobody", "pencil"), REFUSED);
        assert_eq!(scram(wire, "ana", "pencil"), "220 Authenticated");
        assert_eq!(wire.data("GET NAMESPACES"), ["flows.unix.ar"]);
    }
    let log = host.log();
    assert!(log.contains("wrong password") && !log.contains("pencil"), "{log}");
}

#[test]
fn the_user_agent_proves_a_password_without_sending_it() {
    let (host, _, dir) = host();
    let (clear, tls) = (host.address(), host.tls_address());
    let encrypted = "tls = \"implicit\"\nca_file = \"tls/ca.pem\"";
    for (address, keys) in [(clear, ""), (clear, "ca_file = \"tls/ca.pem\""), (tls, encrypted)] {
        let right = format!("{}\n{keys}", with_password("ana", "pencil"));
        assert_eq!(proved_by(&agent(dir.path(), address, &right)), "SCRAM-SHA-256");
        let wrong = format!("{}\n{keys}", with_password("ana", "pencils"));
        let said = agent(dir.path(), address, &wrong).run(&["get", "flows"]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stderr.contains(REFUSED), "{said:?}");
    }
    // Each wrong password was one attempt.
    let log = host.log();
    let failed = log.lines().filter(|line| line.contains("authentication failed"));
    assert_eq!(failed.count(), 3, "{log}");
}

#[test]
fn whoever_has_but_one_of_both_verifiers_gets_in_and_nobody_is_taken_for_one_who_guesses() {
    let (host, _, dir) = host();
    user(dir.path(), &["add", "bo", "--no-scram"], "ink");
    user(dir.path(), &["add", "cy", "--scram-only"], "chalk");
    stories::eventually("scram to be announced no more", || {
        let said = host.connect().data("CAPABILITIES");
        if said.contains(&"AUTH=SCRAM-SHA-256".to_owned()) { Err(said.join(" ")) } else { Ok(()) }
    });
    for (name, password) in [("ana", "pencil"), ("bo", "ink"), ("cy", "chalk")] {
        let keys = with_password(name, password);
        // More often than an address may fail for nothing.
        for _ in 0..6 {
            assert_eq!(proved_by(&agent(dir.path(), host.address(), &keys)), "PLAIN");
        }
    }
    for (name, password) in [("ana", "pencil"), ("cy", "chalk")] {
        let keys = format!("{}\nmechanism = \"SCRAM-SHA-256\"", with_password(name, password));
        assert_eq!(proved_by(&agent(dir.path(), host.address(), &keys)), "SCRAM-SHA-256");
    }
    assert!(!host.log().contains("authentication failed"), "{}", host.log());
    // He has no verifier for it, which is told to the log alone.
    assert_eq!(scram(&mut host.connect(), "bo", "ink"), REFUSED);
    user(dir.path(), &["passwd", "bo"], "ink");
    stories::eventually("scram to be announced again", || {
        let said = host.connect().data("CAPABILITIES");
        if said.contains(&"AUTH=SCRAM-SHA-256".to_owned()) { Ok(()) } else { Err(said.join(" ")) }
    });
}

#[test]
fn a_user_comes_in_with_his_certificate_and_as_nobody_else() {
    let (host, certificates, dir) = host();
    certificates.more(&["--client", "user:ana"]);
    let strange = Certificates::make(&dir.path().join("strange"), &["--client", "user:ana"]);
    let shown = |folder: &str| {
        format!(
            "certificate_file = \"{folder}/user-ana.pem\"\nkey_file = \"{folder}/user-ana.key\""
        )
    };
    let own = format!("{}\nca_file = \"tls/ca.pem\"", shown("tls"));
    let implicit = format!("{own}\ntls = \"implicit\"");
    for (address, keys) in [(host.address(), &own), (host.tls_address(), &implicit)] {
        assert_eq!(proved_by(&agent(dir.path(), address, keys)), "EXTERNAL");
    }
    let fnua = agent(dir.path(), host.tls_address(), &implicit);
    fnua.ok(&["create", "flow", A]);
    assert!(fnua.ok(&["describe", "flow", A]).contains("user:ana"));
    let himself = agent(dir.path(), host.address(), &format!("{own}\nas = \"user:ana\""));
    assert_eq!(proved_by(&himself), "EXTERNAL");
    let other = format!("{own}\nas = \"user:bo\"");
    assert!(strange.file("user-ana.pem").exists());
    let forged = format!("{}\nca_file = \"tls/ca.pem\"", shown("strange/tls"));
    for (keys, why) in [
        (other, "the certificate names another user"),
        (forged, "no certificate that names a user"),
    ] {
        let said = agent(dir.path(), host.address(), &keys).run(&["get", "flows"]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stderr.contains(REFUSED), "{said:?}");
        assert!(host.log().contains(why), "{}", host.log());
    }
    user(dir.path(), &["disable", "ana"], "");
    stories::eventually("the user to be kept out", || {
        let said = agent(dir.path(), host.address(), &own).run(&["get", "flows"]);
        if said.stderr.contains(REFUSED) { Ok(()) } else { Err(said.stderr) }
    });
}
