//! Subscriptions to flows of one's own host: as to those of others, with no network in between.

use serde_json::Value;
use stories::{Config, Fnaad, Wire, events, eventually, eventually_holds};
use tempfile::TempDir;

/// The owner's flow and the subscriber's.
const TIME: &str = "time.ana.test";
const LOCAL: &str = "time.bo.test";

/// A host that knows no others, an owner, and a user who has a namespace of his own.
struct House {
    dir: TempDir,
    host: Option<Fnaad>,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path()).with_users(&["ana", "bo"]);
        config.text += "\n[reports]\nenabled = true\n";
        config.save();
        let mut house = Self { dir, host: None };
        house.start();
        let mut root = house.wire("test");
        for user in ["ana", "bo"] {
            root.ok(&format!("CREATE NAMESPACE {user}.test"));
            root.ok(&format!("GRANT administer ON {user}.test TO user:{user}"));
        }
        house
    }

    /// One that has the owner's flow, and the two who are about it.
    fn with_flow(settings: &str) -> (Self, Wire, Wire) {
        let house = Self::new();
        let (mut ana, bo) = (house.wire("ana"), house.wire("bo"));
        ana.ok(&format!("CREATE FLOW {TIME} {settings}"));
        (house, ana, bo)
    }

    fn start(&mut self) {
        let dir = self.dir.path();
        Fnaad::arm(dir, "");
        let mortal = [("FNAAD_FAILPOINTS", &*dir.join("failpoints"))];
        self.host = Some(Fnaad::serve_with(dir, &dir.join("fnaad.toml"), &mortal));
    }

    fn kill(&mut self) {
        drop(self.host.take().unwrap().kill());
    }

    fn wire(&self, user: &str) -> Wire {
        self.host.as_ref().unwrap().login_as(user, "test")
    }

    /// The subscriber says something; the host ends itself at a place, if it comes there. Gives whether it did.
    fn dies(&mut self, place: &str, said: &str) -> bool {
        let mut bo = self.wire("bo");
        Fnaad::arm(self.dir.path(), place);
        bo.try_ask::<&str>(said, &[]);
        Fnaad::arm(self.dir.path(), "");
        let host = self.host.as_mut().unwrap();
        let died = eventually("a host that has ended or greets", || match host.has_ended() {
            true => Ok(true),
            false if Wire::try_login(host.address(), "bo", "test").is_some() => Ok(false),
            false => Err("nobody greets".to_owned()),
        });
        if died {
            self.start();
        }
        died
    }
}

fn begin() -> String {
    format!("SUBSCRIBE {TIME} LOCAL {LOCAL}")
}

fn subscribe(wire: &mut Wire, settings: &str) -> String {
    let answer = wire.data(&format!("{} {settings}", begin()));
    let [id] = &answer[..] else { panic!("{answer:?}") };
    assert!(id.ends_with(&format!(".{TIME}")) && !id.contains(' '), "the bare name: {id}");
    id.to_owned()
}

fn ask(wire: &mut Wire) -> String {
    let answer = wire.refused(&begin());
    answer.strip_prefix("450 PENDING request=").unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn subscription(wire: &mut Wire) -> Value {
    let mut all = wire.json("GET SUBSCRIPTIONS");
    assert!(all.len() <= 1, "{all:?}");
    all.pop().unwrap_or_default()
}

fn eventually_is(wire: &mut Wire, state: &str) -> Value {
    eventually(&format!("a subscription that is {state}"), || {
        let seen = subscription(wire);
        if seen["state"] == state { Ok(seen) } else { Err(seen.to_string()) }
    })
}

fn subscriber(owner: &mut Wire) -> Value {
    owner.json(&format!("GET SUBSCRIBERS {TIME}")).pop().unwrap_or_default()
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

/// A policy that masks what does not concern others.
fn masking() -> Value {
    Value::from(r#"bridge {"filter":"data.n % 5 == 0"}"#)
}

#[test]
fn a_user_subscribes_to_a_flow_of_his_own_host_as_to_one_elsewhere() {
    let (_house, mut ana, mut bo) = House::with_flow("access=open partitions=3");
    ana.write(TIME, &events(0..100));
    let id = subscribe(&mut bo, "");
    assert_eq!(subscribe(&mut bo, ""), id, "a repeat is the same subscription");
    eventually_holds(&mut bo, LOCAL, 100);
    ana.write(TIME, &events(100..150));
    eventually_holds(&mut bo, LOCAL, 150);
    assert_eq!(bo.describe(&format!("FLOW {LOCAL}"))["partitions"], 3);
    assert_eq!(bo.flows(), [TIME, LOCAL], "an open flow is seen, a subscription is no flow");
    let seen = subscription(&mut bo);
    let known = ["local", "flow", "state", "subscription", "owner"].map(|key| seen[key].clone());
    assert_eq!(known, [LOCAL, TIME, "active", &id, "user:bo"], "{seen}");
    assert_eq!(ana.data(&format!("GET SUBSCRIBERS {TIME}")), std::slice::from_ref(&id));
    eventually("what is safe there", || {
        let seen = subscriber(&mut ana);
        let acked = (0..3).map(|partition| seen["acked"][partition.to_string()].as_u64());
        let whole = acked.map(|next| next.unwrap_or(0)).sum::<u64>() == 150;
        let known = seen["principal"] == "user:bo" && seen["state"] == "active";
        if whole && known { Ok(()) } else { Err(seen.to_string()) }
    });
    // What carries it belongs to it, and a flow that somebody has is not deleted.
    let carrier = seen["processor"].as_str().unwrap();
    assert!(bo.refused(&format!("DELETE PROCESSOR {carrier}")).starts_with("409 "));
    assert!(ana.refused(&format!("DELETE FLOW {TIME}")).starts_with("409 "));
    bo.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    assert_eq!(subscription(&mut bo), Value::Null);
    assert_eq!(ana.data(&format!("GET SUBSCRIBERS {TIME}")), Vec::<String>::new());
    assert_eq!(bo.data("GET PROCESSORS"), Vec::<String>::new());
    assert_eq!(bo.read(LOCAL).len(), 150, "what came stays");
    // Which stands in the way of another one, and it is said what helps.
    let refused = bo.refused(&begin());
    assert!(refused.starts_with("409 ") && refused.contains("DELETE FLOW"), "{refused}");
    ana.ok(&format!("DELETE FLOW {TIME}"));
}

#[test]
fn either_side_holds_a_subscription_and_lets_it_go_on() {
    let (_house, mut ana, mut bo) = House::with_flow("access=open");
    let id = subscribe(&mut bo, "");
    for (from, held, (owners, users)) in
        [(0, "PAUSE", ("paused", "paused")), (20, "STOP", ("stopped", "paused"))]
    {
        ana.write(TIME, &events(from..from + 10));
        eventually_holds(&mut bo, LOCAL, from + 10);
        ana.ok(&format!("{held} {id}"));
        assert_eq!(subscriber(&mut ana)["state"], owners);
        ana.write(TIME, &events(from + 10..from + 20));
        eventually_is(&mut bo, users);
        assert_eq!(bo.read(LOCAL).len(), from + 10);
        ana.ok(&format!("RESUME {id}"));
        eventually_holds(&mut bo, LOCAL, from + 20);
        eventually_is(&mut bo, "active");
    }
    for (held, state) in [("PAUSE", "paused"), ("STOP", "stopped")] {
        bo.ok(&format!("{held} {id}"));
        let seen = subscription(&mut bo);
        assert_eq!((&seen["state"], &seen["why"]), (&state.into(), &"held here: RESUME it".into()));
        assert_eq!(subscriber(&mut ana)["state"], "active", "the owner holds nothing");
    }
    ana.write(TIME, &events(40..50));
    bo.ok(&format!("RESUME {id}"));
    assert_eq!(numbers(&eventually_holds(&mut bo, LOCAL, 50)), Vec::from_iter(0..50));
}

#[test]
fn who_has_to_ask_his_own_host_waits_for_the_owners_word() {
    let (house, mut ana, mut bo) = House::with_flow("access=ask");
    ana.write(TIME, &events(0..60));
    let request = ask(&mut bo);
    assert_eq!(ask(&mut bo), request);
    let seen = subscription(&mut bo);
    assert_eq!((&seen["state"], &seen["request"]), (&"pending".into(), &request.clone().into()));
    let asked = ana.json("GET REQUESTS");
    assert_eq!((asked.len(), &asked[0]["principal"]), (1, &"user:bo".into()), "{asked:?}");
    assert!(bo.refused(&format!("APPROVE {request}")).starts_with("404 "), "not his to say");
    // Taken back, asked again, and refused.
    bo.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    assert_eq!(ana.data("GET REQUESTS"), Vec::<String>::new());
    let request = ask(&mut bo);
    ana.ok(&format!("DENY {request} not for you"));
    let ended = eventually_is(&mut bo, "ended");
    assert!(ended["why"].as_str().unwrap().contains("not for you"), "{ended}");
    let again = bo.refused(&begin());
    assert!(again.starts_with("409 ") && again.contains("has ended"), "{again}");
    bo.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    // Approved, in parts: what the policy takes out is nowhere to be had.
    let request = ask(&mut bo);
    ana.ok(&format!("APPROVE {request} FILTER \"data.n % 3 == 0\" POLICY {}", masking()));
    eventually_is(&mut bo, "active");
    let came = eventually_holds(&mut bo, LOCAL, 4);
    assert_eq!(numbers(&came), [0, 15, 30, 45]);
    let id = subscription(&mut bo)["subscription"].as_str().unwrap().to_owned();
    assert_eq!(numbers(&bo.read(&id)), [0, 15, 30, 45]);
    for said in ["READ", "DESCRIBE FLOW", "GET SUBSCRIBERS"] {
        assert!(bo.refused(&format!("{said} {TIME}")).starts_with("404 "), "{said}");
    }
    // The owner's end of it is the end of it, and nobody's failure.
    ana.ok(&format!("REMOVE SUBSCRIBER {id}"));
    ana.write(TIME, &events(60..100));
    let ended = eventually_is(&mut bo, "ended");
    assert!(ended["why"].as_str().unwrap().contains("owner"), "{ended}");
    eventually("nothing left of it", || match bo.data("GET PROCESSORS") {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
    assert_eq!(numbers(&bo.read(LOCAL)), [0, 15, 30, 45]);
    let log = house.host.as_ref().unwrap().log();
    assert!(!log.contains("processor failed"), "{log}");
    eventually("the end of its name", || match bo.refused(&format!("READ {id}")) {
        none if none.starts_with("404 ") => Ok(()),
        other => Err(other),
    });
}

#[test]
fn a_policy_and_filters_count_for_whoever_is_of_this_host_too() {
    let (_house, mut ana, mut bo) = House::with_flow(&format!("policy={}", masking()));
    ana.ok(&format!("GRANT subscribe ON {TIME} TO user:bo"));
    ana.write(TIME, &events(0..60));
    let refused = bo.refused(&format!("{} filter=\"data.n >\"", begin()));
    assert!(refused.starts_with("400 "), "{refused}");
    assert_eq!(subscription(&mut bo), Value::Null);
    let id = subscribe(&mut bo, "filter=\"data.n % 2 == 0\"");
    assert_eq!(numbers(&eventually_holds(&mut bo, LOCAL, 6)), [0, 10, 20, 30, 40, 50]);
    assert!(bo.refused(&format!("READ {TIME}")).starts_with("403 "));
    // Another policy counts from now on.
    ana.ok(&format!("UPDATE FLOW {TIME} policy=\"\""));
    ana.write(TIME, &events(60..70));
    assert_eq!(numbers(&eventually_holds(&mut bo, LOCAL, 11))[6..], [60, 62, 64, 66, 68], "{id}");
    // What was taken as a right is taken away with it.
    ana.ok(&format!("REVOKE subscribe ON {TIME} FROM user:bo"));
    ana.write(TIME, &events(70..80));
    eventually_is(&mut bo, "ended");
    assert_eq!(bo.read(LOCAL).len(), 11);
}

#[test]
fn who_owns_a_flow_subscribes_to_it_himself() {
    let (_house, mut ana, _) = House::with_flow("");
    ana.write(TIME, &events(0..10));
    let answer =
        ana.data(&format!("SUBSCRIBE {TIME} LOCAL odd.ana.test filter=\"data.n % 2 == 1\""));
    assert_eq!(numbers(&eventually_holds(&mut ana, "odd.ana.test", 5)), [1, 3, 5, 7, 9]);
    // He is both ends, and holds as the owner.
    ana.ok(&format!("PAUSE {}", answer[0]));
    assert_eq!(subscriber(&mut ana)["state"], "paused");
    ana.ok(&format!("RESUME {}", answer[0]));
    ana.ok(&format!("UNSUBSCRIBE {}", answer[0]));
    assert_eq!(ana.flows(), ["odd.ana.test", TIME]);
}

#[test]
fn what_is_not_there_or_may_not_be_had_leaves_nothing_behind() {
    let (_house, mut ana, mut bo) = House::with_flow("access=closed");
    for (said, code) in [
        (begin(), "404 NOT_FOUND flow time.ana.test"),
        (
            "SUBSCRIBE none.ana.test LOCAL none.bo.test".to_owned(),
            "404 NOT_FOUND flow none.ana.test",
        ),
        (format!("SUBSCRIBE {TIME} LOCAL mine.ana.test"), "404 "),
        (format!("{} transport=kafka", begin()), "501 "),
        ("SUBSCRIBE time.elsewhere.example LOCAL x.bo.test".to_owned(), "501 "),
    ] {
        let answer = bo.refused(&said);
        assert!(answer.starts_with(code), "{said}: {answer}");
        assert_eq!(subscription(&mut bo), Value::Null);
    }
    assert_eq!(bo.flows(), Vec::<String>::new());
    assert_eq!(bo.data("GET PROCESSORS"), Vec::<String>::new());
    assert_eq!(ana.data("GET REQUESTS"), Vec::<String>::new());
    // A subscription is subscribed to where its events come.
    ana.ok(&format!("UPDATE FLOW {TIME} access=open"));
    let id = subscribe(&mut bo, "");
    let refused = bo.refused(&format!("SUBSCRIBE {id} LOCAL again.bo.test"));
    assert!(refused.starts_with("409 ") && refused.contains(LOCAL), "{refused}");
}

#[test]
fn events_do_not_come_back_to_where_they_were_read() {
    let (house, mut ana, mut bo) = House::with_flow("access=open");
    ana.write(TIME, &events(0..10));
    subscribe(&mut bo, "");
    let mut root = house.wire("test");
    let ring = root.refused(&format!("REPLICATE {LOCAL} {TIME}"));
    assert!(ring.starts_with("409 ") && ring.contains("come back"), "{ring}");
    // Through a second subscription neither.
    root.data(&format!("SUBSCRIBE {LOCAL} LOCAL third.flows.unix.ar"));
    eventually_holds(&mut root, "third.flows.unix.ar", 10);
    let ring = root.refused(&format!("REPLICATE third.flows.unix.ar {TIME}"));
    assert!(ring.starts_with("409 ") && ring.contains("come back"), "{ring}");
    // What would be a ring by the time of the owner's word is none either.
    ana.ok(&format!("UPDATE FLOW {TIME} access=ask"));
    let answer = bo.refused(&format!("SUBSCRIBE {TIME} LOCAL late.bo.test"));
    let request = answer.strip_prefix("450 PENDING request=").unwrap();
    root.ok("CREATE FLOW late.bo.test");
    root.ok(&format!("REPLICATE late.bo.test {TIME}"));
    ana.ok(&format!("APPROVE {request}"));
    eventually("words about the ring", || {
        let rows = bo.json("GET SUBSCRIPTIONS");
        let late = rows.iter().find(|row| row["local"] == "late.bo.test").unwrap();
        let why = late["why"].as_str().unwrap_or_default();
        if why.contains("come back") { Ok(()) } else { Err(late.to_string()) }
    });
    assert_eq!(root.read("late.bo.test"), [Value::Null; 0]);
    assert_eq!(root.read(TIME).len(), 10);
}

#[test]
fn both_ends_on_one_host_are_told_what_happens() {
    let (_house, mut ana, mut bo) = House::with_flow("access=ask");
    let told = |wire: &mut Wire, flow: &str, expected: &[&str]| {
        eventually(&format!("{expected:?} in {flow}"), || {
            let answer = wire.ask(&format!("READ {flow} FROM earliest"));
            let reports = answer.iter().filter_map(|line| serde_json::from_str(line).ok());
            let kind = |report: Value| report["type"].as_str().unwrap().to_owned();
            let kinds: Vec<String> = reports.map(kind).collect();
            let same = kinds.len() == expected.len();
            let same = same && kinds.iter().zip(expected).all(|(kind, end)| kind.ends_with(end));
            if same { Ok(()) } else { Err(format!("{kinds:?}")) }
        });
    };
    let request = ask(&mut bo);
    ana.ok(&format!("APPROVE {request}"));
    eventually_is(&mut bo, "active");
    let mut owners = vec![".subscriber.requested", ".subscriber.approved", ".subscriber.attached"];
    let mut users = vec![".subscription.pending", ".subscription.approved", ".subscription.active"];
    told(&mut ana, "reports.ana.test", &owners);
    told(&mut bo, "reports.bo.test", &users);
    bo.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    owners.push(".subscriber.ended");
    users.push(".subscription.ended");
    told(&mut ana, "reports.ana.test", &owners);
    told(&mut bo, "reports.bo.test", &users);
}

#[test]
fn the_host_is_killed_and_every_event_comes_once() {
    let (mut house, mut ana, mut bo) = House::with_flow("access=open");
    ana.write(TIME, &events(0..200));
    subscribe(&mut bo, "filter=\"data.n % 2 == 0\"");
    for from in [200, 300, 400, 500] {
        house.kill();
        house.start();
        house.wire("ana").write(TIME, &events(from..from + 100));
    }
    let mut bo = house.wire("bo");
    let came = eventually_holds(&mut bo, LOCAL, 300);
    assert_eq!(numbers(&came), Vec::from_iter((0..600).filter(|n| n % 2 == 0)));
}

/// Where the host ends itself: around every change of its registry, and every step outside of it.
const PLACES: [&str; 4] = [
    "registry.before-commit",
    "registry.committed",
    "reconciler.before-step",
    "reconciler.step-made",
];

/// Most runs for one place; there are fewer steps.
const MOST: usize = 40;

#[test]
fn the_host_is_killed_at_any_step_and_there_is_a_whole_subscription_or_none() {
    let (mut house, mut ana, _) = House::with_flow("access=open");
    ana.write(TIME, &events(0..10));
    for place in PLACES {
        for passing in 1..=MOST {
            if !begun_and_ended(&mut house, &format!("{place}:{passing}")) {
                break;
            }
            assert!(passing < MOST, "{place} is passed again and again");
        }
    }
}

/// The host ends itself at a place of SUBSCRIBE, and of UNSUBSCRIBE; gives whether it came there.
fn begun_and_ended(house: &mut House, place: &str) -> bool {
    let began = house.dies(place, &begin());
    let mut bo = house.wire("bo");
    eventually("a subscription", || match bo.ask(&begin()).first() {
        Some(line) if line == "220 DATA" => Ok(()),
        line => Err(format!("{line:?}")),
    });
    eventually_is(&mut bo, "active");
    eventually_holds(&mut bo, LOCAL, 10);
    assert_eq!(house.wire("ana").data(&format!("GET SUBSCRIBERS {TIME}")).len(), 1, "{place}");
    let end = format!("UNSUBSCRIBE {LOCAL}");
    let ended = house.dies(place, &end);
    let mut bo = house.wire("bo");
    eventually("the end of it", || match subscription(&mut bo) {
        Value::Null => Ok(()),
        seen if seen["state"] == "ending" => Err(seen.to_string()),
        seen => Err(format!("{:?} {seen}", bo.ask(&end))),
    });
    let subscribers = house.wire("ana").data(&format!("GET SUBSCRIBERS {TIME}"));
    assert_eq!(subscribers, Vec::<String>::new(), "{place}");
    assert_eq!(bo.data("GET PROCESSORS"), Vec::<String>::new(), "{place}");
    assert_eq!(bo.flows(), [TIME, LOCAL], "{place}");
    bo.ok(&format!("DELETE FLOW {LOCAL}"));
    began || ended
}
