//! What each command does to the rows, and what it refuses.

use super::*;

async fn done(registry: &Registry, entry: Result<JournalId, RegistryError>) {
    let reconciled = registry.wait(entry.unwrap(), COMMAND_WAIT).await;
    reconciled.unwrap();
}

fn words<T: std::fmt::Debug>(answer: Result<T, RegistryError>) -> String {
    answer.unwrap_err().to_string()
}

#[tokio::test]
async fn a_flow_belongs_to_the_namespace_that_is_its_longest_suffix() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path()).await;
    done(&registry, registry.create_namespace(new_namespace("test")).await).await;
    done(&registry, registry.create_namespace(new_namespace("n.test")).await).await;
    registry.create_flow(new_flow("a.b.n.test")).await.unwrap();
    registry.create_flow(new_flow("x.test")).await.unwrap();
    let flow = registry.flow(&name("a.b.n.test")).await.unwrap().unwrap();
    assert_eq!(flow.namespace, name("n.test"));
    assert_eq!(flow.status, FlowStatus::Creating);
    assert_eq!((flow.broker.as_str(), flow.topic.as_str()), ("embedded", "a.b.n.test"));
    assert_eq!(registry.flows(Some(&name("n.test"))).await.unwrap().len(), 1);
    assert_eq!(registry.flows(Some(&name("test"))).await.unwrap().len(), 1);
    assert!(registry.flows(Some(&name("other"))).await.is_err());
    let outside = registry.create_flow(new_flow("a.elsewhere")).await.unwrap_err();
    assert!(matches!(outside, RegistryError::NoNamespace { .. }));
    let itself = registry.create_flow(new_flow("test")).await.unwrap_err();
    assert!(matches!(itself, RegistryError::NoNamespace { .. }));
}

#[tokio::test]
async fn names_are_unique_over_namespaces_flows_and_processors() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let p = words(registry.create_flow(new_flow("p.n.test")).await);
    assert_eq!(p, "processor p.n.test exists");
    let a = new_processor("a.n.test", &["b.n.test"], &["c.n.test"]);
    assert_eq!(words(registry.create_processor(a).await), "flow a.n.test exists");
    assert_eq!(words(registry.create_flow(new_flow("a.n.test")).await), "flow a.n.test exists");
    let twice = words(registry.create_namespace(new_namespace("n.test")).await);
    assert_eq!(twice, "namespace n.test exists");
    let flow = words(registry.create_namespace(new_namespace("a.n.test")).await);
    assert_eq!(flow, "flow a.n.test exists");
}

#[tokio::test]
async fn a_namespace_takes_no_flow_from_another_and_is_deleted_empty_only() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    // Nobody reconciles here: it stays in creation, and counts all the same.
    registry.create_flow(new_flow("x.deep.n.test")).await.unwrap();
    let longer = words(registry.create_namespace(new_namespace("deep.n.test")).await);
    assert_eq!(longer, "1 name would change hands: x.deep.n.test");
    let full = words(registry.delete_namespace(&name("n.test")).await);
    assert!(
        full.starts_with("namespace n.test holds a.n.test, b.n.test, c.n.test and 3 more"),
        "{full}"
    );
    done(&registry, registry.create_namespace(new_namespace("test")).await).await;
    done(&registry, registry.delete_namespace(&name("test")).await).await;
    assert!(registry.namespace(&name("test")).await.unwrap().is_none());
    assert_eq!(words(registry.delete_namespace(&name("test")).await), "namespace test");
}

#[tokio::test]
async fn a_namespace_keeps_its_settings() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let n = name("n.test");
    done(&registry, registry.update_namespace(&n, config(&[("a", "1"), ("b", "2")])).await).await;
    done(&registry, registry.update_namespace(&n, config(&[("b", "3")])).await).await;
    let found = registry.namespace(&n).await.unwrap().unwrap();
    assert_eq!(found.config, config(&[("a", "1"), ("b", "3")]));
    assert!(registry.update_namespace(&n, config(&[("B!", "3")])).await.is_err());
}

#[tokio::test]
async fn two_flows_share_no_topic() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let new = NewFlow { topic: Some("a.n.test".to_owned()), ..new_flow("z.n.test") };
    assert_eq!(words(registry.create_flow(new).await), "topic a.n.test belongs to flow a.n.test");
}

#[tokio::test]
async fn a_flow_in_use_is_not_deleted_and_its_users_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    for flow in ["a.n.test", "b.n.test"] {
        let refused = registry.delete_flow(&name(flow)).await;
        assert_eq!(words(refused), format!("flow {flow} is used by p.n.test"));
        assert_eq!(registry.users_of_flow(&name(flow)).await.unwrap(), [name("p.n.test")]);
    }
}

#[tokio::test]
async fn a_protected_flow_is_neither_purged_nor_destroyed_but_released() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let _reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir.path())));
    for flow in ["c.n.test", "taken.n.test"] {
        let change = FlowChange { config: config(&[(PROTECTED, "true")]), ..Default::default() };
        done(&registry, registry.update_flow(&name(flow), change).await).await;
    }
    let c = name("c.n.test");
    assert!(words(registry.purge_flow(&c).await).contains("is protected"));
    assert!(words(registry.delete_flow(&c).await).contains("is protected"));
    assert!(!registry.flow(&c).await.unwrap().unwrap().topic_config().contains_key(PROTECTED));
    done(&registry, registry.delete_flow(&name("taken.n.test")).await).await;
    let change = FlowChange { config: config(&[(PROTECTED, "false")]), ..Default::default() };
    done(&registry, registry.update_flow(&c, change).await).await;
    done(&registry, registry.delete_flow(&c).await).await;
}

#[tokio::test]
async fn partitions_are_added_and_never_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let _reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir.path())));
    let a = name("a.n.test");
    let to = |count| FlowChange { partitions: Some(count), ..Default::default() };
    done(&registry, registry.update_flow(&a, to(3)).await).await;
    let fewer = words(registry.update_flow(&a, to(2)).await);
    assert_eq!(fewer, "flow a.n.test has 3 partitions: never fewer");
    assert!(registry.update_flow(&a, to(limits::MAX_PARTITIONS + 1)).await.is_err());
    let missing = registry.update_flow(&name("no.n.test"), to(2)).await.unwrap_err();
    assert!(matches!(missing, RegistryError::NotFound { what: "flow", .. }));
}

#[tokio::test]
async fn a_flow_is_held_and_goes_on_and_repeats_are_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let a = name("a.n.test");
    for _ in 0..2 {
        done(&registry, registry.pause_flow(&a).await).await;
        assert_eq!(registry.flow(&a).await.unwrap().unwrap().status, FlowStatus::Paused);
    }
    for _ in 0..2 {
        done(&registry, registry.resume_flow(&a).await).await;
        assert_eq!(registry.flow(&a).await.unwrap().unwrap().status, FlowStatus::Active);
    }
}

#[tokio::test]
async fn a_flow_made_again_under_its_name_is_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let _reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir.path())));
    let c = name("c.n.test");
    let before = registry.flow(&c).await.unwrap().unwrap();
    done(&registry, registry.delete_flow(&c).await).await;
    assert!(registry.flow(&c).await.unwrap().is_none());
    done(&registry, registry.create_flow(new_flow("c.n.test")).await).await;
    let after = registry.flow(&c).await.unwrap().unwrap();
    assert_ne!(before.incarnation, after.incarnation);
}

#[tokio::test]
async fn a_flow_on_its_way_out_cannot_be_used_and_a_second_deletion_waits_for_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let c = name("c.n.test");
    let entry = registry.delete_flow(&c).await.unwrap();
    assert_eq!(registry.flow(&c).await.unwrap().unwrap().status, FlowStatus::Deleting);
    assert_eq!(registry.delete_flow(&c).await.unwrap(), entry);
    let user = new_processor("q.n.test", &["a.n.test"], &["c.n.test"]);
    assert_eq!(words(registry.create_processor(user).await), "deletion of c.n.test is under way");
    assert_eq!(
        words(registry.create_flow(new_flow("c.n.test")).await),
        "flow c.n.test is being deleted"
    );
    for refused in [registry.pause_flow(&c).await, registry.purge_flow(&c).await] {
        assert_eq!(words(refused), "deletion of c.n.test is under way");
    }
}

#[tokio::test]
async fn a_deletion_overtakes_a_creation_that_cannot_end() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let world = World::at(dir.path()).fail(usize::MAX);
    let _reconciler = Reconciler::start(registry.clone(), Arc::new(world.clone()));
    let creation = registry.create_flow(new_flow("new.n.test")).await.unwrap();
    world.wait_for_calls(1).await;
    let deletion = registry.delete_flow(&name("new.n.test")).await.unwrap();
    assert_eq!(registry.outcome(creation).unwrap(), Some(Outcome::Superseded));
    assert_eq!(words(registry.wait(creation, COMMAND_WAIT).await), "overtaken by its deletion");
    world.agree();
    registry.wait(deletion, COMMAND_WAIT).await.unwrap();
    assert_agreement(&registry, &world).await;
}

#[tokio::test]
async fn a_processor_needs_flows_that_are_there_and_remembers_their_lives() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let p = registry.processor(&name("p.n.test")).await.unwrap().unwrap();
    let a = registry.flow(&name("a.n.test")).await.unwrap().unwrap();
    assert_eq!(p.input_incarnations, [(a.name, a.incarnation)].into());
    assert_eq!((p.desired, p.revision), (Desired::Running, 1));
    assert_eq!(p.option("delivery"), Some("auto"));
    assert_eq!(p.option("colour"), None);
    let try_new = async |inputs: &[&str], outputs: &[&str]| {
        let new = new_processor("q.n.test", inputs, outputs);
        let checked = words(registry.check_new_processor(&new).await);
        assert_eq!(checked, words(registry.create_processor(new).await));
        checked
    };
    assert_eq!(try_new(&["no.n.test"], &["b.n.test"]).await, "flow no.n.test");
    assert_eq!(try_new(&["a.n.test"], &["no.n.test"]).await, "flow no.n.test");
    assert_eq!(try_new(&[], &["b.n.test"]).await, "no input");
    assert_eq!(try_new(&["a.n.test"], &[]).await, "no output");
    assert_eq!(
        try_new(&["a.n.test", "a.n.test"], &["b.n.test"]).await,
        "input a.n.test is named twice"
    );
    assert_eq!(
        try_new(&["a.n.test", "b.n.test"], &["b.n.test"]).await,
        "b.n.test would feed itself"
    );
    let many: Vec<String> = (0..=limits::MAX_ENDS).map(|n| format!("f{n}.n.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(try_new(&many, &["b.n.test"]).await, "this host holds at most 64 flows on one side");
    let outside = new_processor("q.elsewhere", &["a.n.test"], &["b.n.test"]);
    let outside = registry.create_processor(outside).await.unwrap_err();
    assert!(matches!(outside, RegistryError::NoNamespace { .. }));
}

#[tokio::test]
async fn a_processor_is_changed_held_moved_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let _reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir.path())));
    let p = name("p.n.test");
    let now = async || registry.processor(&p).await.unwrap().unwrap();
    let change = ProcessorChange {
        config: Some("[1]".to_owned()),
        options: config(&[("upgrade", "pinned")]),
        pin: Some("d1".to_owned()),
        shadow: None,
    };
    done(&registry, registry.update_processor(&p, change).await).await;
    assert_eq!(
        (now().await.config.as_str(), now().await.option("upgrade")),
        ("[1]", Some("pinned"))
    );
    let wrong = ProcessorChange { config: Some("{".to_owned()), ..Default::default() };
    assert!(registry.update_processor(&p, wrong).await.is_err());
    let running = words(registry.move_processor(&p, Start::Latest, true).await);
    assert_eq!(running, "processor p.n.test is running: pause it first");
    for desired in [Desired::Paused, Desired::Paused, Desired::Stopped, Desired::Running] {
        done(&registry, registry.set_desired(&p, desired).await).await;
        assert_eq!(now().await.desired, desired);
        if desired == Desired::Stopped {
            let to = Start::Offset { partition: 0, offset: 7 };
            done(&registry, registry.move_processor(&p, to, false).await).await;
        }
    }
    let id = now().await.id;
    done(&registry, registry.delete_processor(&p).await).await;
    assert!(registry.processor(&p).await.unwrap().is_none());
    let again = new_processor("p.n.test", &["a.n.test"], &["b.n.test"]);
    done(&registry, registry.create_processor(again).await).await;
    assert_ne!(now().await.id, id);
}

#[tokio::test]
async fn one_change_of_a_thing_at_a_time_and_the_same_one_again_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let p = name("p.n.test");
    let pause = registry.set_desired(&p, Desired::Paused).await.unwrap();
    assert_eq!(registry.set_desired(&p, Desired::Paused).await.unwrap(), pause);
    let resume = words(registry.set_desired(&p, Desired::Running).await);
    assert_eq!(resume, "change of p.n.test is under way");
    let deletion = registry.set_desired(&p, Desired::Deleted).await.unwrap();
    assert_eq!(registry.outcome(pause).unwrap(), Some(Outcome::Superseded));
    assert_eq!(registry.delete_processor(&p).await.unwrap(), deletion);
}

#[test]
fn a_derived_name_is_the_same_for_the_same_command_only() {
    let (a, b, n) = ([name("a.n.test")], [name("b.n.test")], name("n.test"));
    let derived = derived_name("bridge", &a, &b, "{}", &n).unwrap();
    assert_eq!(derived, derived_name("bridge", &a, &b, "{}", &n).unwrap());
    let label = derived.labels().next().unwrap();
    assert_eq!((label.len(), derived.parent()), ("bridge-".len() + 10, Some(n.clone())));
    assert_ne!(derived, derived_name("bridge", &b, &a, "{}", &n).unwrap());
    assert_ne!(derived, derived_name("bridge", &a, &b, "[]", &n).unwrap());
    assert!(derived_name("Bridge!", &a, &b, "{}", &n).is_err());
    let long = "k".repeat(limits::MAX_KIND);
    assert!(derived_name(&long, &a, &b, "{}", &n).is_ok());
}
