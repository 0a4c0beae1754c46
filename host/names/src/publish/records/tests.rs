use super::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn agent() -> Agent {
    let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    Agent { name: name("fnaa.syndeno.com"), port: 65432, tls: true, addresses, ttl: 300 }
}

fn flow() -> Flow {
    let queue =
        Queue { host: name("kafka.syndeno.com"), port: 9092, tls: true, kind: "kafka".to_owned() };
    Flow {
        name: name("notifications.calendar.people.syndeno.com"),
        namespace: name("people.syndeno.com"),
        id: "4711".to_owned(),
        ttl: 60,
        queue: Some(queue),
        listed: true,
    }
}

fn text(sets: &[Set]) -> String {
    sets.iter().map(ToString::to_string).collect()
}

#[test]
fn a_flow_has_records_for_all_three_readers() {
    let f = "notifications.calendar.people.syndeno.com.";
    let instance = "notifications\\.calendar._flow._tcp.people.syndeno.com.";
    let wanted = format!(
        "{f} 60 IN PTR _flow._tcp.{f}
_flow._tcp.{f} 60 IN SRV 30 30 65432 fnaa.syndeno.com.
_flow._tcp.{f} 60 IN TXT \"txtvers=1\" \"tls\" \"id=4711\"
{f} 60 IN SRV 0 0 65432 fnaa.syndeno.com.
_queue._flow._tcp.{f} 60 IN SRV 30 30 9092 kafka.syndeno.com.
_queue._flow._tcp.{f} 60 IN TXT \"txtvers=1\" \"broker-type=kafka\" \"tls\"
_flow._tcp.people.syndeno.com. 300 IN PTR {instance}
{instance} 60 IN SRV 0 0 65432 fnaa.syndeno.com.
{instance} 60 IN TXT \"txtvers=1\" \"tls\" \"id=4711\"
"
    );
    assert_eq!(text(&flow_sets(&flow(), &agent())), wanted);
}

#[test]
fn a_namespace_says_who_answers_for_it_and_a_host_where_it_is() {
    let wanted = "_flow._tcp.people.syndeno.com. 300 IN SRV 0 0 65432 fnaa.syndeno.com.
_services._dns-sd._udp.people.syndeno.com. 300 IN PTR _flow._tcp.people.syndeno.com.
";
    assert_eq!(text(&namespace_sets(&name("people.syndeno.com"), &agent())), wanted);
    let wanted = "fnaa.syndeno.com. 300 IN SRV 0 0 65432 fnaa.syndeno.com.
fnaa.syndeno.com. 300 IN A 192.0.2.1
fnaa.syndeno.com. 300 IN AAAA 2001:db8::1
";
    assert_eq!(text(&agent_sets(&agent())), wanted);
    let elsewhere = Agent { addresses: vec![], ..agent() };
    assert_eq!(agent_sets(&elsewhere).len(), 1);
}

#[test]
fn a_broker_that_nobody_reaches_tls_that_begins_later_and_a_flow_not_to_find_are_not_said() {
    let flow = Flow { queue: None, listed: false, ..flow() };
    let written = text(&flow_sets(&flow, &Agent { tls: false, ..agent() }));
    assert_eq!(written.lines().count(), 4);
    for word in ["_queue", "\"tls\"", "\\."] {
        assert!(!written.contains(word), "{word} in {written}");
    }
}

#[test]
fn a_flow_whose_instance_is_no_label_is_not_browsed() {
    let label = "a".repeat(31);
    let fits = Flow { name: name(&format!("{label}.{label}.people.syndeno.com")), ..flow() };
    assert_eq!(flow_sets(&fits, &agent()).len(), 9);
    let long = Flow { name: name(&format!("{label}.{label}a.people.syndeno.com")), ..flow() };
    assert_eq!(flow_sets(&long, &agent()).len(), 6);
}

#[test]
fn the_longest_name_fits_with_everything_in_front_of_it() {
    let label = "a".repeat(61);
    let long = name(&format!("{label}.{label}.{label}.{}", "b".repeat(14)));
    assert_eq!(long.as_str().len(), fnap::name::MAX_NAME);
    let namespace = long.parent().unwrap();
    let sets = flow_sets(&Flow { name: long, namespace, ..flow() }, &agent());
    assert_eq!(sets.len(), 9);
    for set in sets {
        assert!(Owner::from_labels(set.owner.labels()).is_ok(), "{}", set.owner);
    }
}

#[test]
fn a_string_has_at_most_255_octets() {
    let sets = flow_sets(&Flow { id: "é".repeat(200), ..flow() }, &agent());
    let Data::Txt(texts) = &sets[2].data else { panic!("{:?}", sets[2]) };
    assert!(texts.iter().flatten().all(|string| string.len() <= MAX_STRING));
}
