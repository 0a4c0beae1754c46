//! Commits, writes and reads that fail: whoever then does as the traits say loses and repeats nothing.

use std::future::Future;

use host_brokers::faulty::{Fault, Faulty, Op, Rate};
use host_brokers::{CommitOutcome, Output};

use super::*;

const COMMITS: u64 = 100;

/// Every way in which a commit and what belongs to it can fail.
const COMMITS_FAIL: &[Rate] = &[
    (Op::Commit, Fault::Unavailable, 50),
    (Op::Commit, Fault::Full, 50),
    (Op::Commit, Fault::Fenced, 50),
    (Op::Commit, Fault::LostMade, 100),
    (Op::Commit, Fault::LostNotMade, 50),
    (Op::Commit, Fault::Slow, 30),
    (Op::Commit, Fault::SlowAnswer, 30),
    (Op::Commit, Fault::Ends, 30),
    (Op::Send, Fault::Unavailable, 30),
    (Op::Send, Fault::LostMade, 30),
    (Op::Open, Fault::Unavailable, 100),
    (Op::Open, Fault::LostMade, 100),
];

const READS_FAIL: &[Rate] = &[
    (Op::Next, Fault::Unavailable, 50),
    (Op::Next, Fault::Torn, 100),
    (Op::Next, Fault::Slow, 50),
    (Op::Source, Fault::Unavailable, 100),
    (Op::Source, Fault::LostMade, 100),
];

const WRITES_FAIL: &[Rate] = &[
    (Op::Append, Fault::Unavailable, 100),
    (Op::Append, Fault::Full, 100),
    (Op::Append, Fault::LostMade, 200),
    (Op::Append, Fault::LostNotMade, 100),
];

/// Fixed seeds, and one of chance, which is printed.
fn seeds() -> [u64; 3] {
    let chance = Uuid::new_v4().as_u64_pair().0;
    eprintln!("seed of chance: {chance}");
    [FIXED, 2, chance]
}

/// With this one every fault happens at least once: how many draws there are hangs on the broker.
const FIXED: u64 = 1;

fn at_random(broker: &Faulty, seed: u64, rates: &[Rate]) {
    broker.at_random(seed, rates);
    if seed == FIXED {
        rates.iter().for_each(|(op, fault, _)| broker.script(*op, [Some(*fault)]));
    }
}

/// Releases what is held until the work is done.
async fn impatiently<T>(broker: &Faulty, work: impl Future<Output = T>) -> T {
    let release = async {
        loop {
            broker.until(|record| record.held > 0).await;
            broker.release();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        done = work => done,
        never = release => never,
    }
}

fn outputs(a: &TopicRef, b: &TopicRef, value: &str) -> Vec<Output> {
    let to = |topic: &TopicRef, partition| Output {
        topic: topic.clone(),
        partition,
        records: vec![record(value.to_owned()); 2],
    };
    vec![to(a, 0), to(b, 1), to(a, 1)]
}

/// What became of a commit: whether all or nothing of it is there, and nothing else. Readers may see outputs
/// a moment after whoever committed them knows.
async fn made(broker: &Arc<dyn Broker>, id: ShardId, a: &TopicRef, b: &TopicRef) -> bool {
    let opened = broker.open(id).await.unwrap();
    let is_made = !opened.positions.0.is_empty();
    assert_eq!(is_made, !opened.state.is_empty(), "by halves");
    let expected = if is_made { &["x", "x"][..] } else { &[] };
    for (topic, partition) in [(a, 0), (b, 1), (a, 1)] {
        let values = at_least(broker, topic, partition, expected.len()).await;
        assert_eq!(values, expected, "by halves");
    }
    is_made
}

async fn commit_once(broker: Arc<Faulty>, id: ShardId, a: TopicRef, b: TopicRef) -> CommitOutcome {
    let mut opened = broker.open(id).await.unwrap();
    let mut transaction = opened.fence.begin();
    transaction.send(outputs(&a, &b, "x")).await.unwrap();
    let state = vec![("k".into(), Some("v".into()))];
    let commit = Commit { state, ..commit_of(position(a.incarnation, 0, 1)) };
    transaction.commit(commit).await
}

pub async fn after_each_outcome_opening_again_shows_all_of_a_commit_or_nothing(place: impl Place) {
    use CommitOutcome::{Aborted, Committed, Fenced, Unknown};
    type Told = fn(&CommitOutcome) -> bool;
    let cases: [(Option<Fault>, bool, Told); 6] = [
        (None, true, |told| matches!(told, Committed)),
        (Some(Fault::Unavailable), false, |told| {
            matches!(told, Aborted(BrokerError::Unavailable(_)))
        }),
        (Some(Fault::Full), false, |told| matches!(told, Aborted(BrokerError::Full(_)))),
        (Some(Fault::Fenced), false, |told| matches!(told, Fenced)),
        (Some(Fault::LostMade), true, |told| matches!(told, Unknown(_))),
        (Some(Fault::LostNotMade), false, |told| matches!(told, Unknown(_))),
    ];
    let sound = place.open().await;
    let broker = Faulty::new(Arc::clone(&sound));
    for (fault, is_made, told) in cases {
        let (a, b) = (topic(&sound, "a", 2).await, topic(&sound, "b", 2).await);
        let id = shard(0);
        broker.script(Op::Commit, [fault]);
        let outcome = commit_once(Arc::clone(&broker), id, a.clone(), b.clone()).await;
        assert!(told(&outcome), "{fault:?}: {outcome:?}");
        assert_eq!(made(&sound, id, &a, &b).await, is_made, "{fault:?}");
        for topic in [a, b] {
            sound.delete(&topic).await.unwrap();
        }
    }
}

pub async fn a_commit_that_was_overtaken_while_it_was_slow_is_all_there_or_fenced(
    place: impl Place,
) {
    let sound = place.open().await;
    let broker = Faulty::new(Arc::clone(&sound));
    for fault in [Fault::Slow, Fault::SlowAnswer] {
        let (a, b) = (topic(&sound, "a", 2).await, topic(&sound, "b", 2).await);
        let id = shard(0);
        broker.script(Op::Commit, [Some(fault)]);
        let slow = commit_once(Arc::clone(&broker), id, a.clone(), b.clone());
        let slow = tokio::spawn(slow);
        broker.until(|record| record.held == 1).await;
        let seen = made(&sound, id, &a, &b).await;
        broker.release();
        let told = slow.await.unwrap();
        let expected = fault == Fault::SlowAnswer;
        assert_eq!(matches!(told, CommitOutcome::Committed), expected, "{told:?}");
        assert_eq!(matches!(told, CommitOutcome::Fenced), !expected, "{told:?}");
        assert_eq!((seen, made(&sound, id, &a, &b).await), (expected, expected));
        for topic in [a, b] {
            sound.delete(&topic).await.unwrap();
        }
    }
}

pub async fn outputs_that_were_sent_and_not_committed_are_nowhere(place: impl Place) {
    let sound = place.open().await;
    let broker = Faulty::new(Arc::clone(&sound));
    let (a, b) = (topic(&sound, "a", 2).await, topic(&sound, "b", 2).await);
    let id = shard(0);
    let mut opened = broker.open(id).await.unwrap();
    for fault in [Fault::Unavailable, Fault::Full, Fault::LostMade] {
        broker.script(Op::Send, [Some(fault)]);
        let mut transaction = opened.fence.begin();
        transaction.send(outputs(&a, &b, "never")).await.unwrap_err();
    }
    assert!(!made(&sound, id, &a, &b).await);
}

/// Commits 1 to [`COMMITS`], as somebody who opens again after whatever goes wrong.
async fn carry(broker: Arc<Faulty>, id: ShardId, topic: TopicRef) {
    'again: loop {
        let Ok(mut opened) = broker.open(id).await else { continue };
        let from = opened.positions.get(topic.incarnation, 9).unwrap_or(0);
        let count = opened.state.get("n".as_bytes()).map_or("0".into(), Bytes::clone);
        assert_eq!(count, from.to_string(), "position and state disagree");
        for next in from + 1..=COMMITS {
            let mut transaction = opened.fence.begin();
            let records = vec![record(next.to_string()), record(format!("{next}b"))];
            let output = Output { topic: topic.clone(), partition: 0, records };
            if transaction.send(vec![output]).await.is_err() {
                continue 'again;
            }
            let state = vec![("n".into(), Some(next.to_string().into()))];
            let commit = Commit { state, ..commit_of(position(topic.incarnation, 9, next)) };
            if !matches!(transaction.commit(commit).await, CommitOutcome::Committed) {
                continue 'again;
            }
        }
        return;
    }
}

pub async fn whoever_opens_again_after_each_failure_commits_everything_once(place: impl Place) {
    let sound = place.open().await;
    for seed in seeds() {
        let broker = Faulty::new(Arc::clone(&sound));
        let topic = topic(&sound, &format!("a{seed}"), 1).await;
        let id = shard(0);
        at_random(&broker, seed, COMMITS_FAIL);
        let work = async {
            // A task that ended is started again, as a host would be.
            while tokio::spawn(carry(Arc::clone(&broker), id, topic.clone())).await.is_err() {}
        };
        impatiently(&broker, work).await;
        let expected = (1..=COMMITS).flat_map(|next| [next.to_string(), format!("{next}b")]);
        let expected: Vec<_> = expected.collect();
        let seen = at_least(&sound, &topic, 0, expected.len()).await;
        assert_eq!(seen, expected, "seed {seed}");
        let record = broker.record();
        for (op, fault, _) in COMMITS_FAIL {
            assert!(seed != FIXED || record.count(*op, *fault) > 0, "no {op:?} {fault:?}");
        }
    }
}

pub async fn a_reader_that_begins_again_where_it_was_gets_everything_once(place: impl Place) {
    let sound = place.open().await;
    let topic = topic(&sound, "a", 1).await;
    let expected: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    for piece in expected.chunks(3) {
        let piece: Vec<_> = piece.iter().map(String::as_str).collect();
        append(&sound, &topic, 0, &piece).await;
    }
    for seed in seeds() {
        let broker = Faulty::new(Arc::clone(&sound));
        at_random(&broker, seed, READS_FAIL);
        let work = async {
            let (mut seen, mut next) = (Vec::new(), 0);
            'again: loop {
                let Ok(mut source) = broker.source(&topic, 0, next).await else { continue };
                while next < 300 {
                    let limits = BatchLimits { records: 2, bytes: 1 << 20 };
                    let Ok(batch) = source.next(limits).await else { continue 'again };
                    next = batch.next;
                    seen.extend(batch.records.iter().map(|stored| stored.record.value.clone()));
                }
                return seen;
            }
        };
        let seen = impatiently(&broker, work).await;
        let values = expected.iter().map(|value| Some(Bytes::from(value.clone())));
        assert!(seen.into_iter().eq(values), "seed {seed}");
        assert!(seed != FIXED || broker.record().count(Op::Next, Fault::Torn) > 0);
    }
}

pub async fn a_writer_that_repeats_its_token_writes_everything_once(place: impl Place) {
    let sound = place.open().await;
    for seed in seeds() {
        let broker = Faulty::new(Arc::clone(&sound));
        let topic = topic(&sound, &format!("a{seed}"), 1).await;
        at_random(&broker, seed, WRITES_FAIL);
        for number in 0..COMMITS {
            let append = Append {
                records: vec![(0, record(number.to_string()))],
                token: token("ana", &number.to_string()),
            };
            while broker.append(&topic, append.clone()).await.is_err() {}
        }
        let expected = (0..COMMITS).map(|number| number.to_string());
        let expected: Vec<_> = expected.collect();
        let seen = at_least(&sound, &topic, 0, expected.len()).await;
        assert_eq!(seen, expected, "seed {seed}");
        assert!(seed != FIXED || broker.record().count(Op::Append, Fault::LostMade) > 0);
    }
}
