//! Reports: what both ends of a subscription are told, as CloudEvents that a user reads.

use serde_json::Value;
use stories::{Wire, age_subscriptions, drop_in, events, eventually, eventually_holds, guest};

use crate::participants::{
    EMILIANO, LOCAL, TIME, Two, UNIX, eventually_is, subscribe, subscription,
};

/// Places between a change and its report.
pub(crate) const PLACES: [&str; 2] = ["reports.before-append", "reports.appended"];

/// Where the owner's reports lie, the user's, and how their types begin.
const OWNERS: (&str, &str) = ("reports.flows.unix.ar", "ar.unix.fnaa.");
const USERS: (&str, &str) = ("reports.emiliano.ar", "ar.emiliano.fnaa.");

/// What lies in a reports flow; nothing while there is none.
fn lies_in(wire: &mut Wire, flow: &str) -> Vec<Value> {
    let answer = wire.ask(&format!("READ {flow} FROM earliest"));
    answer.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn kinds(reports: &[Value], begin: &str) -> Vec<String> {
    let kind =
        |report: &Value| report["type"].as_str().unwrap().strip_prefix(begin).map(str::to_owned);
    reports.iter().map(|report| kind(report).unwrap_or_else(|| panic!("{report}"))).collect()
}

/// Waits until exactly these were told, and gives them.
fn told(wire: &mut Wire, (flow, begin): (&str, &str), expected: &[&str]) -> Vec<Value> {
    eventually(&format!("{expected:?} in {flow}"), || {
        let reports = lies_in(wire, flow);
        match kinds(&reports, begin) {
            kinds if kinds == expected => Ok(reports),
            kinds => Err(format!("{kinds:?}")),
        }
    })
}

/// Asks, and gives the id of the request.
fn ask(wire: &mut Wire) -> String {
    let answer = wire.refused(&format!("SUBSCRIBE {TIME} LOCAL {LOCAL}"));
    answer.strip_prefix("450 PENDING request=").unwrap().to_owned()
}

#[test]
fn what_is_asked_and_answered_is_told_to_both_ends() {
    let two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=ask"));
    // Taken back.
    ask(&mut user);
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    let mut owners = vec!["subscriber.requested", "subscriber.withdrawn"];
    let mut users = vec!["subscription.pending", "subscription.ended"];
    told(&mut owner, OWNERS, &owners);
    told(&mut user, USERS, &users);
    // A no.
    let request = ask(&mut user);
    owner.ok(&format!("DENY {request} we do not know you"));
    eventually_is(&mut user, "ended");
    owners.extend(["subscriber.requested", "subscriber.denied"]);
    users.extend(["subscription.pending", "subscription.denied"]);
    let reports = told(&mut owner, OWNERS, &owners);
    let denied = &reports[3];
    assert_eq!(denied["subject"], TIME);
    assert_eq!(denied["source"], format!("flow://{}", OWNERS.0));
    assert_eq!(denied["data"]["principal"], "domain:emiliano.ar");
    assert_eq!(denied["data"]["by"], "user:test");
    assert_eq!(denied["data"]["reason"], "we do not know you");
    assert_eq!(denied["data"]["request"], *request);
    let reports = told(&mut user, USERS, &users);
    assert_eq!(reports[3]["subject"], LOCAL);
    let reason = reports[3]["data"]["reason"].as_str().unwrap();
    assert!(reason.contains("we do not know you"), "{reason}");
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    // A yes, and what the owner does afterwards.
    let request = ask(&mut user);
    let id = owner.ok(&format!("APPROVE {request}"));
    eventually_is(&mut user, "active");
    owners.extend(["subscriber.requested", "subscriber.approved", "subscriber.attached"]);
    users.extend(["subscription.pending", "subscription.approved", "subscription.active"]);
    told(&mut owner, OWNERS, &owners);
    told(&mut user, USERS, &users);
    owner.ok(&format!("PAUSE {id}"));
    owners.push("subscriber.paused");
    users.push("subscription.paused");
    told(&mut owner, OWNERS, &owners);
    told(&mut user, USERS, &users);
    assert_eq!(subscription(&mut user)["state"], "paused");
    owner.ok(&format!("RESUME {id}"));
    owners.push("subscriber.resumed");
    users.push("subscription.resumed");
    told(&mut user, USERS, &users);
    assert_eq!(subscription(&mut user)["state"], "active");
    owner.ok(&format!("REMOVE SUBSCRIBER {id}"));
    owners.push("subscriber.ended");
    users.push("subscription.revoked");
    let ended = told(&mut owner, OWNERS, &owners).pop().unwrap();
    assert_eq!(
        (&ended["data"]["why"], &ended["data"]["by"]),
        (&"removed".into(), &"user:test".into())
    );
    assert_eq!(ended["subject"], *id);
    let revoked = told(&mut user, USERS, &users).pop().unwrap();
    assert!(revoked["data"]["reason"].as_str().unwrap().contains("by the owner"), "{revoked}");
    // Nobody else learns of them, and none is in DNS.
    let flow = owner.describe(&format!("FLOW {}", OWNERS.0)).to_string();
    assert!(flow.contains("\"closed\"") && flow.contains("\"none\""), "{flow}");
    let refused = user.refused(&format!("SUBSCRIBE {} LOCAL r.emiliano.ar", OWNERS.0));
    assert!(refused.starts_with("404 "), "{refused}");
}

#[test]
fn a_request_that_nobody_answers_is_told_when_it_expires() {
    let mut two = Two::start();
    two.wire(UNIX).ok(&format!("CREATE FLOW {TIME} access=ask"));
    ask(&mut two.wire(EMILIANO));
    two.kill(EMILIANO);
    two.kill(UNIX);
    age_subscriptions(&two.dir_of(UNIX).join("data"), 8 * 24 * 60);
    two.start_one(UNIX);
    told(&mut two.wire(UNIX), OWNERS, &["subscriber.requested", "subscriber.expired"]);
}

#[test]
fn a_subscriber_is_told_that_he_is_behind_that_the_other_host_is_away_and_of_a_gap() {
    let mut two = Two::start_with("\n[reports]\nlate_seconds = 8\n");
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    owner.write(TIME, &events(0..5));
    let id = subscribe(&mut user);
    eventually_holds(&mut user, LOCAL, 5);
    let mut users = vec!["subscription.active"];
    told(&mut user, USERS, &users);
    user.ok(&format!("PAUSE {id}"));
    owner.write(TIME, &events(5..9));
    users.push("subscription.lagging");
    let lagging = told(&mut user, USERS, &users).pop().unwrap();
    assert_eq!(lagging["data"]["records"], 4, "{lagging}");
    user.ok(&format!("RESUME {id}"));
    users.push("subscription.caught-up");
    told(&mut user, USERS, &users);
    two.kill(UNIX);
    users.push("subscription.waiting");
    let waiting = told(&mut user, USERS, &users).pop().unwrap();
    assert!(!waiting["data"]["reason"].as_str().unwrap().is_empty(), "{waiting}");
    assert_eq!(subscription(&mut user)["state"], "waiting");
    two.start_one(UNIX);
    users.push("subscription.active");
    told(&mut user, USERS, &users);
    // What lies between is gone when he comes back.
    drop(user);
    two.kill(EMILIANO);
    let mut owner = two.wire(UNIX);
    owner.write(TIME, &events(9..20));
    owner.ok(&format!("PURGE FLOW {TIME} CONFIRM {TIME}"));
    owner.write(TIME, &events(20..22));
    two.start_one(EMILIANO);
    let mut user = two.wire(EMILIANO);
    users.push("subscription.gap");
    let gap = told(&mut user, USERS, &users).pop().unwrap();
    let figures = ["partition", "from", "to"].map(|key| gap["data"][key].as_u64());
    assert_eq!(figures, [Some(0), Some(9), Some(20)], "{gap}");
    let processor = user.json("GET SUBSCRIPTIONS")[0]["processor"].as_str().unwrap().to_owned();
    user.ok(&format!("PAUSE {processor}"));
    user.ok(&format!("UPDATE PROCESSOR {processor} POSITION earliest"));
    user.ok(&format!("RESUME {processor}"));
    eventually_holds(&mut user, LOCAL, 11);
    users.push("subscription.active");
    told(&mut user, USERS, &users);
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    users.push("subscription.ended");
    told(&mut user, USERS, &users);
    let owners = ["subscribed", "attached", "ended"].map(|kind| format!("subscriber.{kind}"));
    let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
    let ended = told(&mut two.wire(UNIX), OWNERS, &owners).pop().unwrap();
    assert_eq!(ended["data"]["why"], "unsubscribed");
}

#[test]
fn an_owner_whose_policy_fails_is_told_once() {
    let two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    drop_in(&two.dir_of(UNIX).join("data/plugins"), "guest.wasm", guest());
    eventually("the type guest", || match owner.data("GET PROCESSOR TYPES") {
        types if types.iter().any(|line| line.starts_with("guest")) => Ok(()),
        types => Err(format!("{types:?}")),
    });
    let policy = |act: &str| Value::from(format!("guest {}", serde_json::json!({ "act": act })));
    owner.ok(&format!("CREATE FLOW {TIME} access=open policy={}", policy("panic-at-odd")));
    owner.write(TIME, &events(1..2));
    subscribe(&mut user);
    let owners = ["subscriber.subscribed", "subscriber.attached", "subscriber.policy-failed"];
    let failed = told(&mut owner, OWNERS, &owners).pop().unwrap();
    assert!(failed["data"]["reason"].as_str().unwrap().contains("policy"), "{failed}");
    owner.ok(&format!("UPDATE FLOW {TIME} policy={}", policy("mask")));
    eventually_holds(&mut user, LOCAL, 1);
    told(&mut owner, OWNERS, &owners);
}

#[test]
fn killed_between_a_change_and_its_report_there_is_one_report() {
    let mut two = Two::start();
    two.wire(UNIX).ok(&format!("CREATE FLOW {TIME} access=ask"));
    let said = format!("SUBSCRIBE {TIME} LOCAL {LOCAL}");
    let (mut owners, mut users) = (Vec::new(), Vec::new());
    for which in [UNIX, EMILIANO] {
        for place in PLACES.map(|place| format!("{place}:1")) {
            if which == EMILIANO {
                two.surely_dies(EMILIANO, &place, &said);
            }
            let request = ask(&mut two.wire(EMILIANO));
            let no = format!("DENY {request} no");
            owners.push("subscriber.requested");
            told(&mut two.wire(UNIX), OWNERS, &owners);
            match which {
                UNIX => two.surely_dies(UNIX, &place, &no),
                _ => drop(two.wire(UNIX).ok(&no)),
            }
            let mut user = two.wire(EMILIANO);
            eventually_is(&mut user, "ended");
            owners.push("subscriber.denied");
            users.extend(["subscription.pending", "subscription.denied"]);
            let reports = told(&mut two.wire(UNIX), OWNERS, &owners);
            told(&mut user, USERS, &users);
            let mut ids: Vec<_> = reports.iter().map(|report| report["id"].to_string()).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), reports.len());
            user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
        }
    }
}

#[test]
fn a_flow_that_somebody_has_made_is_not_written_to_and_reports_wait_for_their_place() {
    let two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    owner.ok(&format!("CREATE FLOW {}", OWNERS.0));
    subscribe(&mut user);
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    told(&mut user, USERS, &["subscription.active", "subscription.ended"]);
    assert_eq!(owner.read(OWNERS.0), Vec::<Value>::new());
    owner.ok(&format!("DELETE FLOW {}", OWNERS.0));
    let owners = ["subscriber.subscribed", "subscriber.attached", "subscriber.ended"];
    told(&mut owner, OWNERS, &owners);
    // It is the host's, and goes when somebody wants it to go.
    owner.ok(&format!("DELETE FLOW {}", OWNERS.0));
}
