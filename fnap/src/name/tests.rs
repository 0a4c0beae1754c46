use super::*;

fn parse(text: &str) -> Result<Name, NameError> {
    text.parse()
}

#[test]
fn a_name_is_lower_cased_and_its_scheme_is_dropped() {
    assert_eq!(parse("Flow://Time.Flows.unix.AR").unwrap().as_str(), "time.flows.unix.ar");
    assert_eq!(parse("time.flows.unix.ar"), parse("TIME.flows.unix.ar"));
    assert_eq!(parse("xn--mnchen-3ya.example").unwrap().to_string(), "xn--mnchen-3ya.example");
}

#[test]
fn a_uri_and_a_complete_dns_name_are_the_name() {
    for text in [
        "time.flows.unix.ar.",
        "flow://time.flows.unix.ar",
        "flow://time.flows.unix.ar/",
        "flow://time.flows.unix.ar.",
        "FLOW://TIME.flows.unix.ar./",
    ] {
        assert_eq!(parse(text).unwrap().as_str(), "time.flows.unix.ar", "{text}");
    }
}

#[test]
fn a_uri_with_more_than_a_name_is_refused_by_what_it_has() {
    let part = |text: &str| match parse(text) {
        Err(NameError::Uri { part }) => part,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(part("flow://a.b:61000"), "port");
    assert_eq!(part("flow://a.b:61000/"), "port");
    assert_eq!(part("flow://a.b/c"), "path");
    assert_eq!(part("flow://a.b//"), "path");
    assert_eq!(part("flow://a.b/?x"), "path");
    assert_eq!(part("flow://a.b?from=earliest"), "query");
    assert_eq!(part("flow://a.b#x"), "fragment");
    assert_eq!(part("flow://ana@a.b"), "user");
    assert_eq!(part("flow://ana:secret@a.b:1"), "user");
    assert_eq!(parse("http://a.b"), Err(NameError::Scheme { scheme: "http".into() }));
    assert_eq!(parse("a.b/"), Err(NameError::Character { found: '/', at: 4 }));
    assert_eq!(parse("a.b:1"), Err(NameError::Character { found: ':', at: 4 }));
    assert_eq!(parse("flow:///"), Err(NameError::Empty));
}

#[test]
fn an_error_says_what_is_wrong_and_where() {
    assert_eq!(parse(""), Err(NameError::Empty));
    assert_eq!(parse("flow://"), Err(NameError::Empty));
    assert_eq!(parse("a..b"), Err(NameError::EmptyLabel { label: 2 }));
    assert_eq!(parse("a.b.."), Err(NameError::EmptyLabel { label: 3 }));
    assert_eq!(parse("."), Err(NameError::EmptyLabel { label: 1 }));
    assert_eq!(parse(".a"), Err(NameError::EmptyLabel { label: 1 }));
    assert_eq!(parse("a.b_c"), Err(NameError::Character { found: '_', at: 4 }));
    assert_eq!(parse("münchen.de"), Err(NameError::Character { found: 'ü', at: 2 }));
    assert_eq!(parse("a.-b"), Err(NameError::Hyphen { label: 2 }));
    assert_eq!(parse("a-.b"), Err(NameError::Hyphen { label: 1 }));
}

#[test]
fn a_name_has_at_most_200_octets_and_a_label_at_most_63() {
    let label = "a".repeat(MAX_LABEL);
    assert!(parse(&label).is_ok());
    assert_eq!(parse(&format!("b.{label}a")), Err(NameError::LabelTooLong { label: 2, len: 64 }));
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(8));
    assert_eq!(longest.len(), MAX_NAME);
    assert!(parse(&longest).is_ok());
    assert_eq!(parse(&format!("{longest}b")), Err(NameError::TooLong { len: 201 }));
}

#[test]
fn a_name_lies_within_its_namespace_at_a_dot_only() {
    let flow = parse("time.flows.unix.ar").unwrap();
    assert!(flow.is_within(&parse("flows.unix.ar").unwrap()));
    assert!(flow.is_within(&parse("unix.ar").unwrap()));
    assert!(!flow.is_within(&parse("lows.unix.ar").unwrap()));
    assert!(!flow.is_within(&flow));
    assert_eq!(flow.parent(), Some(parse("flows.unix.ar").unwrap()));
    assert_eq!(parse("ar").unwrap().parent(), None);
    assert_eq!(flow.child("ksdj898").unwrap().as_str(), "ksdj898.time.flows.unix.ar");
}

#[test]
fn a_name_is_a_checked_string_in_serde() {
    let name: Name = serde_json::from_str("\"A.b\"").unwrap();
    assert_eq!(serde_json::to_string(&name).unwrap(), "\"a.b\"");
    assert!(serde_json::from_str::<Name>("\"a..b\"").is_err());
}
