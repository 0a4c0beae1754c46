use super::*;
use crate::publish::{Agent, Flow, flow_sets};

fn zone() -> Zone {
    Zone::new("example".parse().unwrap())
}

fn agent() -> Agent {
    let name = "fnaa.example".parse().unwrap();
    Agent { name, port: 61000, tls: false, addresses: vec![], ttl: 300 }
}

fn change(flows: usize) -> Change {
    let mut change = Change::default();
    for number in 0..flows {
        let flow = Flow {
            name: format!("f{number}.flows.example").parse().unwrap(),
            namespace: "flows.example".parse().unwrap(),
            id: format!("id-{number}"),
            ttl: 300,
            queue: None,
            listed: true,
        };
        change.add.extend(flow_sets(&flow, &agent()));
        change.fresh.push((Owner::from(&flow.name), flow.id));
    }
    change
}

#[test]
fn a_change_of_a_hundred_flows_is_one_message() {
    let change = change(100);
    let pieces = pieces(&zone(), &change, &BTreeSet::new()).unwrap();
    assert_eq!(pieces.len(), 1);
    let message = pieces[0].message(1, &zone()).unwrap();
    assert_eq!(message.authorities.len(), change.add.len());
    let free = pieces[0].conditions.iter().filter(|one| matches!(one, Condition::Free(_)));
    assert_eq!(free.count(), 100);
}

#[test]
fn a_change_that_does_not_fit_is_split_between_flows_only() {
    let change = change(2_000);
    let pieces = pieces(&zone(), &change, &BTreeSet::new()).unwrap();
    assert!(pieces.len() > 1);
    let mut records = 0;
    for piece in &pieces {
        let message = piece.message(1, &zone()).unwrap();
        records += message.authorities.len();
        // Room for a signature.
        assert!(message.to_vec().unwrap().len() < 64 * 1_024 - 1_024);
        let has = |owner: &Owner| {
            let owner = name(owner).unwrap();
            message.authorities.iter().any(|record| record.name == owner)
        };
        for condition in &piece.conditions {
            if let Condition::Free(flow) = condition {
                let service: Owner = format!("_flow._tcp.{flow}").parse().unwrap();
                assert!(has(flow) && has(&service), "{flow}");
            }
        }
    }
    assert_eq!(records, change.add.len());
}

#[test]
fn what_is_recognised_need_not_be_free() {
    let change = change(2);
    let known = [change.fresh[0].0.clone()].into();
    let pieces = pieces(&zone(), &change, &known).unwrap();
    assert!(!pieces[0].conditions.contains(&Condition::Free(change.fresh[0].0.clone())));
    assert!(pieces[0].conditions.contains(&Condition::Free(change.fresh[1].0.clone())));
}

#[test]
fn removals_come_first() {
    let mut change = change(1);
    change.remove = change.add.clone();
    let pieces = pieces(&zone(), &change, &BTreeSet::new()).unwrap();
    let message = pieces[0].message(1, &zone()).unwrap();
    let removals = message.authorities.iter().take_while(|one| one.dns_class == DNSClass::NONE);
    assert_eq!(removals.count(), change.remove.len());
}

#[test]
fn the_name_of_a_flow_that_is_the_zones_may_have_what_a_zone_has() {
    let change = change(1);
    let zone = Zone::new("f0.flows.example".parse().unwrap());
    let pieces = pieces(&zone, &change, &BTreeSet::new()).unwrap();
    let flow = &change.fresh[0].0;
    assert!(!pieces[0].conditions.contains(&Condition::Free(flow.clone())));
    for kind in [Kind::Ptr, Kind::Srv] {
        assert!(pieces[0].conditions.contains(&Condition::Absent(flow.clone(), kind)));
    }
}
