//! What a follower says and takes, and how it ends.

use super::super::messages::{Ack, Attach, Attached, Close, Credit, Detach, Ended, Pong, Records};
use super::*;
use crate::reply::{Code, Failure};

fn said(follower: &mut Follower, messages: &[Message]) -> Result<Vec<Followed>, StreamError> {
    messages.iter().for_each(|message| follower.receive(&encode(message.clone())));
    let mut events = Vec::new();
    while let Some(event) = follower.next_event()? {
        events.push(event);
    }
    Ok(events)
}

fn refused(follower: &mut Follower, message: Message) -> StreamError {
    let error = said(follower, &[message]).unwrap_err();
    assert!(follower.is_over() && !follower.wants_input());
    assert_eq!(follower.next_event(), Err(error.clone()));
    let sent = messages(&written(follower.outgoing()));
    let Some(Message::Close(close)) = sent.last() else { panic!("{sent:?}") };
    assert_eq!(close.words, error.to_string());
    assert_eq!(follower.attach(wanted(&[], 1)), Err(Refused::Over));
    error
}

fn attached(stream: u32, partitions: &[Partition]) -> Message {
    let (incarnation, partitions) = ("life".to_owned(), partitions.to_vec());
    Message::Attached(Attached { stream, incarnation, partitions, held: false })
}

fn records(stream: u32, next: u64, records: &[Record]) -> Message {
    let packed = pack(records);
    let body = packed.chunks().flatten().copied().collect();
    let count = records.len() as u32;
    Message::Records(Records { stream, next, count, body, ..Records::default() })
}

fn ended(stream: u32, code: u32) -> Message {
    Message::Ended(Ended {
        stream,
        code,
        name: "NAME".to_owned(),
        words: "words\x1b[2J".to_owned(),
    })
}

fn attaching(credit: u64) -> Follower {
    let mut follower = Follower::new(false);
    assert_eq!(said(&mut follower, &[hello(&["zstd", "later"])]), Ok(vec![Followed::Hello]));
    assert_eq!(follower.attach(wanted(&[], credit)), Ok(1));
    follower
}

/// Stream 1 with partition 0 from offset 5.
fn following(credit: u64) -> Follower {
    let mut follower = attaching(credit);
    said(&mut follower, &[attached(1, &[partition(0, 1, 5, 9)])]).unwrap();
    written(follower.outgoing());
    follower
}

#[test]
fn a_stream_goes_from_attach_to_ended() {
    let mut follower = Follower::new(true);
    let asked =
        Wanted { incarnation: "life".into(), begin: Begin::Time(-3), ..wanted(&[(0, 5)], 1_000) };
    assert_eq!(follower.attach(asked), Ok(1));
    let attach = Attach {
        stream: 1,
        flow: "time.flows.unix.ar".to_owned(),
        incarnation: "life".to_owned(),
        positions: positions(&[(0, 5)]),
        start: 2,
        time: -3,
        credit: 1_000,
    };
    assert_eq!(
        messages(&written(follower.outgoing())),
        [hello(&["zstd"]), Message::Attach(attach)]
    );
    let partitions = [partition(0, 1, 5, 9), partition(1, 0, 0, 0)];
    let events = said(
        &mut follower,
        &[
            hello(&[]),
            attached(1, &partitions),
            records(1, 7, &[record(6, b"six")]),
            records(1, 9, &[]),
            Message::Attached(Attached {
                stream: 1,
                partitions: vec![partition(2, 0, 0, 0)],
                ..Attached::default()
            }),
            Message::Attached(Attached { stream: 1, held: true, ..Attached::default() }),
            Message::Attached(Attached { stream: 1, ..Attached::default() }),
        ],
    );
    let [
        Followed::Hello,
        Followed::Attached { stream: 1, incarnation, partitions: got },
        Followed::Records(first),
        Followed::Records(second),
        Followed::Added { stream: 1, partitions: added },
        Followed::Held { stream: 1, held: true },
        Followed::Held { stream: 1, held: false },
    ] = &events.unwrap()[..]
    else {
        panic!()
    };
    assert_eq!((incarnation.as_str(), &got[..], added.len()), ("life", &partitions[..], 1));
    assert_eq!((first.from, first.next, second.from, second.next), (5, 7, 7, 9));
    assert_eq!(first.open_plain(), Ok(vec![record(6, b"six")]));
    assert_eq!(follower.positions(1), Some(map(&[(0, 9), (1, 0), (2, 0)])));
    follower.ack(1, &map(&[(0, 8)])).unwrap();
    follower.detach(1).unwrap();
    assert_eq!(follower.detach(1), Err(Refused::Gone));
    let ack = Ack { stream: 1, positions: positions(&[(0, 8)]) };
    let sent = messages(&written(follower.outgoing()));
    assert_eq!(sent, [Message::Ack(ack), Message::Detach(Detach { stream: 1 })]);
    // What was under way is dropped.
    let events = said(&mut follower, &[records(1, 99, &[]), attached(1, &[]), ended(1, 220)]);
    let failure = Failure::new(Code::Ok, "words [2J");
    assert_eq!(events, Ok(vec![Followed::Ended { stream: 1, failure }]));
    assert_eq!(follower.attach(wanted(&[], 1)), Ok(2));
}

#[test]
fn credit_is_given_back_in_lumps_and_all_of_it_in_the_end() {
    let cost = pack(&[record(5, &[0; 100])]).cost();
    let mut follower = following(10 * cost);
    let batches: Vec<Message> =
        (5..11).map(|at| records(1, at + 1, &[record(at, &[0; 100])])).collect();
    assert_eq!(said(&mut follower, &batches).unwrap().len(), 6);
    let credits = |follower: &mut Follower| messages(&written(follower.outgoing()));
    for _ in 0..4 {
        follower.used(1, cost);
        assert_eq!(credits(&mut follower), []);
    }
    follower.used(1, cost);
    let octets = 5 * cost;
    assert_eq!(credits(&mut follower), [Message::Credit(Credit { stream: 1, octets })]);
    follower.used(1, cost);
    assert_eq!(credits(&mut follower), [Message::Credit(Credit { stream: 1, octets: cost })]);
    // Nothing that did not come is given back.
    follower.used(1, cost);
    follower.used(2, cost);
    assert_eq!(credits(&mut follower), []);
}

#[test]
fn records_beyond_the_credit_are_refused_but_one_alone() {
    let small = |at: u64| records(1, at + 1, &[record(at, &[0; 100])]);
    let cost = pack(&[record(5, &[0; 100])]).cost();
    let beyond = |cost, left| StreamError::BeyondCredit { stream: 1, cost, left };
    let mut follower = following(cost);
    assert!(said(&mut follower, &[small(5)]).is_ok());
    assert_eq!(refused(&mut follower, small(6)), beyond(cost, 0));
    let large = records(1, 6, &[record(5, &[0; 9_000])]);
    let mut follower = following(cost);
    assert!(said(&mut follower, &[large]).is_ok());
    let left = cost as i64 - pack(&[record(5, &[0; 9_000])]).cost() as i64;
    assert_eq!(refused(&mut follower, records(1, 6, &[])), beyond(FRAME_COST, left));
    let two = [record(5, &[0; 100]), record(6, b"")];
    let error = refused(&mut following(cost), records(1, 7, &two));
    assert_eq!(error, beyond(pack(&two).cost(), cost as i64));
    // Detached is no excuse.
    let mut follower = following(cost);
    follower.detach(1).unwrap();
    assert!(said(&mut follower, &[small(5)]).is_ok());
    assert_eq!(refused(&mut follower, small(6)), beyond(cost, 0));
}

#[test]
fn whatever_breaks_a_rule_ends_the_connection_with_its_name() {
    let wrong = |message: Message| refused(&mut following(1_000), message);
    let (stream, partition_) = (1, 0);
    let never = |message| StreamError::NeverAttached { stream: 2, message };
    assert_eq!(wrong(records(2, 6, &[])), never("records"));
    assert_eq!(wrong(attached(2, &[])), never("attached"));
    assert_eq!(wrong(ended(2, 220)), never("ended"));
    assert_eq!(
        wrong(records(0, 6, &[])),
        StreamError::NeverAttached { stream: 0, message: "records" }
    );
    let backwards = StreamError::Backwards { stream, partition: partition_, from: 5, to: 4 };
    assert_eq!(wrong(records(1, 4, &[])), backwards);
    assert_eq!(wrong(records(1, u64::MAX, &[])), StreamError::OffsetTooHigh { offset: u64::MAX });
    let other =
        Message::Records(Records { stream: 1, partition: 7, next: 6, ..Records::default() });
    assert_eq!(wrong(other), StreamError::UnknownPartition { stream, partition: 7 });
    let zstd = Message::Records(Records { stream: 1, next: 6, codec: 1, ..Records::default() });
    assert_eq!(wrong(zstd), StreamError::Codec);
    let twice = StreamError::PartitionTwice { stream, partition: partition_ };
    assert_eq!(wrong(attached(1, &[partition(0, 0, 0, 0)])), twice);
    assert_eq!(wrong(ended(1, 99)), StreamError::Malformed { what: "code" });
    assert_eq!(wrong(ended(1, 70_000)), StreamError::Malformed { what: "code" });
    let side = |message| StreamError::WrongSide { message };
    assert_eq!(wrong(Message::Attach(Attach::default())), side("attach"));
    assert_eq!(wrong(Message::Credit(Credit::default())), side("credit"));
    assert_eq!(wrong(Message::Ack(Ack::default())), side("ack"));
    assert_eq!(wrong(Message::Detach(Detach::default())), side("detach"));
    let early = StreamError::NotBegun { stream, message: "records" };
    assert_eq!(refused(&mut attaching(1), records(1, 6, &[])), early);

    let mut follower = following(1_000);
    said(&mut follower, &[ended(1, 404)]).unwrap();
    let gone = StreamError::HasEnded { stream, message: "records" };
    assert_eq!(refused(&mut follower, records(1, 6, &[])), gone);
    let mut follower = following(1_000);
    said(&mut follower, &[ended(1, 404)]).unwrap();
    let gone = StreamError::HasEnded { stream, message: "ended" };
    assert_eq!(refused(&mut follower, ended(1, 404)), gone);
}

#[test]
fn a_stream_that_begins_elsewhere_is_refused() {
    let begins = |asked: &[(u32, u64)], partitions: &[Partition]| {
        let mut follower = attaching(1);
        assert_eq!(follower.attach(wanted(asked, 1)), Ok(2));
        refused(&mut follower, attached(2, partitions))
    };
    let wrong = |next| StreamError::WrongStart { stream: 2, partition: 0, next };
    assert_eq!(begins(&[(0, 5)], &[partition(0, 0, 6, 9)]), wrong(6));
    assert_eq!(begins(&[], &[partition(0, 6, 5, 9)]), wrong(5));
    assert_eq!(begins(&[], &[partition(0, 6, 10, 9)]), wrong(10));
    let high = MAX_OFFSET + 1;
    assert_eq!(
        begins(&[], &[partition(0, 6, 7, high)]),
        StreamError::OffsetTooHigh { offset: high }
    );
    let missing = StreamError::UnknownPartition { stream: 2, partition: 3 };
    assert_eq!(begins(&[(0, 5), (3, 1)], &[partition(0, 0, 5, 9)]), missing);
    let twice = StreamError::PartitionTwice { stream: 2, partition: 0 };
    assert_eq!(begins(&[], &[partition(0, 0, 5, 9); 2]), twice);
}

#[test]
fn the_partitions_that_a_source_may_name_are_bounded() {
    let mut follower = attaching(1);
    let named = |from: usize, count: usize| -> Vec<Partition> {
        (from..from + count).map(|number| partition(number as u32, 0, 0, 0)).collect()
    };
    said(&mut follower, &[attached(1, &named(0, MAX_PARTITIONS))]).unwrap();
    let full = (MAX_CONNECTION_PARTITIONS / MAX_PARTITIONS) as u32;
    for stream in 2..=full {
        assert_eq!(follower.attach(wanted(&[], 1)), Ok(stream));
        said(&mut follower, &[attached(stream, &named(0, MAX_PARTITIONS))]).unwrap();
        written(follower.outgoing());
    }
    // One that ends makes room.
    said(&mut follower, &[ended(2, 404)]).unwrap();
    assert_eq!(follower.attach(wanted(&[], 1)), Ok(full + 1));
    said(&mut follower, &[attached(full + 1, &named(0, MAX_PARTITIONS))]).unwrap();
    assert_eq!(follower.attach(wanted(&[], 1)), Ok(full + 2));
    let more = attached(full + 2, &named(0, 1));
    assert_eq!(refused(&mut follower, more), StreamError::TooManyPartitions);
    let mut follower = following(1);
    let error = StreamError::TooMany { what: "partition", most: MAX_PARTITIONS };
    assert_eq!(refused(&mut follower, attached(1, &named(1, MAX_PARTITIONS))), error);
}

#[test]
fn what_would_break_a_rule_or_a_limit_is_refused_to_the_caller() {
    let mut follower = following(1_000);
    let invalid = |what| Err(Refused::Invalid { what });
    let no_ack = |what| Err(Refused::Invalid { what });
    assert_eq!(follower.attach(wanted(&[], 0)), invalid("credit"));
    assert_eq!(follower.attach(wanted(&[], MAX_CREDIT + 1)), invalid("credit"));
    assert_eq!(follower.attach(wanted(&[(0, u64::MAX)], 1)), invalid("offset"));
    let life = Wanted { incarnation: "x".repeat(65), ..wanted(&[], 1) };
    assert_eq!(follower.attach(life), invalid("length of the incarnation"));
    let many: Vec<(u32, u64)> = (0..=MAX_PARTITIONS as u32).map(|number| (number, 0)).collect();
    assert_eq!(follower.attach(wanted(&many, 1)), Err(Refused::TooManyPartitions));
    assert_eq!(follower.ack(1, &map(&[(0, 6)])), no_ack("position of an ack"));
    assert_eq!(follower.ack(1, &map(&[(0, 4)])), no_ack("position of an ack"));
    assert_eq!(follower.ack(1, &map(&[(4, 4)])), no_ack("partition"));
    assert_eq!(follower.ack(2, &map(&[])), Err(Refused::Gone));
    for _ in 1..MAX_STREAMS {
        follower.attach(wanted(&[], 1)).unwrap();
        written(follower.outgoing());
    }
    assert_eq!(follower.attach(wanted(&[], 1)), Err(Refused::TooManyStreams));
}

#[test]
fn what_waits_to_be_sent_is_bounded() {
    let mut follower = following(1_000);
    let mut asked = 0;
    while follower.ack(1, &map(&[(0, 5)])).is_ok() {
        asked += 1;
        assert!(asked < 1_000_000);
    }
    assert_eq!(follower.detach(1), Err(Refused::Full));
    let remaining = bytes::Buf::remaining(follower.outgoing());
    assert!((MAX_CONTROL..MAX_CONTROL + 100).contains(&remaining), "{remaining}");
    // Credit that is due waits, and is not lost.
    said(&mut follower, &[records(1, 6, &[])]).unwrap();
    follower.used(1, FRAME_COST);
    assert_eq!(bytes::Buf::remaining(follower.outgoing()), remaining);
    written(follower.outgoing());
    let credit = Message::Credit(Credit { stream: 1, octets: FRAME_COST });
    assert_eq!(messages(&written(follower.outgoing())), [credit]);
    assert_eq!(follower.detach(1), Ok(()));
}

#[test]
fn a_pong_that_nobody_asked_for_is_passed_over() {
    let mut follower = following(1_000);
    assert_eq!(said(&mut follower, &[Message::Pong(Pong { token: 7 })]), Ok(vec![]));
}

#[test]
fn a_close_and_its_code_are_told_also_where_the_code_is_new() {
    let close =
        |code| Message::Close(Close { code, name: "ODD".to_owned(), words: "thing\n".to_owned() });
    let closed = |code| said(&mut following(1), &[close(code)]).unwrap().remove(0);
    assert_eq!(closed(503), Followed::Closed(Failure::new(Code::Unavailable, "thing ")));
    let Followed::Closed(failure) = closed(599) else { panic!() };
    assert_eq!(failure.to_string(), "599 ODD thing");
    assert_eq!(refused(&mut following(1), close(0)), StreamError::Malformed { what: "code" });
}

#[test]
fn what_is_found_in_a_body_ends_the_connection_too() {
    let mut follower = following(1_000);
    let events = said(&mut follower, &[records(1, 6, &[record(9, b"")])]).unwrap();
    let [Followed::Records(batch)] = &events[..] else { panic!() };
    let error = batch.open_plain().unwrap_err();
    assert_eq!(error, StreamError::RecordOrder { offset: 9 });
    follower.fail(error.clone());
    assert_eq!(follower.next_event(), Err(error));
}

#[test]
fn time_in_which_a_whole_frame_waited_here_is_no_silence_of_the_peer() {
    let mut follower = following(1_000);
    follower.receive(&encode(records(1, 6, &[])));
    follower.passed(SILENCE);
    assert!(matches!(follower.next_event(), Ok(Some(Followed::Records(_)))));
    follower.passed(SILENCE);
    assert_eq!(follower.next_event(), Err(StreamError::Silent));
}
