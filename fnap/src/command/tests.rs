//! Every form that the tables of the protocol list, and what is no form at all.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::name::Name;
use crate::pattern::Pattern;
use crate::reply::{Code, Failure};
use crate::rights::Right;

fn parse(line: &str) -> Result<Command, ParseError> {
    line.parse()
}

fn fails(line: &str) -> String {
    Failure::from(parse(line).unwrap_err()).to_string()
}

/// Every form, as a client writes it.
const FORMS: &[&str] = &[
    "CAPABILITIES",
    "HELP",
    "HELP CREATE FLOW",
    "NOOP",
    "STARTTLS",
    "AUTHENTICATE PLAIN",
    "AUTHENTICATE PLAIN AHRlc3QAdGVzdA==",
    "AUTHENTICATE EXTERNAL =",
    "QUIT",
    "CREATE NAMESPACE flows.unix.ar",
    "CREATE NAMESPACE flows.unix.ar BROKER kafka_local",
    "UPDATE NAMESPACE flows.unix.ar broker=other",
    "DELETE NAMESPACE flows.unix.ar",
    "DESCRIBE NAMESPACE flows.unix.ar",
    "GET NAMESPACES",
    "GET NAMESPACES FORMAT json",
    "CREATE FLOW time.flows.unix.ar",
    "CREATE FLOW time.flows.unix.ar partitions=4 access=domains=a.example,b.example",
    "UPDATE FLOW time.flows.unix.ar protected=true note=\"two words\" empty=\"\"",
    "DELETE FLOW time.flows.unix.ar",
    "DESCRIBE FLOW time.flows.unix.ar",
    "DESCRIBE FLOW time.flows.unix.ar FORMAT json",
    "GET FLOWS",
    "GET FLOWS flows.unix.ar",
    "GET FLOWS FORMAT json",
    "GET FLOWS flows.unix.ar FORMAT json",
    "SUBSCRIBE time.flows.unix.ar",
    "SUBSCRIBE time.flows.unix.ar LOCAL emiliano.ar-time.flows.unix.ar",
    "SUBSCRIBE time.flows.unix.ar LOCAL l.example ref=3f1c",
    "SUBSCRIBE time.flows.unix.ar ref=3f1c",
    "UNSUBSCRIBE ksdj898.time.flows.unix.ar",
    "GET SUBSCRIPTIONS",
    "GET SUBSCRIBERS time.flows.unix.ar FORMAT json",
    "GET CREDENTIALS id.time.flows.unix.ar FORMAT json",
    "REMOVE SUBSCRIBER ksdj898.time.flows.unix.ar",
    "GET REQUESTS",
    "APPROVE r1",
    "APPROVE r1 FILTER \"type == 'a'\" POLICY drop",
    "UNSUBSCRIBE time.flows.unix.ar ref=6f0c1d7e-6d0b-4f0e-9d8f-0a1b2c3d4e5f",
    "DENY r1",
    "DENY r1 we do not know you",
    "PAUSE time.flows.unix.ar",
    "RESUME time.flows.unix.ar",
    "STOP time.flows.unix.ar",
    "READ time.flows.unix.ar",
    "READ time.flows.unix.ar FROM earliest LIMIT 10 FOLLOW",
    "READ time.flows.unix.ar FROM latest FOLLOW",
    "READ time.flows.unix.ar FROM OFFSET 3:100",
    "READ time.flows.unix.ar FROM OFFSET 3:100,0:7 LIMIT 2 FOLLOW",
    "READ time.flows.unix.ar FROM TIME 2026-01-31T12:00:00Z LIMIT 1",
    "WRITE time.flows.unix.ar",
    "WRITE time.flows.unix.ar ID 3f1c",
    "PURGE FLOW time.flows.unix.ar CONFIRM time.flows.unix.ar",
    "REPLICATE a.example b.example",
    "REPLICATE orders-*.a.example *.b.example",
    "COLLECT orders-*.a.example all.b.example AS m.b.example START latest delivery=auto CONFIG {}",
    "REPLICATE a.example b.example AS p.example START latest delivery=auto CONFIG {\"a\": [1, \"b c\"]}",
    "COLLECT a.example,b.example c.example",
    "DISTRIBUTE a.example b.example,c.example START OFFSET 0:1",
    "SIGNAL signal FROM a.example,b.example TO c.example,d.example",
    "SIGNAL signal FROM a.example TO c.example AS p.example START earliest CONFIG {}",
    "CREATE PROCESSOR p.example TYPE bridge FROM a.example TO b.example",
    "CREATE PROCESSOR p.example TYPE bridge FROM a.example TO b.example START latest on-gap=record CONFIG {}",
    "UPDATE PROCESSOR p.example CONFIG {\"x\":1}",
    "UPDATE PROCESSOR p.example POSITION earliest",
    "UPDATE PROCESSOR p.example POSITION TIME 2026-01-31T12:00:00Z STATE reset",
    "UPDATE PROCESSOR p.example POSITION OFFSET 0:7 STATE keep",
    "UPDATE PROCESSOR p.example upgrade=pinned",
    "UPDATE PROCESSOR p.example SHADOW 0a1b2c3d",
    "UPDATE PROCESSOR p.example PROMOTE",
    "UPDATE PROCESSOR p.example PROMOTE 0a1b2c3d",
    "UPDATE PROCESSOR p.example DISCARD",
    "COMPARE p.example VERSION 0a1b2c3d",
    "COMPARE p.example VERSION 0a1b2c3d FROM TIME 2026-01-31T12:00:00Z TO OFFSET 0:700",
    "COMPARE p.example VERSION 0a1b2c3d SNAPSHOT 7 TO OFFSET 0:9",
    "COMPARE p.example STOP",
    "SNAPSHOT p.example",
    "SNAPSHOT p.example FORGET 7",
    "DELETE PROCESSOR p.example",
    "DESCRIBE PROCESSOR p.example",
    "DESCRIBE PROCESSOR bridge FORMAT json",
    "REPLAY p.example",
    "REPLAY p.example OFFSET 0:7,0:9,3:1",
    "DISCARD p.example",
    "DISCARD p.example OFFSET 0:7",
    "GET LOG p.example",
    "GET LOG p.example SINCE 42 FORMAT json",
    "GET PROCESSORS",
    "GET PROCESSOR TYPES FORMAT json",
    "GRANT read ON time.flows.unix.ar TO user:ana",
    "GRANT read,write,subscribe,administer ON * TO group:ops",
    "REVOKE administer ON flows.unix.ar FROM domain:emiliano.ar",
    "GET GRANTS",
    "GET GRANTS ON *",
    "GET GRANTS ON flows.unix.ar TO everybody FORMAT json",
    "GET GRANTS TO anonymous",
    "GET BROKERS",
    "DESCRIBE BROKER kafka_local",
    "GET AGENTS",
    "DESCRIBE AGENT flows.unix.ar",
    "DESCRIBE NAMESERVER flows.unix.ar",
    "STREAM",
];

/// The form with every name in it written as `write` does.
fn rewritten(form: &str, write: impl Fn(&str) -> String) -> String {
    let is_name = |part: &str| {
        part.contains('.') && (part.parse::<Name>().is_ok() || part.parse::<Pattern>().is_ok())
    };
    let part = |part: &str| if is_name(part) { write(part) } else { part.to_owned() };
    // What a setting's value means is not for the protocol to say.
    let word = |word: &str| match word.contains('=') {
        true => word.to_owned(),
        false => word.split(',').map(part).collect::<Vec<_>>().join(","),
    };
    form.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_namespace_that_is_called_as_a_word_of_the_command_is_printed_as_a_name() {
    for (said, printed) in
        [("GET FLOWS FORMAT.", "GET FLOWS format."), ("GET FLOWS formats", "GET FLOWS formats")]
    {
        let command: Command = said.parse().unwrap();
        assert_eq!(command.to_string(), printed);
        assert_eq!(printed.parse(), Ok(command));
    }
    let json: Command = "GET FLOWS format. FORMAT json".parse().unwrap();
    assert_eq!(json.to_string().parse(), Ok(json));
}

#[test]
fn a_flow_uri_is_taken_wherever_a_name_is() {
    let mut with_names = 0;
    for form in FORMS {
        let uris = rewritten(form, |name| format!("Flow://{}./", name.to_ascii_uppercase()));
        if uris == *form {
            continue;
        }
        with_names += 1;
        assert_eq!(parse(&uris), parse(form), "{uris}");
        for (more, part) in [(":61000", "port"), ("/x", "path"), ("?x", "query")] {
            let uris = rewritten(form, |name| format!("flow://{name}{more}"));
            let said = fails(&uris);
            assert!(said.starts_with("400 ") && said.contains(part), "{uris}: {said}");
        }
    }
    assert!(with_names > 40, "only {with_names} forms have names");
}

#[test]
fn every_form_is_read_and_written_again() {
    for form in FORMS {
        assert_eq!(parse(form).map(|command| command.to_string()).as_deref(), Ok(*form));
    }
}

#[test]
fn every_form_has_a_line_of_help_and_every_line_of_help_a_form() {
    let verbs = |lines: &[&str]| {
        let verb = |line: &str| line.split(' ').next().unwrap().to_owned();
        lines.iter().map(|line| verb(line)).collect::<std::collections::BTreeSet<_>>()
    };
    let mut help = verbs(crate::server::SYNTAX);
    // Said while a READ follows: no command of its own.
    help.remove("DONE");
    assert_eq!(verbs(FORMS), help);
}

#[test]
fn case_and_blanks_do_not_matter_and_the_aliases_of_the_proof_of_concept_stay() {
    let same = [
        (
            " \tcreate  flow\tTime.flows.unix.AR  Partitions=4 ",
            "CREATE FLOW time.flows.unix.ar partitions=4",
        ),
        ("desc flow flow://time.flows.unix.ar", "DESCRIBE FLOW time.flows.unix.ar"),
        ("DESC PROCESSOR bridge format JSON", "DESCRIBE PROCESSOR bridge FORMAT json"),
        ("get ns", "GET NAMESPACES"),
        ("get fl flows.unix.ar", "GET FLOWS flows.unix.ar"),
        ("GET FL FORMAT json", "GET FLOWS FORMAT json"),
        ("GET FLOWS FORMAT text", "GET FLOWS"),
        ("replicate a b from latest as p", "REPLICATE a b AS p START latest"),
        ("COLLECT a,b c CONFIG  {} ", "COLLECT a,b c CONFIG {}"),
        ("READ f FOLLOW LIMIT 1 FROM earliest", "READ f FROM earliest LIMIT 1 FOLLOW"),
        ("SUBSCRIBE f REF=abc", "SUBSCRIBE f ref=abc"),
    ];
    for (said, meant) in same {
        assert_eq!(parse(said), parse(meant), "{said}");
        assert!(parse(said).is_ok(), "{said}");
    }
}

#[test]
fn the_type_of_a_processor_follows_from_the_command() {
    let kind = |line: &str| match parse(line) {
        Ok(Command::CreateProcessor(new)) => new.processor_type().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind("REPLICATE a b"), "bridge");
    assert_eq!(kind("COLLECT a b"), "collector");
    assert_eq!(kind("DISTRIBUTE a b"), "distributor");
    assert_eq!(kind("SIGNAL quakes FROM a TO b"), "quakes");
    assert_eq!(kind("CREATE PROCESSOR p TYPE own FROM a TO b"), "own");
}

#[test]
fn an_unknown_command_is_not_found() {
    assert_eq!(fails("FLY away"), "404 NOT_FOUND command FLY");
    assert_eq!(fails("\u{7}x"), "404 NOT_FOUND command  x");
    assert_eq!(fails(&"X".repeat(100)), format!("404 NOT_FOUND command {}", "X".repeat(64)));
    assert_eq!(fails("DONE"), "404 NOT_FOUND command DONE");
}

#[test]
fn a_wrong_command_says_at_which_word() {
    let wrong = [
        ("", "expected a command at word 1"),
        ("NOOP now", "nothing more expected at word 2"),
        ("CREATE", "expected NAMESPACE, FLOW or PROCESSOR at word 2"),
        ("CREATE FLOW", "expected a flow at word 3"),
        ("CREATE FLOW a..b", "empty label 2 at word 3"),
        ("CREATE FLOW a b", "nothing more expected at word 4"),
        (
            "CREATE FLOW a =b",
            "key \"\": only a-z, 0-9, '.', '_' and '-' are allowed, beginning with a letter at word 4",
        ),
        ("CREATE FLOW a x=1 X=2", "key x given twice at word 5"),
        ("CREATE FLOW a x=\"1", "unfinished quoted text at word 5"),
        ("CREATE FLOW a x=\"1\"2", "text behind the closing quote at word 5"),
        ("UPDATE FLOW a", "expected key=value at word 4"),
        (
            "UPDATE PROCESSOR p",
            "expected CONFIG, POSITION, SHADOW, PROMOTE, DISCARD or key=value at word 4",
        ),
        ("UPDATE PROCESSOR p SHADOW", "expected a version or the beginning of a digest at word 5"),
        ("UPDATE PROCESSOR p CONFIG", "expected json at word 5"),
        ("UPDATE PROCESSOR p POSITION", "expected earliest, latest, OFFSET or TIME at word 5"),
        ("UPDATE PROCESSOR p POSITION earliest STATE lost", "expected keep or reset at word 7"),
        (
            "GET",
            "expected NAMESPACES, FLOWS, PROCESSORS, PROCESSOR TYPES, SUBSCRIPTIONS, SUBSCRIBERS, CREDENTIALS, REQUESTS, GRANTS, BROKERS, AGENTS or LOG at word 2",
        ),
        ("GET PROCESSOR", "expected TYPES at word 3"),
        ("GET FLOWS FORMAT xml", "expected json or text at word 4"),
        ("READ f FROM now", "expected earliest, latest, OFFSET or TIME at word 4"),
        ("READ f FROM OFFSET 1", "no partition:offset, such as 0:100 at word 5"),
        ("READ f FROM OFFSET 0:1,1:x", "no partition:offset, such as 0:100 at word 5"),
        ("READ f FROM OFFSET 0:1,1:2,0:3", "partition 0 given twice at word 5"),
        ("READ f FROM OFFSET 0:1,1:2 FROM earliest", "given twice at word 6"),
        ("READ f FROM TIME noon", "no rfc 3339 time, such as 2026-01-31T12:00:00Z at word 5"),
        ("READ f LIMIT -1", "no number for LIMIT at word 4"),
        ("READ f LIMIT 1 LIMIT 2", "given twice at word 5"),
        ("READ f FOLLOW FOLLOW", "given twice at word 4"),
        ("WRITE f ID", "expected a token at word 4"),
        ("PURGE FLOW f", "expected CONFIRM at word 4"),
        ("PURGE FLOW f CONFIRM g", "expected f again at word 5"),
        ("REPLICATE a,b c", "expected one flow only at word 2"),
        ("REPLICATE *.a b", "a pattern has one '*', not 0 at word 3"),
        (
            "COLLECT *.a *.b",
            "character '*' at octet 1: only a-z, 0-9, '-' and '.' are allowed at word 3",
        ),
        ("COLLECT a,b c,d", "expected one flow only at word 3"),
        ("DISTRIBUTE a,b c", "expected one flow only at word 2"),
        ("COLLECT a,a b", "a given twice at word 2"),
        ("COLLECT a,,b c", "empty name at word 2"),
        ("SIGNAL t FROM a", "expected TO at word 5"),
        ("SIGNAL t FROM a TO b FROM earliest", "nothing more expected at word 7"),
        ("CREATE PROCESSOR p TYPE t FROM a TO b AS q", "given twice at word 10"),
        ("DESCRIBE BROKER b\u{e9}", "character 'é': only visible ascii is allowed at word 3"),
        ("SUBSCRIBE f LOCAL", "expected a local flow at word 4"),
        ("REPLAY", "expected a processor at word 2"),
        ("REPLAY p 0:7", "nothing more expected at word 3"),
        ("REPLAY p OFFSET", "expected partition:offset at word 4"),
        ("REPLAY p OFFSET 0:7,8", "no partition:offset, such as 0:100 at word 4"),
        ("DISCARD p OFFSET 0:7,1:7,0:7", "0:7 given twice at word 4"),
        ("GET LOG", "expected a processor at word 3"),
        ("GET LOG p SINCE now", "no number for SINCE at word 5"),
        ("GET LOG p FORMAT json SINCE 1", "nothing more expected at word 6"),
        ("AUTHENTICATE PLAIN a b", "nothing more expected at word 4"),
    ];
    for (line, words) in wrong {
        assert_eq!(fails(line), format!("400 BAD_FORMAT {words}"), "{line}");
    }
    assert!(fails("UPDATE PROCESSOR p CONFIG {x}").starts_with("400 BAD_FORMAT no json: "));
}

#[test]
fn a_list_has_at_most_64_names_and_a_command_at_most_64_settings() {
    let list = |count: usize| {
        let names: Vec<_> = (0..count).map(|index| format!("f{index}")).collect();
        parse(&format!("COLLECT {} c", names.join(",")))
    };
    assert!(list(MAX_LIST).is_ok());
    assert_eq!(list(MAX_LIST + 1).unwrap_err().to_string(), "more than 64 names at word 2");
    let settings = |count: usize| {
        let pairs: Vec<_> = (0..count).map(|index| format!("k{index}=v")).collect();
        parse(&format!("CREATE FLOW f {}", pairs.join(" ")))
    };
    assert!(settings(64).is_ok());
    assert!(settings(65).unwrap_err().to_string().starts_with("more than 64 settings"));
}

#[test]
fn a_command_names_at_most_1000_dead_letters() {
    let named = |count: u64| {
        let letters: Vec<_> = (0..count).map(|offset| format!("0:{offset}")).collect();
        parse(&format!("DISCARD p OFFSET {}", letters.join(",")))
    };
    let letters = (0..1000).map(|offset| (0, offset)).collect();
    let processor = "p".parse().unwrap();
    assert_eq!(named(1000), Ok(Command::Discard { processor, letters }));
    assert_eq!(named(1001).unwrap_err().to_string(), "more than 1000 places at word 4");
}

#[test]
fn a_grant_says_which_word_is_wrong() {
    let line = |text: &str| fails(text);
    assert_eq!(
        line("GRANT own ON a TO user:b"),
        "400 BAD_FORMAT not read, write, subscribe or administer at word 2"
    );
    assert_eq!(
        line("GRANT read,read ON a TO user:b"),
        "400 BAD_FORMAT a right given twice at word 2"
    );
    assert_eq!(line("GRANT read TO user:b"), "400 BAD_FORMAT expected ON at word 3");
    assert_eq!(line("GRANT read ON a FROM user:b"), "400 BAD_FORMAT expected TO at word 5");
    assert_eq!(line("REVOKE read ON a TO user:b"), "400 BAD_FORMAT expected FROM at word 5");
    assert!(line("GRANT read ON a..b TO user:b").ends_with("at word 4"));
    assert!(line("GRANT read ON a TO ana").ends_with("anonymous or everybody at word 6"));
    assert!(line("GRANT read ON a TO user:b c").ends_with("at word 7"));
}

#[test]
fn json_nested_too_deep_is_refused() {
    let deep = format!("UPDATE PROCESSOR p CONFIG {}", "[".repeat(4000));
    assert!(fails(&deep).starts_with("400 BAD_FORMAT no json: "));
}

#[test]
fn neither_debug_nor_an_error_shows_an_initial_response() {
    let command = parse("AUTHENTICATE PLAIN c2VjcmV0").unwrap();
    assert!(!format!("{command:?}").contains("c2VjcmV0"));
    assert!(!fails("AUTHENTICATE PLAIN s\u{e9}cret").contains("\u{e9}"));
}

#[test]
fn a_cr_within_the_rest_of_a_line_is_a_blank() {
    let deny = |reason: Option<&str>| {
        let reason = reason.map(str::to_owned);
        Ok(Command::Deny { request: "f".parse().unwrap(), reason })
    };
    assert_eq!(parse("DENY f \ron a\rb"), deny(Some("on a b")));
    assert_eq!(parse("DENY f \r"), deny(None));
}

#[test]
fn no_text_in_a_command_can_end_its_line() {
    let mut settings = Settings::new();
    settings.insert("note", "a\r\nQUIT").unwrap();
    let update = Command::UpdateFlow { flow: "f".parse().unwrap(), settings };
    assert_eq!(update.to_string(), r#"UPDATE FLOW f note="a\r\nQUIT""#);
    assert_eq!(parse(&update.to_string()), Ok(update));
    let deny = Command::Deny { request: "r".parse().unwrap(), reason: Some("a\nQUIT".into()) };
    assert_eq!(deny.to_string(), "DENY r a QUIT");
    let config: Json = "{\n \"a\":\r\n1}".parse().unwrap();
    assert_eq!(config.as_str(), "{  \"a\":  1}");
    assert_eq!(config.to_value(), serde_json::json!({"a": 1}));
    assert_eq!(Failure::from(parse("CREATE FLOW").unwrap_err()).code, Code::BadFormat);
}

fn name() -> impl Strategy<Value = Name> {
    // Two labels: a single one could be a word of the command's own.
    "[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?\\.[a-z]{2,6}".prop_map(|text| text.parse().unwrap())
}

fn names() -> impl Strategy<Value = Vec<Name>> {
    proptest::collection::hash_set(name(), 1..5).prop_map(|names| names.into_iter().collect())
}

fn settings(min: usize) -> impl Strategy<Value = Settings> {
    proptest::collection::hash_map("[a-z][a-z0-9._-]{0,8}", any::<String>(), min..4).prop_map(
        |pairs| {
            let mut settings = Settings::new();
            pairs.into_iter().for_each(|(key, value)| settings.insert(&key, value).unwrap());
            settings
        },
    )
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Earliest),
        Just(Start::Latest),
        (0..=i32::MAX.unsigned_abs(), 0..=i64::MAX.unsigned_abs())
            .prop_map(|(partition, offset)| Start::Offset { partition, offset }),
        (-62_167_219_200_000_i64..=253_402_300_799_999)
            .prop_map(|millis| Start::Time(Timestamp::from_unix_millis(millis).unwrap())),
    ]
}

fn new_processor() -> impl Strategy<Value = Command> {
    let config = of(any::<String>().prop_map(|text| Json::from(&serde_json::json!({ "a": text }))));
    let options = (of(start()), settings(0), config, of(name()));
    (0..5, "[!-~]{1,9}", names(), names(), name(), options).prop_map(
        |(kind, word, mut inputs, mut outputs, own, (start, settings, config, name))| {
            let word: Word = word.parse().unwrap();
            let mut name = name;
            let kind = match kind {
                0 => NewKind::Replicate,
                1 => NewKind::Collect,
                2 => NewKind::Distribute,
                3 => NewKind::Signal(word),
                _ => {
                    name = Some(own);
                    NewKind::Create(word)
                }
            };
            if matches!(kind, NewKind::Replicate | NewKind::Distribute) {
                inputs.truncate(1);
            }
            if matches!(kind, NewKind::Replicate | NewKind::Collect) {
                outputs.truncate(1);
            }
            let new = NewProcessor {
                name,
                start,
                settings,
                config,
                ..NewProcessor::new(kind, inputs, outputs)
            };
            Command::CreateProcessor(new)
        },
    )
}

fn letters() -> impl Strategy<Value = Vec<(u32, u64)>> {
    let letter = (0..=i32::MAX.unsigned_abs(), 0..=i64::MAX.unsigned_abs());
    proptest::collection::btree_set(letter, 0..9).prop_map(|letters| letters.into_iter().collect())
}

fn object() -> impl Strategy<Value = Object> {
    prop_oneof![Just(Object::Everything), name().prop_map(Object::Name)]
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        "[^\\s\\p{C}]{1,20}".prop_map(Subject::User),
        "[!-~]{1,20}".prop_map(Subject::Group),
        name().prop_map(Subject::Domain),
        Just(Subject::Anonymous),
        Just(Subject::Everybody),
    ]
}

fn grant() -> impl Strategy<Value = Grant> {
    let rights = proptest::collection::vec(proptest::sample::select(&Right::ALL), 1..5);
    (rights, object(), subject()).prop_map(|(rights, object, subject)| Grant {
        rights: rights.into_iter().collect(),
        object,
        subject,
    })
}

fn command() -> impl Strategy<Value = Command> {
    let format = || any::<bool>().prop_map(|json| if json { Format::Json } else { Format::Text });
    let word = || "[!-~]{1,12}".prop_map(|text| text.parse::<Word>().unwrap());
    prop_oneof![
        new_processor(),
        (name(), of(start()), of(any::<u64>()), any::<bool>()).prop_map(
            |(flow, from, limit, follow)| {
                Command::Read(Read { from, limit, follow, ..Read::new(flow) })
            }
        ),
        (name(), proptest::collection::btree_map(0..1024_u32, 0..=i64::MAX.unsigned_abs(), 2..9))
            .prop_map(|(flow, places)| {
                let places = places.into_iter().collect();
                Command::Read(Read { places, ..Read::new(flow) })
            }),
        (name(), of(name()), settings(0)).prop_map(|(flow, local, settings)| Command::Subscribe {
            flow,
            local,
            settings
        }),
        (name(), settings(0)).prop_map(|(flow, settings)| Command::CreateFlow { flow, settings }),
        (name(), settings(1)).prop_map(|(flow, settings)| Command::UpdateFlow { flow, settings }),
        (name(), settings(1))
            .prop_map(|(processor, settings)| Command::UpdateProcessor { processor, settings }),
        (name(), letters()).prop_map(|(processor, letters)| Command::Replay { processor, letters }),
        (name(), of(any::<u64>()), format()).prop_map(|(processor, since, format)| {
            Command::GetLog { processor, since, format }
        }),
        (name(), start()).prop_map(|(processor, position)| Command::MoveProcessor {
            processor,
            position,
            state: Some(KeepState::Keep)
        }),
        grant().prop_map(Command::Grant),
        grant().prop_map(Command::Revoke),
        (of(object()), of(subject()), format()).prop_map(|(object, subject, format)| {
            Command::GetGrants { object, subject, format }
        }),
        (word(), of(any::<String>()), of(any::<String>()))
            .prop_map(|(request, filter, policy)| Command::Approve { request, filter, policy }),
        (name(), of(word())).prop_map(|(flow, token)| Command::Write { flow, token }),
        (name(), of(word()))
            .prop_map(|(namespace, broker)| Command::CreateNamespace { namespace, broker }),
        (of(name()), format())
            .prop_map(|(namespace, format)| Command::GetFlows { namespace, format }),
        (word(), format())
            .prop_map(|(processor, format)| Command::DescribeProcessor { processor, format }),
        (word(), of("[!-~]{1,20}")).prop_map(|(mechanism, initial)| Command::Authenticate {
            mechanism,
            initial: initial.map(|text| InitialResponse::new(&text).unwrap())
        }),
        (word(), of("[a-z]{1,5}( [a-z]{1,5}){0,3}"))
            .prop_map(|(request, reason)| Command::Deny { request, reason }),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same_command(command in command()) {
        let line = command.to_string();
        prop_assert!(!line.contains(['\r', '\n', '\0']), "{}", line);
        prop_assert_eq!(line.parse::<Command>(), Ok(command), "{}", line);
    }

    #[test]
    fn any_text_is_a_command_or_an_error(text in any::<String>()) {
        drop(text.parse::<Command>());
    }

    #[test]
    fn any_words_of_the_protocol_are_a_command_that_prints_again_or_an_error(
        words in vec(prop_oneof![
            proptest::sample::select(FORMS).prop_flat_map(|form| {
                proptest::sample::select(form.split(' ').collect::<Vec<_>>())
            }).prop_map(str::to_owned),
            "[ -~]{0,8}",
        ], 0..9),
    ) {
        if let Ok(command) = words.join(" ").parse::<Command>() {
            prop_assert_eq!(command.to_string().parse::<Command>(), Ok(command));
        }
    }
}
