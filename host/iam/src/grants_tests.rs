use super::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn object(text: &str) -> Object {
    text.parse().unwrap()
}

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

fn ana() -> Principal {
    Principal::user("ana", ["ops".to_owned()])
}

fn everybody_else() -> [Principal; 3] {
    [Principal::user("bo", []), Principal::domain(name("ana")), Principal::anonymous()]
}

fn owned(by: &str, below: bool) -> Option<Owner> {
    Some(Owner { subject: subject(by), below })
}

#[test]
fn a_grant_covers_its_name_and_all_below_and_nothing_beside() {
    let grants = Grants::default();
    grants.granted(&object("flows.unix.ar"), &subject("user:ana"), Right::Read, Scope::Below);
    for covered in ["flows.unix.ar", "time.flows.unix.ar", "a.b.flows.unix.ar"] {
        assert!(grants.may(&ana(), Right::Read, &name(covered)), "{covered}");
        assert!(!grants.may(&ana(), Right::Write, &name(covered)), "{covered}");
        for other in everybody_else() {
            assert!(!grants.sees(&other, &name(covered)), "{other} {covered}");
        }
    }
    for beside in ["unix.ar", "lows.unix.ar", "xflows.unix.ar", "flows.unix.ar.net"] {
        assert!(!grants.sees(&ana(), &name(beside)), "{beside}");
    }
    grants.revoked(&object("flows.unix.ar"), &subject("user:ana"), Right::Read);
    assert!(!grants.sees(&ana(), &name("time.flows.unix.ar")));
}

#[test]
fn a_question_among_a_hundred_thousand_grants_costs_a_look_at_each_label() {
    const GRANTS: usize = 100_000;
    let grants = Grants::default();
    for number in 0..GRANTS {
        // A thousand names, a hundred users on each.
        let on = object(&format!("f{}.flows.unix.ar", number / 100));
        grants.granted(
            &on,
            &subject(&format!("user:u{}", number % 100)),
            Right::Read,
            Scope::Below,
        );
    }
    let who: Vec<Principal> = (0..200).map(|n| Principal::user(&format!("u{n}"), [])).collect();
    let names: Vec<Name> = (0..500).map(|n| name(&format!("a.f{n}.flows.unix.ar"))).collect();
    let began = std::time::Instant::now();
    for (each, name) in who.iter().flat_map(|each| names.iter().map(move |name| (each, name))) {
        std::hint::black_box(grants.may(each, Right::Read, name));
    }
    let each = began.elapsed() / u32::try_from(who.len() * names.len()).unwrap();
    println!("may among {GRANTS} grants: {each:?}");
    let may = |who: &Principal, name| grants.may(who, Right::Read, name);
    assert!(names.iter().all(|name| may(&who[99], name) && !may(&who[100], name)));
}

#[test]
fn a_grant_on_a_name_alone_covers_that_and_gives_no_more_until_it_is_widened() {
    let grants = Grants::default();
    let (on, ana_herself) = (object("f.ns"), subject("user:ana"));
    grants.granted(&on, &ana_herself, Right::Administer, Scope::Name);
    assert!(grants.may(&ana(), Right::Administer, &name("f.ns")));
    assert!(!grants.sees(&ana(), &name("x.f.ns")) && !grants.sees(&ana(), &name("ns")));
    assert_eq!(grants.reach(&ana(), &on), Scope::Name);
    grants.granted(&on, &ana_herself, Right::Administer, Scope::Below);
    assert!(grants.may(&ana(), Right::Administer, &name("x.f.ns")));
    assert_eq!(grants.reach(&ana(), &on), Scope::Below);
    grants.revoked(&on, &ana_herself, Right::Administer);
    assert!(grants.table().names.is_empty());
}

#[test]
fn nobody_gives_further_than_his_own_right_reaches() {
    let grants = Grants::default();
    grants.named(&name("ns"), owned("user:bo", true), false);
    grants.named(&name("f.ns"), owned("user:ana", false), false);
    let reach = |who: &Principal, on: &str| grants.reach(who, &object(on));
    assert_eq!(reach(&ana(), "f.ns"), Scope::Name);
    let bo = Principal::user("bo", []);
    for on in ["ns", "f.ns", "x.f.ns"] {
        assert_eq!(reach(&bo, on), Scope::Below, "{on}");
    }
    grants.set_administrators([subject("group:ops")]);
    assert_eq!((reach(&ana(), "f.ns"), reach(&ana(), "*")), (Scope::Below, Scope::Below));
}

#[test]
fn a_grant_on_everything_covers_every_name_and_the_host() {
    let grants = Grants::default();
    grants.granted(&Object::Everything, &subject("group:ops"), Right::Administer, Scope::Below);
    assert!(grants.may(&ana(), Right::Write, &name("a")));
    assert!(grants.may_everywhere(&ana(), Right::Administer));
    assert!(everybody_else().iter().all(|other| !grants.may_everywhere(other, Right::Read)));
}

#[test]
fn rights_come_from_all_that_somebody_is() {
    let grants = Grants::default();
    for (of, right) in
        [("group:users", Right::Read), ("everybody", Right::Subscribe), ("user:ana", Right::Write)]
    {
        grants.granted(&object("a.b"), &subject(of), right, Scope::Below);
    }
    assert_eq!(grants.rights(&ana(), &name("a.b")).to_string(), "read,write,subscribe");
    let [bo, domain, nobody] = everybody_else();
    assert_eq!(grants.rights(&bo, &name("a.b")).to_string(), "read,subscribe");
    assert_eq!(grants.rights(&domain, &name("a.b")).to_string(), "subscribe");
    assert_eq!(grants.rights(&nobody, &name("a.b")).to_string(), "subscribe");
    grants.granted(&object("a.b"), &subject("domain:ana"), Right::Read, Scope::Below);
    grants.granted(&object("a.b"), &subject("anonymous"), Right::Write, Scope::Below);
    assert!(grants.may(&domain, Right::Read, &name("a.b")));
    assert!(grants.may(&nobody, Right::Write, &name("a.b")));
}

#[test]
fn a_namespace_belongs_to_its_owner_with_all_below_and_a_flow_alone() {
    let grants = Grants::default();
    grants.named(&name("ns"), owned("user:ana", true), false);
    grants.named(&name("f.other"), owned("user:ana", false), false);
    for his in ["ns", "a.ns", "b.a.ns", "f.other"] {
        assert!(grants.may(&ana(), Right::Administer, &name(his)), "{his}");
    }
    for not in ["other", "x.f.other"] {
        assert!(!grants.sees(&ana(), &name(not)), "{not}");
    }
    grants.gone(&name("ns"));
    assert!(!grants.sees(&ana(), &name("a.ns")));
}

#[test]
fn an_open_flow_is_read_by_everybody_and_nothing_below_it() {
    let grants = Grants::default();
    grants.named(&name("f.ns"), None, true);
    for who in everybody_else() {
        assert_eq!(grants.rights(&who, &name("f.ns")).to_string(), "read,subscribe");
        assert!(!grants.sees(&who, &name("a.f.ns")) && !grants.sees(&who, &name("ns")));
    }
    grants.named(&name("f.ns"), None, false);
    assert!(!grants.sees(&ana(), &name("f.ns")));
}

#[test]
fn administrators_may_everything_and_others_nothing() {
    let grants = Grants::default();
    grants.set_administrators([subject("group:ops"), subject("user:bo")]);
    assert!(grants.may_everywhere(&ana(), Right::Administer));
    assert!(grants.may(&everybody_else()[0], Right::Write, &name("a")));
    grants.set_administrators([subject("domain:ana")]);
    assert!(!grants.may_everywhere(&ana(), Right::Administer) && !grants.sees(&ana(), &name("a")));
}

#[test]
fn what_an_owner_may_is_asked_without_him_and_the_host_may_everything() {
    let grants = Grants::default();
    let ana = Absent { groups: BTreeSet::from(["ops".to_owned()]), disabled: false };
    grants.set_users(HashMap::from([("ana".to_owned(), ana.clone())]));
    grants.granted(&object("a"), &subject("group:ops"), Right::Read, Scope::Below);
    grants.granted(&object("a"), &subject("domain:x.y"), Right::Write, Scope::Below);
    assert!(grants.owner_may(Some(&subject("user:ana")), Right::Read, &name("a")));
    assert!(!grants.owner_may(Some(&subject("user:bo")), Right::Read, &name("a")));
    assert!(grants.owner_may(Some(&subject("domain:x.y")), Right::Write, &name("a")));
    assert!(!grants.owner_may(Some(&subject("everybody")), Right::Read, &name("a")));
    assert!(grants.owner_may(None, Right::Administer, &name("a")));
    // Who is kept out may nothing, and neither may what he made.
    grants.set_users(HashMap::from([("ana".to_owned(), Absent { disabled: true, ..ana })]));
    assert!(!grants.owner_may(Some(&subject("user:ana")), Right::Read, &name("a")));
}

#[test]
fn who_was_removed_counts_as_disabled_until_he_is_back_and_who_never_was_there_does_not() {
    let grants = Grants::default();
    grants.granted(&object("a"), &Subject::Everybody, Right::Read, Scope::Below);
    let users = |names: &[&str]| {
        let users = names.iter().map(|name| ((*name).to_owned(), Absent::default()));
        grants.set_users(users.collect());
    };
    let may = |who: &str| grants.owner_may(Some(&subject(who)), Right::Read, &name("a"));
    grants.set_removed(["old".to_owned(), "ana".to_owned()]);
    users(&["ana", "bo"]);
    assert!(may("user:ana") && may("user:cy") && !may("user:old"));
    users(&["bo"]);
    assert!(!may("user:ana") && may("user:bo") && may("user:cy") && may("domain:ana"));
    assert_eq!(grants.kept_out(&subject("user:ana")), Some("was removed from the users"));
    users(&["ana", "old"]);
    assert!(may("user:ana") && may("user:old") && !may("user:bo"));
}

#[test]
fn what_may_turn_a_decision_is_told_and_a_new_flow_is_not() {
    let grants = Grants::default();
    let mut changes = grants.subscribe();
    let mut told = |what: &str, expected: bool| {
        assert_eq!(changes.has_changed().unwrap(), expected, "{what}");
        changes.mark_unchanged();
    };
    grants.named(&name("a.ns"), owned("user:ana", false), false);
    told("a new flow", false);
    grants.named(&name("a.ns"), owned("user:ana", false), false);
    told("the same again", false);
    grants.named(&name("a.ns"), owned("user:ana", false), true);
    told("it is opened", true);
    grants.named(&name("a.ns"), owned("user:bo", false), true);
    told("another owner", true);
    grants.named(&name("ns"), owned("user:bo", true), false);
    told("a namespace above it", true);
    grants.granted(&object("ns"), &subject("user:ana"), Right::Read, Scope::Below);
    told("a grant", true);
    grants.revoked(&object("ns"), &subject("user:ana"), Right::Read);
    told("its end", true);
    grants.set_administrators([subject("user:ana")]);
    told("an administrator", true);
    grants.set_administrators([subject("user:ana")]);
    told("the same administrator", false);
}

#[test]
fn nothing_is_kept_of_what_is_gone() {
    let grants = Grants::default();
    for number in 0..1000 {
        let name = name(&format!("n{number}.ns"));
        let on = Object::Name(name.clone());
        grants.named(&name, owned("user:ana", false), true);
        grants.granted(&on, &subject("user:ana"), Right::Read, Scope::Below);
        grants.revoked(&on, &subject("user:ana"), Right::Read);
        grants.gone(&name);
        grants.named(&name, None, false);
    }
    assert!(grants.table().names.is_empty());
}

/// What is looked at grows with the labels of a name, not with the grants. Prints the time of a question.
#[test]
fn a_question_among_a_hundred_thousand_grants_is_answered_without_looking_at_them() {
    let grants = Grants::default();
    for number in 0..100_000 {
        let on = object(&format!("n{}.a.b.c.ns", number % 50_000));
        grants.granted(&on, &subject(&format!("user:u{number}")), Right::Read, Scope::Below);
    }
    let groups = (0..20).map(|number| format!("g{number}"));
    let who = Principal::user("u99999", groups);
    let asked = name("x.n49999.a.b.c.ns");
    let begun = std::time::Instant::now();
    let times = 20_000;
    let allowed = (0..times).filter(|_| grants.may(&who, Right::Read, &asked)).count();
    let each = begun.elapsed().as_nanos() / 20_000;
    eprintln!("a question among 100,000 grants: {each} ns");
    assert_eq!(allowed, times);
    assert!(!grants.may(&who, Right::Read, &name("n49998.a.b.c.ns")));
}

#[test]
fn a_reserved_name_is_for_who_may_do_it_with_the_whole_host_and_whom_that_one_names() {
    let (grants, log) = (Grants::default(), name("log.flows.unix.ar"));
    grants.named(&name("flows.unix.ar"), owned("user:ana", true), false);
    grants.granted(&object("unix.ar"), &subject("everybody"), Right::Write, Scope::Below);
    assert!(grants.may(&ana(), Right::Administer, &log));
    grants.reserve(Some(log.clone()));
    for who in everybody_else().iter().chain([&ana()]) {
        assert!(!grants.sees(who, &log) && !grants.sees(who, &name("a.log.flows.unix.ar")));
        assert!(grants.may(who, Right::Write, &name("b.flows.unix.ar")));
    }
    assert_eq!(grants.reach(&ana(), &object("log.flows.unix.ar")), Scope::Name);
    grants.granted(&object("log.flows.unix.ar"), &subject("user:ana"), Right::Read, Scope::Below);
    grants.granted(&object("*"), &subject("user:bo"), Right::Write, Scope::Below);
    assert!(grants.may(&ana(), Right::Read, &log) && !grants.may(&ana(), Right::Write, &log));
    assert!(grants.may(&everybody_else()[0], Right::Write, &log));
    grants.set_administrators([subject("group:ops")]);
    assert!(grants.may(&ana(), Right::Administer, &log));
}
