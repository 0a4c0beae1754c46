//! Two participants, each with its host, broker and name server: who subscribes elsewhere knows nothing but a flow's
//! name.

use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::Value;
use stories::{At, Fnaad, Wire, event, events, eventually, eventually_holds};

pub(crate) const TIME: &str = "time.flows.unix.ar";
pub(crate) const LOCAL: &str = "emiliano.ar-time.flows.unix.ar";

/// The draft's two participants.
pub(crate) struct Two {
    dir: tempfile::TempDir,
    places: [At; 2],
    hosts: [Option<Fnaad>; 2],
    /// What else stands in the configuration of a host that is started.
    pub(crate) more: String,
    /// The same, before all of its tables.
    pub(crate) keys: String,
}

pub(crate) const UNIX: usize = 0;
pub(crate) const EMILIANO: usize = 1;

impl Two {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// The same with something more in the configuration of both hosts.
    pub(crate) fn start_with(more: &str) -> Self {
        let [a, b] = stories::own_network();
        let place = |domain, namespace, last| {
            let address = [127, a, b, last];
            At { domain, namespace, address, port: 61_000 }
        };
        let places = [place("unix.ar", "flows.unix.ar", 1), place("emiliano.ar", "emiliano.ar", 2)];
        let dir = tempfile::tempdir().unwrap();
        let (hosts, more, keys) = ([None, None], more.to_owned(), String::new());
        let mut two = Self { dir, places, hosts, more, keys };
        two.start_one(UNIX);
        two.start_one(EMILIANO);
        two
    }

    pub(crate) fn dir_of(&self, which: usize) -> PathBuf {
        self.dir.path().join(self.places[which].domain)
    }

    pub(crate) fn start_one(&mut self, which: usize) {
        let (place, other) = (self.places[which], self.places[1 - which]);
        let dir = self.dir_of(which);
        std::fs::create_dir_all(&dir).unwrap();
        let mut config = place.config(&dir, &[other], &self.dir.path().join("peers.secret"));
        config.text += &self.more;
        let keys = format!("{}\n[[namespaces]]", self.keys);
        config.text = config.text.replacen("\n[[namespaces]]", &keys, 1);
        Fnaad::arm(&dir, "");
        let mortal = [("FNAAD_FAILPOINTS", &*dir.join("failpoints"))];
        self.hosts[which] = Some(Fnaad::serve_with(&dir, config.save(), &mortal));
    }

    /// The user says something; one of the hosts ends itself at a place, if it comes there. Gives whether it did.
    pub(crate) fn dies(&mut self, which: usize, place: &str, said: &str) -> bool {
        let mut user = self.wire(EMILIANO);
        Fnaad::arm(&self.dir_of(which), place);
        user.try_ask::<&str>(said, &[]);
        Fnaad::arm(&self.dir_of(which), "");
        let host = self.hosts[which].as_mut().unwrap();
        let died = eventually("a host that has ended or greets", || {
            if host.has_ended() {
                return Ok(true);
            }
            let mut greeting = [0; 4];
            let mut stream =
                TcpStream::connect(host.address()).map_err(|error| error.to_string())?;
            stream.read_exact(&mut greeting).map_err(|error| error.to_string())?;
            Ok::<_, String>(false)
        });
        if died {
            self.start_one(which);
        }
        died
    }

    /// Somebody says something to a host that ends itself at a place which it surely comes to; another one starts.
    pub(crate) fn surely_dies(&mut self, which: usize, place: &str, said: &str) {
        let mut wire = self.wire(which);
        Fnaad::arm(&self.dir_of(which), place);
        wire.try_ask::<&str>(said, &[]);
        let host = self.hosts[which].as_mut().unwrap();
        host.until_ended(place);
        self.start_one(which);
    }

    pub(crate) fn kill(&mut self, which: usize) {
        self.hosts[which].take().unwrap().kill();
    }

    /// Kills a host; another one starts at this port.
    pub(crate) fn moves(&mut self, which: usize, port: u16) {
        self.kill(which);
        self.start_at(which, port);
    }

    pub(crate) fn start_at(&mut self, which: usize, port: u16) {
        self.places[which].port = port;
        self.start_one(which);
    }

    /// The name server of a host's zone, as `--resolve` takes it.
    pub(crate) fn resolves(&self, which: usize) -> String {
        let place = self.places[which];
        format!("{}={}:5300", place.domain, place.text())
    }

    pub(crate) fn wire(&self, which: usize) -> Wire {
        self.hosts[which].as_ref().unwrap().login_as("test", "test")
    }
}

pub(crate) fn subscribe(wire: &mut Wire) -> String {
    let answer = wire.data(&format!("SUBSCRIBE {TIME} LOCAL {LOCAL}"));
    let [line] = &answer[..] else { panic!("{answer:?}") };
    let id = line.strip_prefix(&format!("{LOCAL} SUBSCRIBED TO ")).unwrap();
    assert!(id.ends_with(&format!(".{TIME}")), "{line}");
    id.to_owned()
}

pub(crate) fn subscription(wire: &mut Wire) -> Value {
    let mut all = wire.json("GET SUBSCRIPTIONS");
    assert!(all.len() <= 1, "{all:?}");
    all.pop().unwrap_or_default()
}

pub(crate) fn eventually_is(wire: &mut Wire, state: &str) -> Value {
    eventually(&format!("a subscription that is {state}"), || {
        let seen = subscription(wire);
        if seen["state"] == state { Ok(seen) } else { Err(seen.to_string()) }
    })
}

#[test]
fn a_user_subscribes_to_a_flow_of_another_participant_by_its_name_alone() {
    let two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open partitions=3"));
    owner.write(TIME, &events(0..100));
    let id = subscribe(&mut user);
    assert_eq!(subscribe(&mut user), id, "a repeat is the same subscription");
    eventually_holds(&mut user, LOCAL, 100);
    owner.write(TIME, &events(100..150));
    eventually_holds(&mut user, LOCAL, 150);
    let here = user.describe(&format!("FLOW {LOCAL}"));
    assert_eq!((&here["alias"], &here["partitions"]), (&true.into(), &3.into()), "{here}");
    let seen = subscription(&mut user);
    assert_eq!((&seen["state"], &seen["subscription"]), (&"active".into(), &id.clone().into()));
    assert_eq!(owner.data(&format!("GET SUBSCRIBERS {TIME}")), std::slice::from_ref(&id));
    assert_eq!(user.flows(), [LOCAL], "what lies elsewhere is no flow of this host");
    // What carries it belongs to it.
    let carrier = user.json("GET PROCESSORS")[0]["processor"].as_str().unwrap().to_owned();
    let refused = user.refused(&format!("DELETE PROCESSOR {carrier}"));
    assert!(refused.starts_with("409 ") && refused.contains(LOCAL), "{refused}");
    user.ok(&format!("PAUSE {id}"));
    owner.write(TIME, &events(150..160));
    user.ok(&format!("RESUME {id}"));
    eventually_holds(&mut user, LOCAL, 160);
    eventually("what was carried, told to both", || {
        let here = subscription(&mut user)["usage"].clone();
        let there = owner.json(&format!("GET SUBSCRIBERS {TIME}"))[0]["usage"].clone();
        let sent = there["events"].as_u64() >= Some(160) && there["lag-events"] == 0;
        let came = here["events"] == 160 && here["lag-events"] == 0 && here["retries"] == 0;
        if sent && came { Ok(()) } else { Err(format!("{here} {there}")) }
    });
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    assert_eq!(subscription(&mut user), Value::Null);
    assert_eq!(owner.data(&format!("GET SUBSCRIBERS {TIME}")), Vec::<String>::new());
    assert_eq!(user.data("GET PROCESSORS"), Vec::<String>::new());
    assert_eq!(user.read(LOCAL).len(), 160, "what came stays");
}

#[test]
fn who_has_to_ask_waits_for_the_owners_word_and_then_goes_on_by_himself() {
    let two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=ask"));
    owner.write(TIME, &events(0..10));
    let answer = user.refused(&format!("SUBSCRIBE {TIME} LOCAL {LOCAL}"));
    let request = answer.strip_prefix("450 PENDING request=").unwrap().to_owned();
    assert_eq!(subscription(&mut user)["state"], "pending");
    assert_eq!(subscription(&mut user)["request"], *request);
    let asked = owner.json("GET REQUESTS");
    assert_eq!(asked[0]["principal"], "domain:emiliano.ar", "{asked:?}");
    owner.ok(&format!("APPROVE {request}"));
    eventually_is(&mut user, "active");
    eventually_holds(&mut user, LOCAL, 10);
    // What is taken away stays away, and what came stays.
    let id = owner.data(&format!("GET SUBSCRIBERS {TIME}")).remove(0);
    owner.ok(&format!("REMOVE SUBSCRIBER {id}"));
    owner.write(TIME, &events(10..20));
    let ended = eventually_is(&mut user, "ended");
    assert!(ended["why"].as_str().unwrap().contains("owner"), "{ended}");
    assert_eq!(user.read(LOCAL).len(), 10);
    // It is written down first, and then taken away.
    eventually("nothing left of it", || {
        let left = user.data("GET PROCESSORS");
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn a_request_that_waits_is_withdrawn_by_who_asked_also_while_the_owners_host_is_away() {
    let mut two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=ask"));
    let begin = format!("SUBSCRIBE {TIME} LOCAL {LOCAL}");
    let asked = |user: &mut Wire| {
        let answer = user.refused(&begin);
        answer.strip_prefix("450 PENDING request=").unwrap().to_owned()
    };
    let request = asked(&mut user);
    assert_eq!(owner.json("GET REQUESTS").len(), 1);
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    assert_eq!(subscription(&mut user), Value::Null);
    assert_eq!(owner.data("GET REQUESTS"), Vec::<String>::new());
    let none = format!("404 NOT_FOUND request {request}");
    assert_eq!(owner.refused(&format!("APPROVE {request}")), none);
    // The owner's host is away: it is told when it is back.
    let request = asked(&mut user);
    two.kill(UNIX);
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    let seen = subscription(&mut user);
    assert!(seen["state"] == "ending" && !seen["why"].is_null(), "{seen}");
    two.kill(EMILIANO);
    two.start_one(EMILIANO);
    two.start_one(UNIX);
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    eventually("the end of the request", || match owner.data("GET REQUESTS").len() {
        0 => Ok(()),
        many => Err(format!("{many} requests")),
    });
    let none = format!("404 NOT_FOUND request {request}");
    assert_eq!(owner.refused(&format!("APPROVE {request}")), none);
    eventually("the end of it", || match subscription(&mut user) {
        Value::Null => Ok(()),
        seen => Err(seen.to_string()),
    });
    // Who has taken it back may ask again, and what was approved before he did ends all the same.
    let request = asked(&mut user);
    let id = owner.ok(&format!("APPROVE {request}"));
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    eventually("the end of what was approved", || {
        let rows = owner.json(&format!("GET SUBSCRIBERS {TIME}"));
        let row = rows.iter().find(|row| row["subscription"] == *id).unwrap();
        if row["why"] == "unsubscribed" { Ok(()) } else { Err(row.to_string()) }
    });
}

#[test]
fn a_request_is_withdrawn_whole_whichever_host_is_killed_at_whatever_step() {
    let mut two = Two::start();
    two.wire(UNIX).ok(&format!("CREATE FLOW {TIME} access=ask"));
    let (begin, end) = (format!("SUBSCRIBE {TIME} LOCAL {LOCAL}"), format!("UNSUBSCRIBE {LOCAL}"));
    for (which, place) in
        [UNIX, EMILIANO].into_iter().flat_map(|which| [(which, PLACES[0]), (which, PLACES[1])])
    {
        for passing in 1..=MOST {
            let mut user = two.wire(EMILIANO);
            eventually("a request", || match user.ask(&begin).first() {
                Some(line) if line.starts_with("450 ") => Ok(()),
                line => Err(format!("{line:?}")),
            });
            drop(user);
            let died = two.dies(which, &format!("{place}:{passing}"), &end);
            let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
            eventually("the end of it", || match subscription(&mut user) {
                Value::Null => Ok(()),
                seen if seen["state"] == "pending" => {
                    user.ask(&end);
                    Err(seen.to_string())
                }
                seen => Err(seen.to_string()),
            });
            assert_eq!(owner.data("GET REQUESTS"), Vec::<String>::new(), "{place}:{passing}");
            if !died {
                break;
            }
            assert!(passing < MOST, "{place} is passed again and again");
        }
    }
}

#[test]
fn a_subscriptions_flow_and_processor_count_to_the_quota_of_who_made_it() {
    let mut two = Two::start();
    let mut owner = two.wire(UNIX);
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    owner.write(TIME, &events(0..3));
    let quota = |limits: &str| format!("\n[[quotas]]\nfor = \"user:test\"\n{limits}\n");
    for (limits, what) in [("flows = 1", "1 flows"), ("processors = 1", "1 processors")] {
        two.more = quota(limits);
        two.kill(EMILIANO);
        two.start_one(EMILIANO);
        let mut user = two.wire(EMILIANO);
        subscribe(&mut user);
        eventually_holds(&mut user, LOCAL, 3);
        let refused = user.refused(&format!("SUBSCRIBE {TIME} LOCAL second.emiliano.ar"));
        assert!(refused.starts_with("429 ") && refused.contains(what), "{refused}");
        assert_eq!(user.json("GET SUBSCRIPTIONS").len(), 1);
        assert_eq!(user.flows(), [LOCAL]);
        assert_eq!(owner.data(&format!("GET SUBSCRIBERS {TIME}")).len(), 1);
        user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
        user.ok(&format!("DELETE FLOW {LOCAL}"));
    }
}

#[test]
fn either_host_may_be_killed_and_every_event_comes_once() {
    let mut two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    owner.write(TIME, &events(0..200));
    subscribe(&mut user);
    drop(user);
    for (round, which) in [EMILIANO, UNIX, EMILIANO, UNIX].into_iter().enumerate() {
        two.kill(which);
        two.start_one(which);
        let from = 200 + round * 100;
        two.wire(UNIX).write(TIME, &events(from..from + 100));
    }
    let mut user = two.wire(EMILIANO);
    eventually_holds(&mut user, LOCAL, 600);
    let mut came: Vec<u64> =
        user.read(LOCAL).iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
    let order = came.clone();
    came.sort_unstable();
    assert_eq!(came, (0..600).collect::<Vec<u64>>());
    assert_eq!(order, came, "one partition keeps its order");
}

#[test]
fn who_is_approved_gets_what_the_owner_lets_him_see_of_what_he_wants() {
    let two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=ask"));
    owner.write(TIME, &events(0..60));
    let command = format!("SUBSCRIBE {TIME} LOCAL {LOCAL} filter=\"data.n % 2 == 0\"");
    let answer = user.refused(&command);
    let request = answer.strip_prefix("450 PENDING request=").unwrap().to_owned();
    let policy = Value::from("bridge {\"filter\":\"data.n % 5 == 0\"}");
    owner.ok(&format!("APPROVE {request} FILTER \"data.n % 3 == 0\" POLICY {policy}"));
    eventually_is(&mut user, "active");
    owner.write(TIME, &events(60..100));
    let number = |event: &Value| event["data"]["n"].as_u64().unwrap();
    let came = eventually_holds(&mut user, LOCAL, 4);
    assert_eq!(Vec::from_iter(came.iter().map(number)), [0, 30, 60, 90]);
}

#[test]
fn another_policy_counts_for_what_comes_after_it_and_nothing_is_lost_over_it() {
    let two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    subscribe(&mut user);
    let even = Value::from("bridge {\"filter\":\"data.n % 2 == 0\"}");
    for (round, policy) in [Value::from(""), even.clone(), Value::from(""), even].iter().enumerate()
    {
        owner.ok(&format!("UPDATE FLOW {TIME} policy={policy}"));
        owner.write(TIME, &events(round * 100..round * 100 + 100));
        eventually_holds(&mut user, LOCAL, [100, 150, 250, 300][round]);
    }
    let wanted = (0..400).filter(|n| n / 100 % 2 == 0 || n % 2 == 0);
    let came = user.read(LOCAL);
    let number = |event: &Value| event["data"]["n"].as_u64().unwrap();
    assert_eq!(Vec::from_iter(came.iter().map(number)), Vec::from_iter(wanted));
}

#[test]
fn of_a_part_of_a_flow_every_event_comes_once_whichever_host_is_killed_and_the_rest_never() {
    let mut two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    owner.write(TIME, &events(0..200));
    let said = format!("SUBSCRIBE {TIME} LOCAL {LOCAL} filter=");
    let refused = user.refused(&format!("{said}\"data.n >\""));
    assert!(refused.starts_with("400 "), "{refused}");
    assert!(user.json("GET SUBSCRIPTIONS").is_empty());
    assert!(user.refused(&format!("DESCRIBE FLOW {LOCAL}")).starts_with("404 "));
    user.data(&format!("{said}\"data.n % 3 == 1\""));
    let seen = eventually_is(&mut user, "active");
    assert_eq!(seen["filter"], "data.n % 3 == 1", "{seen}");
    let row = owner.json(&format!("GET SUBSCRIBERS {TIME}")).swap_remove(0);
    assert_eq!(row["filter"], "data.n % 3 == 1", "{row}");
    drop(user);
    for (round, which) in [EMILIANO, UNIX, EMILIANO, UNIX].into_iter().enumerate() {
        two.kill(which);
        two.start_one(which);
        let from = 200 + round * 100;
        two.wire(UNIX).write(TIME, &events(from..from + 100));
    }
    let mut user = two.wire(EMILIANO);
    let wanted = Vec::from_iter((0..600_u64).filter(|n| n % 3 == 1));
    eventually_holds(&mut user, LOCAL, wanted.len());
    let number = |event: &Value| event["data"]["n"].as_u64().unwrap();
    assert_eq!(Vec::from_iter(user.read(LOCAL).iter().map(number)), wanted);
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
}

/// Where a host that is told to ends itself: around every change of its registry, and every step outside of it.
const PLACES: [&str; 4] = [
    "registry.before-commit",
    "registry.committed",
    "reconciler.before-step",
    "reconciler.step-made",
];

/// Most runs for one place and one command; there are fewer steps.
const MOST: u32 = 40;

fn attached(owner: &mut Wire) -> usize {
    let rows = owner.json(&format!("GET SUBSCRIBERS {TIME}"));
    rows.iter().filter(|row| row["state"] == "active" && !row["attached"].is_null()).count()
}

/// One of the hosts is killed at each step of a subscription and of its end.
fn killed_at_each_step(which: usize) {
    let mut two = Two::start();
    let mut owner = two.wire(UNIX);
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    owner.write(TIME, &events(0..10));
    drop(owner);
    let (begin, end) = (format!("SUBSCRIBE {TIME} LOCAL {LOCAL}"), format!("UNSUBSCRIBE {LOCAL}"));
    for place in PLACES {
        for passing in 1..=MOST {
            let began = two.dies(which, &format!("{place}:{passing}"), &begin);
            let mut user = two.wire(EMILIANO);
            // What was not begun, or came to nothing, is said again.
            eventually("a subscription", || match user.ask(&begin).first() {
                Some(line) if line == "220 DATA" => Ok(()),
                line => Err(format!("{line:?}")),
            });
            eventually_is(&mut user, "active");
            eventually_holds(&mut user, LOCAL, 10);
            eventually("one subscriber", || match attached(&mut two.wire(UNIX)) {
                1 => Ok(()),
                many => Err(format!("{many} attached")),
            });
            drop(user);
            let ended = two.dies(which, &format!("{place}:{passing}"), &end);
            let mut user = two.wire(EMILIANO);
            eventually("the end of it", || match subscription(&mut user) {
                Value::Null => Ok(()),
                seen if seen["state"] == "active" || seen["state"] == "waiting" => {
                    user.ask(&end);
                    Err(seen.to_string())
                }
                seen => Err(seen.to_string()),
            });
            assert_eq!(user.data("GET PROCESSORS"), Vec::<String>::new());
            assert_eq!(attached(&mut two.wire(UNIX)), 0);
            assert_eq!(user.flows(), [LOCAL]);
            user.ok(&format!("DELETE FLOW {LOCAL}"));
            if !began && !ended {
                break;
            }
            assert!(passing < MOST, "{place} is passed again and again");
        }
    }
}

#[test]
fn the_subscribers_host_is_killed_at_any_step_and_there_is_a_whole_subscription_or_none() {
    killed_at_each_step(EMILIANO);
}

#[test]
fn the_owners_host_is_killed_at_any_step_and_there_is_a_whole_subscription_or_none() {
    killed_at_each_step(UNIX);
}

#[test]
fn a_host_that_is_away_is_shown_with_words_and_found_when_it_is_back() {
    let mut two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=ask"));
    let request = user.refused(&format!("SUBSCRIBE {TIME} LOCAL {LOCAL}"));
    let request = request.strip_prefix("450 PENDING request=").unwrap().to_owned();
    owner.ok(&format!("APPROVE {request}"));
    two.kill(UNIX);
    eventually("words about what is away", || {
        let seen = subscription(&mut user);
        let why = seen["why"].as_str().unwrap_or_default();
        let says = seen["state"] == "active" || why.contains("connect") || why.contains("resolve");
        if says { Ok(()) } else { Err(seen.to_string()) }
    });
    two.start_one(UNIX);
    eventually_is(&mut user, "active");
    two.wire(UNIX).write(TIME, &[event(1)]);
    eventually_holds(&mut user, LOCAL, 1);
    // One that carried events says so, too.
    two.kill(UNIX);
    let waits = eventually_is(&mut user, "waiting");
    assert!(waits["why"].as_str().unwrap().contains("502"), "{waits}");
    two.start_one(UNIX);
    two.wire(UNIX).write(TIME, &[event(2)]);
    eventually_holds(&mut user, LOCAL, 2);
    let active = eventually_is(&mut user, "active");
    assert_eq!(active["why"], Value::Null, "{active}");
}

#[test]
fn a_flow_grows_and_its_owner_sees_how_far_the_subscriber_is() {
    let two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open max.message.bytes=4194304"));
    owner.write(TIME, &events(0..20));
    subscribe(&mut user);
    eventually_holds(&mut user, LOCAL, 20);
    let acked = |owner: &mut Wire, wanted: &[u64]| {
        eventually("what is safe there", || {
            let seen = owner.json(&format!("GET SUBSCRIBERS {TIME}")).remove(0)["acked"].take();
            let is = |(partition, next): (usize, &u64)| seen[partition.to_string()] == *next;
            if wanted.iter().enumerate().all(is) { Ok(()) } else { Err(seen.to_string()) }
        });
    };
    acked(&mut owner, &[20]);
    // A local flow takes whatever can come.
    let here = user.data(&format!("DESCRIBE FLOW {LOCAL}"));
    let takes = here.iter().find_map(|line| line.strip_prefix("config.max.message.bytes="));
    assert!(takes.unwrap().parse::<u64>().unwrap() >= 4 << 20, "{here:?}");
    owner.ok(&format!("UPDATE FLOW {TIME} partitions=2"));
    owner.write(TIME, &events(20..40));
    eventually_holds(&mut user, LOCAL, 40);
    let ends = owner.read(TIME).iter().fold([0, 0], |mut ends, event| {
        ends[event["flowpartition"].as_u64().unwrap() as usize] += 1;
        ends
    });
    assert!(ends[1] > 0, "{ends:?}");
    acked(&mut owner, &ends);
}

#[test]
fn what_is_not_there_and_what_may_not_be_had_leaves_nothing_behind() {
    let two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=closed"));
    for (flow, local, code) in [
        (TIME, LOCAL, "404 NOT_FOUND flow time.flows.unix.ar"),
        ("nothing.flows.unix.ar", LOCAL, "404 NOT_FOUND flow nothing.flows.unix.ar"),
        ("time.nowhere.test", LOCAL, "502"),
        (TIME, "time.other.test", "404"),
        ("x.emiliano.ar", "y.emiliano.ar", "404 NOT_FOUND flow x.emiliano.ar"),
    ] {
        let answer = user.refused(&format!("SUBSCRIBE {flow} LOCAL {local}"));
        assert!(answer.starts_with(code), "{flow} {local}: {answer}");
    }
    assert_eq!(subscription(&mut user), Value::Null);
    assert_eq!(user.flows(), Vec::<String>::new());
    assert_eq!(user.data("GET PROCESSORS"), Vec::<String>::new());
}

#[test]
fn events_go_both_ways_and_none_goes_in_a_circle() {
    const THERE: &str = "time.emiliano.ar";
    const BACK: &str = "back.flows.unix.ar";
    let two = Two::start();
    let (mut unix, mut emiliano) = (two.wire(UNIX), two.wire(EMILIANO));
    unix.ok(&format!("CREATE FLOW {TIME} access=open"));
    unix.write(TIME, &events(0..10));
    emiliano.data(&format!("SUBSCRIBE {TIME} LOCAL {THERE}"));
    eventually_holds(&mut emiliano, THERE, 10);
    emiliano.ok(&format!("UPDATE FLOW {THERE} access=open"));
    emiliano.write(THERE, &events(10..15));
    eventually("the way back", || {
        match unix.ask(&format!("SUBSCRIBE {THERE} LOCAL {BACK}")).first() {
            Some(line) if line == "220 DATA" => Ok(()),
            line => Err(format!("{line:?}")),
        }
    });
    // What came from here does not come back; what was written there does.
    eventually_holds(&mut unix, BACK, 5);
    unix.ok(&format!("REPLICATE {BACK} {TIME}"));
    eventually_holds(&mut emiliano, THERE, 15);
    eventually_holds(&mut unix, TIME, 15);
    unix.write(TIME, &events(15..20));
    eventually_holds(&mut emiliano, THERE, 20);
    emiliano.write(THERE, &[event(20)]);
    eventually_holds(&mut unix, BACK, 6);
    eventually_holds(&mut unix, TIME, 21);
    let told = |events: Vec<Value>| -> Vec<u64> {
        let mut told: Vec<u64> =
            events.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
        told.sort_unstable();
        told
    };
    assert_eq!(told(unix.read(TIME)), (0..21).collect::<Vec<u64>>());
    assert_eq!(told(emiliano.read(THERE)), (0..21).collect::<Vec<u64>>());
    assert_eq!(told(unix.read(BACK)), [10, 11, 12, 13, 14, 20]);
}
