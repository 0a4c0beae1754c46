//! The owner's side of subscriptions: who gets one, who has to ask, what the owner says, and how they end.
//!
//! The other side is the agent of the domain `emiliano.ar`, which DNS and its certificate prove.

use std::path::{Path, PathBuf};
use std::process::Command;

use bind_node::{Bind, Zone};
use serde_json::Value;
use stories::{
    A, B, Config, Fnaad, Fnua, Trust, Wire, age_subscriptions, drop_in, eventually, guest, program,
};
use tempfile::TempDir;

use crate::domains;

const DOMAIN: &str = "emiliano.ar";
const REF: &str = "6f0c1d7e-6d0b-4f0e-9d8f-0a1b2c3d4e5f";
const NO_FLOW: &str = "404 NOT_FOUND flow a.flows.unix.ar";

/// A host whose flow `a` belongs to `owner`, and what the agent of a domain needs to come to it.
struct House {
    host: Option<Fnaad>,
    agent: Trust,
    config: PathBuf,
    _bind: Bind,
    dir: TempDir,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let bind = Bind::start(&[Zone::signed(DOMAIN, domains::AGENT)]);
    let agents = domains::agent(&dir.path().join("agents"), DOMAIN);
    let mut config = Config::new(dir.path()).with_users(&["owner", "ana"]);
    config.text = config.text.replacen("listen", "anonymous = true\nlisten", 1);
    let trust = domains::believe(&mut config, dir.path(), &bind, &agents);
    let agent = trust.showing(&agents, "domain-emiliano.ar");
    let config = config.save().to_owned();
    let mut house = House { host: None, agent, config, _bind: bind, dir };
    house.start();
    house.root().ok("GRANT administer ON flows.unix.ar TO user:owner");
    house.owner().ok(&format!("CREATE FLOW {A}"));
    house
}

impl House {
    fn start(&mut self) {
        let places = self.dir.path().join("failpoints");
        Fnaad::arm(self.dir.path(), "");
        let environment: [(&str, &Path); 1] = [("FNAAD_FAILPOINTS", &places)];
        self.host = Some(Fnaad::serve_with(self.dir.path(), &self.config, &environment));
    }

    /// Ends the host at once, and lets time pass before another one starts.
    fn sleep(&mut self, minutes: u32) {
        self.host.take().unwrap().kill();
        if minutes > 0 {
            age_subscriptions(&self.dir.path().join("data"), minutes);
        }
        self.start();
    }

    fn host(&self) -> &Fnaad {
        self.host.as_ref().unwrap()
    }

    fn root(&self) -> Wire {
        self.host().login_as("test", "test")
    }

    fn owner(&self) -> Wire {
        self.host().login_as("owner", "test")
    }

    fn domain(&self) -> Wire {
        let (wire, answer) = domains::come(self.host(), &self.agent, DOMAIN);
        assert_eq!(answer, "220 Authenticated");
        wire
    }

    /// The user agent of the owner.
    fn fnua(&self) -> Fnua {
        let text = format!(
            "[[agents]]\nname = \"home\"\naddress = \"{}\"\nusername = \"owner\"\npassword = \"test\"\n\
             namespaces = [\"flows.unix.ar\"]\n",
            self.host().address()
        );
        let file = self.dir.path().join("fnua.toml");
        std::fs::write(&file, text).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, private).unwrap();
        Fnua::new(file)
    }
}

/// The one name that SUBSCRIBE answers.
fn subscribe(wire: &mut Wire, command: &str) -> String {
    let names = wire.data(&format!("SUBSCRIBE {command}"));
    let [name] = names.as_slice() else { panic!("{names:?}") };
    let id = name.strip_suffix(".flows.unix.ar").and_then(|name| name.split_once('.'));
    assert!(id.is_some_and(|(id, _)| id.len() == 16), "{name}");
    name.clone()
}

/// The id of the request that waits.
fn asked(wire: &mut Wire, command: &str) -> String {
    let line = wire.refused(&format!("SUBSCRIBE {command}"));
    let request = line.strip_prefix("450 PENDING request=");
    request.unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// What the owner sees of one subscription to flow `a`.
fn seen(owner: &mut Wire, name: &str) -> Value {
    let rows = owner.json(&format!("GET SUBSCRIBERS {A}"));
    let found = rows.iter().find(|row| row["subscription"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {rows:?}")).clone()
}

fn assert_ended(owner: &mut Wire, name: &str, why: &str) {
    let row = seen(owner, name);
    assert_eq!((row["state"].as_str(), row["why"].as_str()), (Some("ended"), Some(why)), "{row}");
}

#[test]
fn what_a_domain_without_a_right_gets_is_what_access_says() {
    let house = house();
    let (mut owner, mut domain) = (house.owner(), house.domain());
    let mut ana = house.host().login_as("ana", "test");
    let mut nobody = house.host().connect();
    assert_eq!(nobody.ask("AUTHENTICATE ANONYMOUS ="), ["220 Authenticated"]);
    let subscribe_a = format!("SUBSCRIBE {A}");
    for (access, begins) in [
        ("closed", NO_FLOW),
        ("domains=other.ar,third.ar", NO_FLOW),
        ("ask", "450 PENDING request="),
        ("domains=other.ar,emiliano.ar", "220 DATA"),
        ("open", "220 DATA"),
    ] {
        owner.ok(&format!("UPDATE FLOW {A} access={access}"));
        let answer = domain.ask(&subscribe_a);
        assert!(answer[0].starts_with(begins), "{access}: {answer:?}");
        // It is for domains: a user without a right has nothing to do with it, and who is nobody in particular
        // has no subscriptions.
        let (ana, nobody) = (ana.ask(&subscribe_a), nobody.ask(&subscribe_a));
        if access == "open" {
            assert_eq!(ana[0], "220 DATA");
            assert!(nobody[0].starts_with("403 FORBIDDEN "), "{nobody:?}");
        } else {
            assert_eq!((ana[0].as_str(), nobody[0].as_str()), (NO_FLOW, NO_FLOW), "{access}");
        }
    }
    // As where there is no such flow at all.
    assert_eq!(domain.refused(&format!("SUBSCRIBE {B}")), NO_FLOW.replace(A, B));
    // A flow whose events it may read, and no more, is no secret to it.
    house.root().ok(&format!("GRANT read ON {A} TO domain:{DOMAIN}"));
    owner.ok(&format!("UPDATE FLOW {A} access=closed"));
    assert_eq!(
        domain.refused(&subscribe_a),
        format!("403 FORBIDDEN subscribe on {A} is not granted")
    );
}

#[test]
fn the_same_reference_is_the_same_subscription_and_what_is_wrong_is_told() {
    let mut house = house();
    let mut owner = house.owner();
    owner.ok(&format!("GRANT subscribe ON {A} TO domain:{DOMAIN}"));
    let mut domain = house.domain();
    let name = subscribe(&mut domain, &format!("{A} REF={REF} filter=\"data.n > 1\""));
    let plain = subscribe(&mut domain, A);
    assert_ne!(name, plain);
    let row = seen(&mut owner, &name);
    let shown = ["principal", "state", "filter", "ref"].map(|key| row[key].as_str().unwrap());
    assert_eq!(shown, ["domain:emiliano.ar", "active", "data.n > 1", REF]);
    for (said, code) in [
        ("REF=1", "400 BAD_FORMAT REF is a uuid"),
        ("rate=2", "400 BAD_FORMAT rate is no setting of a subscription"),
        ("filter=\"data.n >\"", "400 BAD_FORMAT "),
        ("filter=\"true) || (true\"", "400 BAD_FORMAT "),
        (&format!("REF={REF}"), "409 CONFLICT "),
    ] {
        let answer = domain.refused(&format!("SUBSCRIBE {A} {said}"));
        assert!(answer.starts_with(code), "{said}: {answer}");
    }
    house.sleep(0);
    let mut domain = house.domain();
    let again = subscribe(&mut domain, &format!("{A} REF={REF} filter=\"data.n > 1\""));
    assert_eq!((again, subscribe(&mut domain, A)), (name.clone(), plain.clone()));
    let mut owner = house.owner();
    let mut names = owner.data(&format!("GET SUBSCRIBERS {A}"));
    names.sort();
    let mut expected = [name, plain];
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn a_request_waits_for_the_owner_who_says_yes() {
    let mut house = house();
    let (mut owner, mut domain) = (house.owner(), house.domain());
    let wanted = format!("{A} REF={REF} filter=\"data.n > 1\"");
    let request = asked(&mut domain, &wanted);
    assert_eq!(asked(&mut domain, &wanted), request);
    assert_ne!(asked(&mut domain, A), request);
    let line = format!("request={request} flow={A} principal=domain:{DOMAIN} state=pending");
    assert!(owner.data("GET REQUESTS").contains(&line));
    // They are the owner's to see and to answer.
    let mut ana = house.host().login_as("ana", "test");
    for wire in [&mut ana, &mut domain] {
        assert!(wire.data("GET REQUESTS").is_empty());
        for command in [format!("APPROVE {request}"), format!("DENY {request}")] {
            let expected = format!("404 NOT_FOUND request {request}");
            assert_eq!(wire.refused(&command), expected);
        }
    }
    for (wrong, code) in [
        ("FILTER \"data.n >\"", "400 "),
        ("POLICY nosuch", "404 "),
        ("POLICY \"bridge {\\\"nosuch\\\":1}\"", "400 "),
    ] {
        let answer = owner.refused(&format!("APPROVE {request} {wrong}"));
        assert!(answer.starts_with(code), "{wrong}: {answer}");
    }
    let yes = format!("APPROVE {request} FILTER \"data.n < 9\" POLICY \"bridge {{}}\"");
    let name = owner.ok(&yes);
    assert_eq!(owner.ok(&yes), name, "a repeat is harmless");
    for other in [format!("APPROVE {request}"), yes.replacen("n < 9", "n < 8", 1)] {
        let told =
            format!("409 CONFLICT request {request} was approved with another filter or policy: ");
        assert!(owner.refused(&other).starts_with(&told), "{other}");
    }
    house.sleep(0);
    let (mut owner, mut domain) = (house.owner(), house.domain());
    assert_eq!(subscribe(&mut domain, &wanted), name);
    let row = seen(&mut owner, &name);
    let shown =
        ["filter", "owner-filter", "policy", "approved-by"].map(|key| row[key].as_str().unwrap());
    assert_eq!(shown, ["data.n > 1", "data.n < 9", "bridge {}", "user:owner"]);
    // The yes was for that one.
    asked(&mut domain, &format!("{A} REF=00000000-0000-0000-0000-000000000001"));
}

#[test]
fn who_has_asked_takes_it_back_by_its_reference_and_a_no_stays_a_no() {
    let house = house();
    let (mut owner, mut domain) = (house.owner(), house.domain());
    let mut ana = house.host().login_as("ana", "test");
    let take_back = format!("UNSUBSCRIBE {A} REF={REF}");
    let none = format!("404 NOT_FOUND subscription {A} with ref {REF}");
    assert_eq!(domain.refused(&take_back), none);
    let request = asked(&mut domain, &format!("{A} REF={REF}"));
    for wire in [&mut ana, &mut owner] {
        assert_eq!(wire.refused(&take_back), none, "it is somebody else's");
    }
    assert_eq!(domain.ok(&take_back), A);
    assert!(owner.data("GET REQUESTS").is_empty());
    assert_eq!(
        owner.refused(&format!("APPROVE {request}")),
        format!("404 NOT_FOUND request {request}")
    );
    // Denied is denied.
    let request = asked(&mut domain, &format!("{A} REF={REF}"));
    owner.ok(&format!("DENY {request} no"));
    assert_eq!(domain.refused(&take_back), none);
    assert_eq!(domain.refused(&format!("SUBSCRIBE {A} REF={REF}")), "403 FORBIDDEN denied: no");
    let name = owner.ok(&format!("APPROVE {request}"));
    assert_eq!(domain.ok(&take_back), A);
    assert_eq!(domain.ok(&take_back), A, "a repeat is harmless");
    assert_ended(&mut owner, &name, "unsubscribed");
    for wrong in ["REF=1", "filter=x", &format!("REF={REF} filter=x")] {
        let answer = domain.refused(&format!("UNSUBSCRIBE {A} {wrong}"));
        assert!(answer.starts_with("400 BAD_FORMAT "), "{wrong}: {answer}");
    }
    owner.ok(&format!("UPDATE FLOW {A} access=open"));
    let name = subscribe(&mut domain, A);
    owner.ok(&format!("REMOVE SUBSCRIBER {name}"));
    // Who did what is written down with the names that GET REQUESTS shows.
    let path = house.dir.path().join("data/audit.log");
    let (theirs, ours) = (&*format!("domain:{DOMAIN}"), "user:owner");
    for (change, who) in [
        ("request", theirs),
        ("withdrawal", theirs),
        ("denial", ours),
        ("approval", ours),
        ("unsubscription", theirs),
        ("removal", ours),
    ] {
        eventually(&format!("{change} by {who} in the audit log"), || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let mut lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            let found = lines.any(|line: Value| line["change"] == change && line["who"] == who);
            if found { Ok(()) } else { Err(text) }
        });
    }
}

#[test]
fn a_no_is_told_with_its_reason_until_the_request_would_have_expired() {
    let mut house = house();
    let request = asked(&mut house.domain(), A);
    house.owner().ok(&format!("DENY {request} we do not know you"));
    house.owner().ok(&format!("DENY {request} we do not know you"));
    house.sleep(6 * 24 * 60);
    let said = format!("SUBSCRIBE {A}");
    let no = "403 FORBIDDEN denied: we do not know you";
    assert_eq!(house.domain().refused(&said), no);
    assert_eq!(house.owner().json("GET REQUESTS")[0]["reason"], "we do not know you");
    house.sleep(2 * 24 * 60);
    assert_ne!(asked(&mut house.domain(), A), request);
    eventually("the old request to be forgotten", || {
        let rows = house.owner().json("GET REQUESTS");
        if rows.len() == 1 { Ok(()) } else { Err(format!("{rows:?}")) }
    });
}

#[test]
fn a_request_that_nobody_answers_expires() {
    let mut house = house();
    let request = asked(&mut house.domain(), A);
    house.sleep(8 * 24 * 60);
    let gone = format!("404 NOT_FOUND request {request}");
    assert_eq!(house.owner().refused(&format!("APPROVE {request}")), gone);
    eventually("the request to be forgotten", || {
        let rows = house.owner().data("GET REQUESTS");
        if rows.is_empty() { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    assert_ne!(asked(&mut house.domain(), A), request);
}

#[test]
fn a_subscription_to_which_nobody_attaches_ends_by_itself() {
    let mut house = house();
    house.owner().ok(&format!("UPDATE FLOW {A} access=open"));
    let wanted = format!("{A} REF={REF}");
    let name = subscribe(&mut house.domain(), &wanted);
    house.sleep(11);
    eventually("its end", || {
        let row = seen(&mut house.owner(), &name);
        if row["why"] == "unused" { Ok(()) } else { Err(row.to_string()) }
    });
    assert!(house.owner().data(&format!("GET SUBSCRIBERS {A}")).is_empty());
    assert_ne!(subscribe(&mut house.domain(), &wanted), name);
}

#[test]
fn what_is_not_covered_any_more_has_ended_when_that_is_answered() {
    let house = house();
    let (mut owner, mut domain) = (house.owner(), house.domain());
    let access =
        |owner: &mut Wire, access: &str| owner.ok(&format!("UPDATE FLOW {A} access={access}"));
    // A right that is revoked.
    owner.ok(&format!("GRANT subscribe ON flows.unix.ar TO domain:{DOMAIN}"));
    let name = subscribe(&mut domain, A);
    access(&mut owner, "closed");
    assert_eq!(seen(&mut owner, &name)["state"], "active", "a right is a right");
    owner.ok(&format!("REVOKE subscribe ON flows.unix.ar FROM domain:{DOMAIN}"));
    assert_ended(&mut owner, &name, "revoked");
    assert_eq!(domain.refused(&format!("SUBSCRIBE {A}")), NO_FLOW);
    // `access` that says otherwise.
    for (before, after) in [("open", "ask"), ("domains=emiliano.ar", "domains=other.ar")] {
        access(&mut owner, before);
        let name = subscribe(&mut domain, A);
        access(&mut owner, after);
        assert_ended(&mut owner, &name, "revoked");
    }
    // What was approved is like a right, and is revoked like one.
    access(&mut owner, "ask");
    let request = asked(&mut domain, A);
    let name = owner.ok(&format!("APPROVE {request}"));
    access(&mut owner, "closed");
    assert_eq!(seen(&mut owner, &name)["state"], "active");
    owner.ok(&format!("REVOKE subscribe ON {A} FROM domain:{DOMAIN}"));
    assert_ended(&mut owner, &name, "revoked");
    assert_eq!(domain.refused(&format!("SUBSCRIBE {A}")), NO_FLOW);
}

#[test]
fn a_subscription_ends_with_the_user_whose_it_is() {
    let house = house();
    let mut owner = house.owner();
    owner.ok(&format!("GRANT subscribe ON {A} TO user:ana"));
    let name = subscribe(&mut house.host().login_as("ana", "test"), A);
    let text = std::fs::read_to_string(&house.config).unwrap();
    let (before, ana) = text.split_once("\n[[users]]\nname = \"ana\"").unwrap();
    assert!(!ana.contains("[["), "the last one: {ana}");
    std::fs::write(&house.config, before).unwrap();
    house.host().signal(rustix::process::Signal::HUP);
    eventually("the end of what was hers", || {
        let row = seen(&mut owner, &name);
        if row["why"] == "revoked" { Ok(()) } else { Err(row.to_string()) }
    });
    assert_eq!(seen(&mut owner, &name)["reason"], "user:ana was removed from the users");
}

#[test]
fn the_owner_holds_and_ends_what_others_have_and_the_subscriber_what_is_his() {
    let house = house();
    let (mut owner, mut domain) = (house.owner(), house.domain());
    let mut ana = house.host().login_as("ana", "test");
    owner.ok(&format!("UPDATE FLOW {A} access=open"));
    let wanted = format!("{A} REF={REF}");
    let name = subscribe(&mut domain, &wanted);
    for (verb, state) in [("PAUSE", "paused"), ("STOP", "stopped"), ("RESUME", "active")] {
        let command = format!("{verb} {name}");
        for wire in [&mut ana, &mut domain] {
            // Nobody else, not even whose it is; and a name of nothing is answered the same.
            let answer = wire.refused(&command);
            assert_eq!(answer, format!("404 NOT_FOUND flow or processor {name}"));
        }
        assert_eq!(owner.ok(&command), name);
        assert_eq!(owner.ok(&command), name);
        assert_eq!(seen(&mut owner, &name)["state"], state);
    }
    let remove = format!("REMOVE SUBSCRIBER {name}");
    assert!(domain.refused(&remove).starts_with("403 FORBIDDEN administer "));
    for wire in [&mut ana, &mut owner] {
        let none = format!("404 NOT_FOUND subscription {name}");
        assert_eq!(wire.refused(&format!("UNSUBSCRIBE {name}")), none);
    }
    domain.ok(&format!("UNSUBSCRIBE {name}"));
    domain.ok(&format!("UNSUBSCRIBE {name}"));
    assert_ended(&mut owner, &name, "unsubscribed");
    let name = subscribe(&mut domain, &wanted);
    assert!(owner.refused(&format!("DELETE FLOW {A}")).contains(&name));
    owner.ok(&format!("REMOVE SUBSCRIBER {name}"));
    owner.ok(&format!("REMOVE SUBSCRIBER {name}"));
    assert_ended(&mut owner, &name, "removed");
    assert!(owner.refused(&format!("RESUME {name}")).starts_with("409 CONFLICT "));
    // What asks again by itself is told so, and no other flow of this name knows of it.
    let answer = domain.refused(&format!("SUBSCRIBE {wanted}"));
    assert_eq!(answer, "403 FORBIDDEN by the owner of the flow");
    owner.ok(&format!("DELETE FLOW {A}"));
    owner.ok(&format!("CREATE FLOW {A} access=open"));
    assert!(owner.json(&format!("GET SUBSCRIBERS {A}")).is_empty());
    assert_ne!(subscribe(&mut domain, &wanted), name);
}

/// Says a command to a host that ends at a place of it, lets the next one start, and says it again.
fn killed(house: &mut House, place: &str, who: fn(&House) -> Wire, command: &str) -> Vec<String> {
    let mut wire = who(house);
    Fnaad::arm(house.dir.path(), place);
    let answer = wire.try_ask::<&str>(command, &[]);
    assert_eq!(answer, None, "{command} was not killed at {place}");
    house.host.take().unwrap().kill();
    house.start();
    who(house).ask(command)
}

#[test]
fn killed_at_any_step_of_asking_and_answering_there_is_one_request_or_one_subscription() {
    let mut house = house();
    for (number, place) in
        ["registry.before-commit:1", "registry.committed:1"].into_iter().enumerate()
    {
        let flow = format!("k{number}.flows.unix.ar");
        house.owner().ok(&format!("CREATE FLOW {flow}"));
        let ask = format!("SUBSCRIBE {flow} REF={REF}");
        let refused = format!("SUBSCRIBE {flow}");
        for (ask, refuses) in [(ask, false), (refused, true)] {
            let pending = killed(&mut house, place, House::domain, &ask).remove(0);
            let request = pending.strip_prefix("450 PENDING request=").unwrap().to_owned();
            let rows = house.owner().json("GET REQUESTS");
            assert_eq!(rows.len(), 1, "{place}: {rows:?}");
            assert_eq!(rows[0]["request"], *request);
            if refuses {
                let said = killed(&mut house, place, House::owner, &format!("DENY {request} no"));
                assert_eq!(said, ["220 OK"], "{place}");
                assert_eq!(house.domain().refused(&ask), "403 FORBIDDEN denied: no");
                continue;
            }
            let said = killed(&mut house, place, House::owner, &format!("APPROVE {request}"));
            let name = said[0].strip_prefix("220 OK ").unwrap().to_owned();
            assert!(house.owner().data("GET REQUESTS").is_empty(), "{place}");
            let got = killed(&mut house, place, House::domain, &ask);
            assert_eq!(got, ["220 DATA", &name, "220 OK"], "{place}");
            let rows = house.owner().json(&format!("GET SUBSCRIBERS {flow}"));
            assert_eq!(rows.len(), 1, "{place}: {rows:?}");
        }
        // What was said no to is gone with its flow.
        let names = house.owner().data(&format!("GET SUBSCRIBERS {flow}"));
        let mut owner = house.owner();
        names.iter().for_each(|name| drop(owner.ok(&format!("REMOVE SUBSCRIBER {name}"))));
        owner.ok(&format!("DELETE FLOW {flow}"));
        assert!(owner.data("GET REQUESTS").is_empty());
    }
}

#[test]
fn fnua_shows_who_asks_and_says_what_the_owner_says() {
    let house = house();
    let (mut owner, mut domain) = (house.owner(), house.domain());
    let fnua = house.fnua();
    let request = asked(&mut domain, &format!("{A} REF={REF}"));
    let other = asked(&mut domain, A);
    let said = fnua.run(&["get", "requests"]);
    assert!(said.stdout.contains(&request) && said.stdout.contains(DOMAIN), "{said:?}");
    let said = fnua.run(&["approve", &request, "--filter", "data.n > 1"]);
    assert_eq!(said.code, 0, "{said:?}");
    let name = subscribe(&mut domain, &format!("{A} REF={REF}"));
    assert_eq!(seen(&mut owner, &name)["owner-filter"], "data.n > 1");
    assert!(fnua.run(&["get", "subscribers", A]).stdout.contains(&name));
    assert_eq!(fnua.run(&["deny", &other, "not you"]).code, 0);
    assert_eq!(domain.refused(&format!("SUBSCRIBE {A}")), "403 FORBIDDEN denied: not you");
    assert_eq!(fnua.run(&["pause", &name]).code, 0);
    assert_eq!(seen(&mut owner, &name)["state"], "paused");
    assert_eq!(fnua.run(&["remove", "subscriber", &name]).code, 0);
    assert_ended(&mut owner, &name, "removed");
}

#[test]
fn what_a_policy_is_configured_with_stands_in_no_audit_log() {
    let house = house();
    let (mut owner, mut domain) = (house.owner(), house.domain());
    let request = asked(&mut domain, A);
    // The bridge knows no such setting; said it was, all the same.
    owner.refused(&format!(
        "APPROVE {request} POLICY \"bridge {{\\\"password\\\":\\\"s3cret\\\"}}\""
    ));
    let name = owner.ok(&format!("APPROVE {request} POLICY \"bridge {{}}\""));
    let path = house.dir.path().join("data/audit.log");
    let line = eventually("the approval in the audit log", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(!text.contains("s3cret"), "{text}");
        let found = text.lines().find(|line| line.contains("\"approval\"")).map(str::to_owned);
        found.ok_or(text)
    });
    assert!(line.contains(&name) && line.contains("user:owner"), "{line}");
    assert!(line.contains("POLICY (not shown)"), "{line}");
    assert!(!house.host().log().contains("s3cret"));
}

#[test]
fn a_type_that_makes_what_a_subscriber_gets_is_not_removed() {
    let house = house();
    let (mut owner, mut domain) = (house.owner(), house.domain());
    drop_in(&house.dir.path().join("data/plugins"), "guest.wasm", guest());
    let request = asked(&mut domain, A);
    let approved = format!("APPROVE {request} POLICY \"guest {{}}\"");
    let name = eventually("the type", || {
        let told = owner.ask(&approved).pop().unwrap_or_default();
        told.strip_prefix("220 OK ").map(str::to_owned).ok_or(told)
    });
    let remove = || {
        let mut command = Command::new(program("fnaad"));
        let output = command
            .args(["plugins", "remove", "guest", "--force", "--config"])
            .arg(&house.config)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let told = remove();
    assert!(told.contains(&format!("guest makes what subscription {name} gets")), "{told}");
    assert!(house.dir.path().join("data/plugins/guest.wasm").exists());
    owner.ok(&format!("REMOVE SUBSCRIBER {name}"));
    let told = remove();
    assert!(told.contains("guest is removed"), "{told}");
}
