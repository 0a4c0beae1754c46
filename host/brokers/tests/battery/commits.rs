//! Shards: who may commit, and what a commit holds.

use host_brokers::{CommitOutcome, Opened, Output};

use super::*;

fn output(topic: &TopicRef, partition: u32, value: &str) -> Output {
    Output { topic: topic.clone(), partition, records: vec![record(value.to_owned())] }
}

async fn commit(opened: &mut Opened, outputs: Vec<Output>, commit: Commit) -> CommitOutcome {
    let mut transaction = opened.fence.begin();
    if let Err(error) = transaction.send(outputs).await {
        return CommitOutcome::Aborted(error);
    }
    transaction.commit(commit).await
}

fn committed(outcome: CommitOutcome) {
    assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
}

fn aborted(outcome: CommitOutcome) -> BrokerError {
    match outcome {
        CommitOutcome::Aborted(error) => error,
        other => panic!("{other:?}"),
    }
}

fn fenced(outcome: CommitOutcome) {
    assert!(matches!(outcome, CommitOutcome::Fenced), "{outcome:?}");
}

fn entry(key: &'static str, value: &'static str) -> (Bytes, Option<Bytes>) {
    (key.into(), Some(value.into()))
}

pub async fn a_new_shard_is_empty(place: impl Place) {
    let broker = place.open().await;
    let opened = broker.open(shard(0)).await.unwrap();
    assert_eq!(opened.positions, Position::default());
    assert!(opened.state.is_empty());
    assert_eq!(opened.digest, None);
}

pub async fn a_commit_holds_outputs_positions_and_state(place: impl Place) {
    let broker = place.open().await;
    let (a, b) = (topic(&broker, "a", 2).await, topic(&broker, "b", 1).await);
    let id = shard(3);
    let mut opened = broker.open(id).await.unwrap();
    let outputs = vec![output(&a, 1, "1"), output(&b, 0, "2"), output(&a, 1, "3")];
    let first = Commit {
        positions: position(a.incarnation, 0, 5),
        state: vec![entry("k", "v"), entry("gone", "v"), entry("", "empty")],
        digest: "aa".into(),
        rewinds: false,
    };
    committed(commit(&mut opened, outputs, first).await);
    let second = Commit {
        positions: position(b.incarnation, 0, 7),
        state: vec![entry("k", "w"), ("gone".into(), None), ("never".into(), None)],
        digest: "bb".into(),
        rewinds: false,
    };
    committed(commit(&mut opened, vec![], second).await);
    drop(opened);
    drop(broker);
    let broker = place.open().await;
    let opened = broker.open(id).await.unwrap();
    let mut positions = position(a.incarnation, 0, 5);
    positions.set(b.incarnation, 0, 7);
    assert_eq!(opened.positions, positions);
    assert_eq!(opened.state, [("k".into(), "w".into()), ("".into(), "empty".into())].into());
    assert_eq!(opened.digest.as_deref(), Some("bb"));
    shows(&broker, &a, 1, ["1", "3"]).await;
    shows(&broker, &b, 0, ["2"]).await;
}

pub async fn outputs_are_seen_only_after_their_commit(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let mut opened = broker.open(shard(0)).await.unwrap();
    let mut transaction = opened.fence.begin();
    transaction.send(vec![output(&topic, 0, "never")]).await.unwrap();
    drop(transaction);
    let mut transaction = opened.fence.begin();
    transaction.send(vec![output(&topic, 0, "x")]).await.unwrap();
    transaction.send(vec![output(&topic, 0, "y")]).await.unwrap();
    append(&broker, &topic, 0, &["between"]).await;
    committed(transaction.commit(commit_of(Position::default())).await);
    shows(&broker, &topic, 0, ["between", "x", "y"]).await;
}

pub async fn a_commit_that_cannot_write_one_output_writes_nothing(place: impl Place) {
    let broker = place.open().await;
    let (a, gone) = (topic(&broker, "a", 1).await, topic(&broker, "gone", 1).await);
    let id = shard(0);
    let mut opened = broker.open(id).await.unwrap();
    broker.delete(&gone).await.unwrap();
    let change =
        Commit { state: vec![entry("k", "v")], ..commit_of(position(a.incarnation, 0, 1)) };
    let outputs = vec![output(&a, 0, "x"), output(&gone, 0, "y")];
    assert!(is_not_found(&aborted(commit(&mut opened, outputs, change.clone()).await)));
    let outputs = vec![output(&a, 0, "x"), output(&a, 1, "y")];
    let error = aborted(commit(&mut opened, outputs, change.clone()).await);
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
    assert_eq!(ends(&broker, &a, 0).await.latest, 0);
    // After an abort the shard is opened again, and goes on from what is true.
    let mut opened = broker.open(id).await.unwrap();
    assert_eq!((opened.positions.clone(), opened.state.len()), (Position::default(), 0));
    committed(commit(&mut opened, vec![output(&a, 0, "x")], change).await);
    shows(&broker, &a, 0, ["x"]).await;
}

pub async fn an_output_that_is_too_large_leaves_nothing_behind(place: impl Place) {
    let broker = place.open().await;
    let topic = topic_with(&broker, "a", 1, &[("max.message.bytes", "100")]).await;
    let mut opened = broker.open(shard(0)).await.unwrap();
    let outputs = vec![output(&topic, 0, "x"), output(&topic, 0, &"y".repeat(101))];
    let error = aborted(commit(&mut opened, outputs, commit_of(Position::default())).await);
    assert!(matches!(error, BrokerError::TooLarge { size: 101, limit: 100 }), "{error}");
    assert_eq!(ends(&broker, &topic, 0).await.latest, 0);
}

pub async fn whoever_opens_a_shard_fences_the_one_before(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let id = shard(0);
    let mut old = broker.open(id).await.unwrap();
    committed(
        commit(
            &mut old,
            vec![output(&topic, 0, "1")],
            commit_of(position(topic.incarnation, 0, 1)),
        )
        .await,
    );
    let mut new = broker.open(id).await.unwrap();
    assert_eq!(new.positions, position(topic.incarnation, 0, 1));
    let late =
        Commit { state: vec![entry("k", "late")], ..commit_of(position(topic.incarnation, 0, 9)) };
    fenced(commit(&mut old, vec![output(&topic, 0, "late")], late).await);
    committed(
        commit(
            &mut new,
            vec![output(&topic, 0, "2")],
            commit_of(position(topic.incarnation, 0, 2)),
        )
        .await,
    );
    fenced(commit(&mut old, vec![], commit_of(Position::default())).await);
    shows(&broker, &topic, 0, ["1", "2"]).await;
    let opened = broker.open(id).await.unwrap();
    assert_eq!((opened.positions, opened.state.len()), (position(topic.incarnation, 0, 2), 0));
}

pub async fn a_fence_does_not_outlive_its_broker(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let id = shard(0);
    let mut old = broker.open(id).await.unwrap();
    drop(broker);
    let broker = place.open().await;
    let mut new = broker.open(id).await.unwrap();
    let late = commit(
        &mut old,
        vec![output(&topic, 0, "late")],
        commit_of(position(topic.incarnation, 0, 9)),
    )
    .await;
    assert!(!matches!(late, CommitOutcome::Committed));
    committed(
        commit(
            &mut new,
            vec![output(&topic, 0, "x")],
            commit_of(position(topic.incarnation, 0, 1)),
        )
        .await,
    );
    shows(&broker, &topic, 0, ["x"]).await;
    assert_eq!(broker.open(id).await.unwrap().positions, position(topic.incarnation, 0, 1));
}

pub async fn a_forgotten_processor_is_fenced_and_empty(place: impl Place) {
    let broker = place.open().await;
    let flow = topic(&broker, "a", 1).await.incarnation;
    let (id, other) = (shard(0), shard(0));
    let mut old = broker.open(id).await.unwrap();
    let change = Commit { state: vec![entry("k", "v")], ..commit_of(position(flow, 0, 3)) };
    committed(commit(&mut old, vec![], change.clone()).await);
    let mut kept = broker.open(other).await.unwrap();
    committed(commit(&mut kept, vec![], change).await);
    broker.forget(id.processor).await.unwrap();
    broker.forget(id.processor).await.unwrap();
    fenced(commit(&mut old, vec![], commit_of(position(flow, 0, 4))).await);
    let opened = broker.open(id).await.unwrap();
    assert_eq!(
        (opened.positions, opened.state.len(), opened.digest),
        (Position::default(), 0, None)
    );
    // Opening it again gives nobody back what he had.
    fenced(commit(&mut old, vec![], commit_of(position(flow, 0, 5))).await);
    assert_eq!(broker.open(other).await.unwrap().positions, position(flow, 0, 3));
}

pub async fn positions_only_move_on(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let flow = topic.incarnation;
    let id = shard(0);
    let mut opened = broker.open(id).await.unwrap();
    for next in [5, 5, 6] {
        committed(commit(&mut opened, vec![], commit_of(position(flow, 0, next))).await);
    }
    let back =
        commit(&mut opened, vec![output(&topic, 0, "x")], commit_of(position(flow, 0, 4))).await;
    assert!(matches!(aborted(back), BrokerError::Invalid(_)));
    assert_eq!(ends(&broker, &topic, 0).await.latest, 0);
    assert_eq!(broker.open(id).await.unwrap().positions, position(flow, 0, 6));
}

pub async fn positions_move_back_where_the_commit_says_so(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let (flow, id) = (topic.incarnation, shard(0));
    let mut opened = broker.open(id).await.unwrap();
    committed(commit(&mut opened, vec![], commit_of(position(flow, 0, 9))).await);
    let back = Commit { rewinds: true, ..commit_of(position(flow, 0, 4)) };
    committed(commit(&mut opened, vec![output(&topic, 0, "x")], back).await);
    shows(&broker, &topic, 0, ["x"]).await;
    assert_eq!(broker.open(id).await.unwrap().positions, position(flow, 0, 4));
}

pub async fn a_reposition_moves_back_and_fences(place: impl Place) {
    let broker = place.open().await;
    let flow = topic(&broker, "a", 2).await.incarnation;
    let id = shard(0);
    let mut old = broker.open(id).await.unwrap();
    let mut both = position(flow, 0, 5);
    both.set(flow, 1, 8);
    committed(commit(&mut old, vec![], commit_of(both)).await);
    broker.reposition(id, position(flow, 0, 2), false).await.unwrap();
    // Whoever had it open would go on from the old place.
    fenced(commit(&mut old, vec![], commit_of(position(flow, 0, 6))).await);
    let opened = broker.open(id).await.unwrap();
    let mut moved = position(flow, 0, 2);
    moved.set(flow, 1, 8);
    assert_eq!(opened.positions, moved);
    let fresh = shard(1);
    broker.reposition(fresh, position(flow, 0, 3), true).await.unwrap();
    assert_eq!(broker.open(fresh).await.unwrap().positions, position(flow, 0, 3));
}

pub async fn a_reposition_resets_the_state_only_when_told(place: impl Place) {
    let broker = place.open().await;
    let flow = topic(&broker, "a", 1).await.incarnation;
    let id = shard(0);
    let mut opened = broker.open(id).await.unwrap();
    let change = Commit { state: vec![entry("k", "v")], ..commit_of(position(flow, 0, 3)) };
    committed(commit(&mut opened, vec![], change).await);
    broker.reposition(id, position(flow, 0, 0), false).await.unwrap();
    assert_eq!(broker.open(id).await.unwrap().state.len(), 1);
    broker.reposition(id, position(flow, 0, 0), true).await.unwrap();
    assert_eq!(broker.open(id).await.unwrap().state.len(), 0);
}

pub async fn shards_do_not_see_each_other(place: impl Place) {
    let broker = place.open().await;
    let flow = topic(&broker, "a", 2).await.incarnation;
    let processor = Uuid::new_v4();
    let ids = [0, 1].map(|shard| ShardId { processor, shard });
    let mut opened = Vec::new();
    for id in ids {
        opened.push(broker.open(id).await.unwrap());
    }
    for (opened, value) in opened.iter_mut().zip(["v0", "v1"]) {
        let change = Commit { state: vec![entry("k", value)], ..commit_of(position(flow, 0, 1)) };
        committed(commit(opened, vec![], change).await);
    }
    for (id, value) in ids.into_iter().zip(["v0", "v1"]) {
        assert_eq!(broker.open(id).await.unwrap().state["k".as_bytes()], value);
    }
}

pub async fn commits_of_many_shards_at_once_are_all_there(place: impl Place) {
    const SHARDS: u32 = 8;
    const COMMITS: u64 = 30;
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let processor = Uuid::new_v4();
    let work = |number: u32| {
        let (broker, topic) = (broker.clone(), topic.clone());
        async move {
            let id = ShardId { processor, shard: number };
            let mut opened = broker.open(id).await.unwrap();
            for next in 1..=COMMITS {
                let output = output(&topic, 0, &format!("{number}.{next}"));
                let change = commit_of(position(topic.incarnation, number, next));
                committed(commit(&mut opened, vec![output], change).await);
            }
        }
    };
    let work: Vec<_> = (0..SHARDS).map(|number| tokio::spawn(work(number))).collect();
    for task in work {
        task.await.unwrap();
    }
    let count = usize::try_from(u64::from(SHARDS) * COMMITS).unwrap();
    let seen = at_least(&broker, &topic, 0, count).await;
    assert_eq!(seen.len(), count);
    for number in 0..SHARDS {
        let mine: Vec<_> =
            seen.iter().filter(|text| text.starts_with(&format!("{number}."))).collect();
        let expected: Vec<_> = (1..=COMMITS).map(|next| format!("{number}.{next}")).collect();
        assert!(mine.into_iter().eq(&expected));
    }
}
