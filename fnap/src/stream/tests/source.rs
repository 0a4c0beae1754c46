//! What a source says and takes, and how it ends.

use bytes::Buf;

use super::super::messages::{
    Ack, Attach, Attached, Codec, Credit, Detach, Ended, Ping, Pong, Records,
};
use super::*;
use crate::reply::{Code, Failure};

fn said(source: &mut Source, messages: &[Message]) -> Result<Vec<Sourced>, StreamError> {
    messages.iter().for_each(|message| source.receive(&encode(message.clone())));
    let mut events = Vec::new();
    while let Some(event) = source.next_event()? {
        events.push(event);
    }
    Ok(events)
}

fn refused(source: &mut Source, message: Message) -> StreamError {
    let error = said(source, &[message]).unwrap_err();
    assert!(source.is_over() && !source.wants_input());
    assert_eq!(source.next_event(), Err(error.clone()));
    let sent = messages(&written(source.outgoing()));
    let Some(Message::Close(close)) = sent.last() else { panic!("{sent:?}") };
    assert_eq!(close.words, error.to_string());
    error
}

fn attach(stream: u32, credit: u64) -> Message {
    let flow = "time.flows.unix.ar".to_owned();
    Message::Attach(Attach { stream, flow, credit, ..Attach::default() })
}

fn credit(stream: u32, octets: u64) -> Message {
    Message::Credit(Credit { stream, octets })
}

fn greeted() -> Source {
    let mut source = Source::new(true);
    assert_eq!(said(&mut source, &[hello(&["zstd"])]), Ok(vec![Sourced::Hello]));
    assert_eq!(messages(&written(source.outgoing())), [hello(&["zstd"])]);
    source
}

/// With stream 1, partition 0 from offset 0.
fn streaming(credit: u64) -> Source {
    let mut source = greeted();
    let wanted = wanted(&[], credit);
    let events = said(&mut source, &[attach(1, credit)]);
    assert_eq!(events, Ok(vec![Sourced::Attach { stream: 1, wanted }]));
    source.attached(1, "life", &[partition(0, 0, 0, 99)]).unwrap();
    written(source.outgoing());
    source
}

fn piece(next: u64, records: &Packed) -> Piece<'_> {
    Piece { partition: 0, next, latest: None, records }
}

#[test]
fn partitions_without_a_position_may_be_unwanted() {
    let mut source = greeted();
    let asked = Attach {
        stream: 1,
        flow: "time.flows.unix.ar".to_owned(),
        positions: positions(&[(4, 5)]),
        start: 3,
        credit: 1_000,
        ..Attach::default()
    };
    let events = said(&mut source, &[Message::Attach(asked)]).unwrap();
    let wanted = Wanted { begin: Begin::None, ..wanted(&[(4, 5)], 1_000) };
    assert_eq!(events, [Sourced::Attach { stream: 1, wanted }]);
    source.attached(1, "life", &[partition(4, 1, 5, 9)]).unwrap();
}

#[test]
fn a_stream_goes_from_attach_to_ended() {
    let mut source = greeted();
    let asked = Attach {
        stream: 7,
        flow: "Time.flows.unix.ar".to_owned(),
        incarnation: "life".to_owned(),
        positions: positions(&[(0, 5)]),
        start: 2,
        time: -3,
        credit: 1_000,
    };
    let events = said(&mut source, &[Message::Attach(asked)]).unwrap();
    let wanted = Wanted {
        incarnation: "life".to_owned(),
        begin: Begin::Time(-3),
        ..wanted(&[(0, 5)], 1_000)
    };
    assert_eq!(events, [Sourced::Attach { stream: 7, wanted }]);
    assert_eq!(source.room(7), None);
    let packed = pack(&[record(5, b"five")]);
    assert_eq!(source.send(7, &piece(6, &packed)), Err(Refused::Gone));
    let partitions = [partition(0, 1, 5, 9), partition(1, 0, 0, 0)];
    assert_eq!(source.hold(7, true), Err(Refused::Gone), "it has not begun");
    source.attached(7, "life", &partitions).unwrap();
    source.hold(7, true).unwrap();
    assert_eq!(source.room(7), Some(Room { octets: 1_000, idle: true }));
    source.send(7, &Piece { latest: Some(9), ..piece(6, &packed) }).unwrap();
    source.attached(7, "life", &[partition(2, 0, 0, 0)]).unwrap();
    source.end(7, &Failure::new(Code::Forbidden, "revoked")).unwrap();
    assert_eq!(source.end(7, &Failure::new(Code::Ok, "")), Err(Refused::Gone));
    let sent = messages(&written(source.outgoing()));
    let incarnation = "life".to_owned();
    // The records had not begun to be sent: after an end nothing crosses any more.
    assert_eq!(
        sent,
        [
            Message::Attached(Attached {
                stream: 7,
                incarnation,
                partitions: partitions.into(),
                held: false,
            }),
            Message::Attached(Attached { stream: 7, held: true, ..Attached::default() }),
            Message::Attached(Attached {
                stream: 7,
                partitions: vec![partition(2, 0, 0, 0)],
                ..Attached::default()
            }),
            Message::Ended(Ended {
                stream: 7,
                code: 403,
                name: "FORBIDDEN".into(),
                words: "revoked".into()
            }),
        ]
    );
}

#[test]
fn records_are_framed_as_the_schema_says_and_large_ones_are_not_copied() {
    let mut source = streaming(1 << 20);
    let large = Bytes::from(vec![9; LARGE]);
    let records = [record(3, b"small"), Record { value: Some(large.clone()), ..record(4, b"") }];
    let packed = pack(&records);
    let own = Piece { latest: Some(99), ..piece(8, &packed) };
    source.send(1, &own).unwrap();
    let mut slices = [std::io::IoSlice::new(&[]); 9];
    let out = source.outgoing();
    let count = out.chunks_vectored(&mut slices);
    assert!(slices[..count].iter().any(|slice| slice.as_ptr() == large.as_ptr()));
    let sent = messages(&written(source.outgoing()));
    let [Message::Records(sent)] = &sent[..] else { panic!("{sent:?}") };
    let body = sent.body.clone();
    assert_eq!(
        *sent,
        Records {
            stream: 1,
            partition: 0,
            next: 8,
            latest: 99,
            count: 2,
            codec: 0,
            unpacked: 0,
            body
        }
    );
    let batch = super::super::Batch::of(sent.clone(), 0, false).unwrap();
    assert_eq!(batch.cost, packed.cost());
    assert_eq!(batch.open_plain(), Ok(records.to_vec()));
    // One that only moves the position; one that is packed.
    source.send(1, &piece(9, &Packed::default())).unwrap();
    let zstd = pack(&[record(9, b"value")]).compressed(Bytes::from_static(b"packed"));
    source.send(1, &piece(10, &zstd)).unwrap();
    let sent = messages(&written(source.outgoing()));
    let [Message::Records(empty), Message::Records(packed)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*empty, Records { stream: 1, next: 9, ..Records::default() });
    assert_eq!(
        (packed.codec, packed.unpacked as u64),
        (Codec::Zstd.into(), zstd.cost() - FRAME_COST)
    );
    assert_eq!(&packed.body[..], b"packed");
}

#[test]
fn nothing_goes_beyond_the_credit_but_one_record_alone() {
    let (small, large) = (pack(&[record(1, &[0; 100])]), pack(&[record(1, &[0; 9_000])]));
    let cost = small.cost();
    let mut source = streaming(2 * cost);
    let send = |source: &mut Source, next, value: &[u8]| {
        let packed = pack(&[record(next, value)]);
        source.send(1, &piece(next + 1, &packed))
    };
    assert_eq!(send(&mut source, 1, &[0; 100]), Ok(()));
    assert_eq!(send(&mut source, 2, &[0; 9_000]), Err(Refused::NoCredit));
    assert_eq!(send(&mut source, 2, &[0; 100]), Ok(()));
    assert_eq!(send(&mut source, 3, b""), Err(Refused::NoCredit));
    assert_eq!(source.room(1), Some(Room { octets: 0, idle: false }));
    assert_eq!(said(&mut source, &[credit(1, cost)]), Ok(vec![Sourced::Credit { stream: 1 }]));
    assert_eq!(send(&mut source, 3, &[0; 9_000]), Err(Refused::NoCredit));
    said(&mut source, &[credit(1, cost)]).unwrap();
    let two = pack(&[record(3, &[0; 9_000]), record(4, b"")]);
    assert_eq!(source.send(1, &piece(5, &two)), Err(Refused::NoCredit));
    assert_eq!(send(&mut source, 3, &[0; 9_000]), Ok(()));
    // It is owed now; nothing goes until more is left than that.
    said(&mut source, &[credit(1, large.cost() - cost - 70)]).unwrap();
    assert_eq!(source.room(1), Some(Room { octets: cost - 70, idle: false }));
    said(&mut source, &[credit(1, cost + 70)]).unwrap();
    assert_eq!(source.room(1), Some(Room { octets: 2 * cost, idle: true }));
}

#[test]
fn a_credit_smaller_than_a_frame_without_records_holds_nothing_up() {
    let mut source = streaming(1);
    source.send(1, &piece(5, &Packed::default())).unwrap();
    assert_eq!(source.send(1, &piece(6, &Packed::default())), Err(Refused::NoCredit));
    said(&mut source, &[credit(1, FRAME_COST)]).unwrap();
    source.send(1, &piece(6, &Packed::default())).unwrap();
}

#[test]
fn what_would_break_a_rule_is_refused_to_the_caller() {
    let mut source = streaming(1_000);
    let invalid = |what| Err(Refused::Invalid { what });
    let packed = pack(&[record(5, b"")]);
    let other = Piece { partition: 1, ..piece(6, &packed) };
    assert_eq!(source.send(1, &other), invalid("partition"));
    assert_eq!(source.send(1, &piece(5, &packed)), invalid("offset of a record"));
    source.send(1, &piece(6, &packed)).unwrap();
    assert_eq!(source.send(1, &piece(7, &packed)), invalid("offset of a record"));
    assert_eq!(source.send(1, &piece(5, &Packed::default())), invalid("position"));
    assert_eq!(source.send(1, &piece(MAX_OFFSET + 1, &Packed::default())), invalid("position"));
    let attached =
        |source: &mut Source, partitions: &[Partition]| source.attached(2, "", partitions);
    let asked = Attach { positions: positions(&[(0, 5)]), ..Attach::default() };
    let asked = Attach { stream: 2, flow: "a.b".to_owned(), credit: 1, ..asked };
    said(&mut source, &[Message::Attach(asked)]).unwrap();
    let missing = invalid("a partition that was asked for is missing");
    assert_eq!(attached(&mut source, &[partition(1, 0, 0, 0)]), missing);
    let elsewhere = invalid("another beginning than was asked for");
    assert_eq!(attached(&mut source, &[partition(0, 0, 6, 9)]), elsewhere);
    assert_eq!(attached(&mut source, &[partition(0, 6, 5, 9)]), invalid("places of a partition"));
    assert_eq!(attached(&mut source, &[partition(0, 5, 5, 5); 2]), invalid("partition"));
    assert_eq!(attached(&mut source, &[partition(0, 5, 5, 5)]), Ok(()));
    assert_eq!(attached(&mut source, &[partition(0, 5, 5, 5)]), invalid("partition"));
    let mut plain = Source::new(false);
    said(&mut plain, &[hello(&["zstd"]), attach(1, 1_000)]).unwrap();
    plain.attached(1, "", &[partition(0, 0, 0, 0)]).unwrap();
    let zstd = packed.compressed(Bytes::from_static(b"x"));
    assert_eq!(plain.send(1, &piece(6, &zstd)), invalid("codec"));
}

#[test]
fn records_wait_in_a_bounded_queue() {
    let mut source = streaming(MAX_CREDIT);
    let packed = pack(&[record(0, &[0; 300_000])]);
    let mut sent = 0;
    let refused = loop {
        let packed = pack(&[record(sent, &[0; 300_000])]);
        match source.send(1, &piece(sent + 1, &packed)) {
            Ok(()) => sent += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((sent, refused), (4, Refused::Full));
    assert_eq!(source.room(1), None);
    assert!(source.is_sending(1));
    source.outgoing().advance(packed.len());
    assert!(source.room(1).is_some());
    // What has begun is finished; the rest is taken back.
    source.end(1, &Failure::new(Code::NotFound, "deleted")).unwrap();
    assert!(source.is_sending(1));
    let rest = source.outgoing().remaining();
    assert!(rest < packed.len(), "{rest}");
    source.outgoing().advance(rest);
    assert!(!source.is_sending(1));
    assert_eq!(source.outgoing().remaining(), 0);
}

#[test]
fn a_peer_that_does_not_read_the_answers_is_not_listened_to() {
    let mut source = greeted();
    let mut stream = 0;
    while source.outgoing().remaining() < MAX_CONTROL {
        stream += 1;
        let events = said(&mut source, &[attach(stream, 1), Message::Detach(Detach { stream })]);
        assert!(events.is_ok());
        assert!(stream < 100_000);
    }
    assert_eq!(said(&mut source, &[attach(stream + 1, 1)]), Ok(vec![]));
    assert!(!source.wants_input());
    written(source.outgoing());
    let events = said(&mut source, &[]).unwrap();
    assert!(matches!(&events[..], [Sourced::Attach { .. }]), "{events:?}");
}

#[test]
fn hello_is_the_first_frame_even_of_a_connection_that_fails_at_once() {
    let mut source = Source::new(false);
    source.receive(&[0; 4]);
    assert_eq!(source.next_event(), Err(StreamError::EmptyFrame));
    let sent = messages(&written(source.outgoing()));
    assert!(matches!(&sent[..], [Message::Hello(_), Message::Close(_)]), "{sent:?}");
}

#[test]
fn pings_are_answered_one_at_a_time() {
    let mut source = greeted();
    for token in 0..1_000 {
        said(&mut source, &[Message::Ping(Ping { token })]).unwrap();
    }
    let sent = messages(&written(source.outgoing()));
    assert_eq!(sent, [Message::Pong(Pong { token: 999 })]);
}

#[test]
fn the_streams_of_a_connection_do_not_touch_each_other() {
    let mut source = streaming(1_000);
    said(&mut source, &[attach(2, 1_000)]).unwrap();
    source.attached(2, "", &[partition(0, 0, 0, 0)]).unwrap();
    let packed = pack(&[record(0, &[0; 900])]);
    source.send(1, &piece(1, &packed)).unwrap();
    assert_eq!(source.room(2), Some(Room { octets: 1_000, idle: true }));
    said(&mut source, &[Message::Detach(Detach { stream: 1 })]).unwrap();
    source.send(2, &piece(1, &packed)).unwrap();
    let sent = messages(&written(source.outgoing()));
    assert!(
        matches!(&sent[..], [Message::Attached(_), Message::Ended(_), Message::Records(_)]),
        "{sent:?}"
    );
}

#[test]
fn a_detach_and_an_end_may_cross() {
    let mut source = streaming(1_000);
    source.end(1, &Failure::new(Code::NotFound, "deleted")).unwrap();
    let late = [
        Message::Detach(Detach { stream: 1 }),
        credit(1, 5),
        credit(1, 0),
        Message::Ack(Ack { stream: 1, positions: positions(&[(0, 0)]) }),
    ];
    assert_eq!(said(&mut source, &late), Ok(vec![]));
    assert_eq!(messages(&written(source.outgoing())).len(), 1);
    // The other way round: whoever answers an Attach too late is told.
    said(&mut source, &[attach(2, 1), Message::Detach(Detach { stream: 2 })]).unwrap();
    assert_eq!(source.attached(2, "", &[]), Err(Refused::Gone));
    let ended = Ended { stream: 2, code: 220, name: "OK".into(), words: "detached".into() };
    assert_eq!(messages(&written(source.outgoing())), [Message::Ended(ended)]);
}

#[test]
fn an_acknowledged_position_is_told_and_cannot_be_false() {
    let ack = |offset| Message::Ack(Ack { stream: 1, positions: positions(&[(0, offset)]) });
    let sending = || {
        let mut source = streaming(1_000);
        source.send(1, &piece(9, &Packed::default())).unwrap();
        let positions = map(&[(0, 5)]);
        assert_eq!(said(&mut source, &[ack(5)]), Ok(vec![Sourced::Ack { stream: 1, positions }]));
        source
    };
    assert!(said(&mut sending(), &[ack(5), ack(9)]).is_ok());
    let (stream, partition) = (1, 0);
    assert_eq!(refused(&mut sending(), ack(10)), StreamError::BeyondSent { stream, partition });
    let backwards = StreamError::Backwards { stream, partition, from: 5, to: 4 };
    assert_eq!(refused(&mut sending(), ack(4)), backwards);
    let unknown = Message::Ack(Ack { stream: 1, positions: positions(&[(3, 0)]) });
    let error = StreamError::UnknownPartition { stream, partition: 3 };
    assert_eq!(refused(&mut sending(), unknown), error);
    let twice = Message::Ack(Ack { stream: 1, positions: positions(&[(0, 5), (0, 6)]) });
    let error = StreamError::PartitionTwice { stream, partition };
    assert_eq!(refused(&mut sending(), twice), error);
}

#[test]
fn whatever_breaks_a_rule_ends_the_connection_with_its_name() {
    let wrong = |message: Message| refused(&mut streaming(1_000), message);
    let (stream, last) = (1, 1);
    assert_eq!(wrong(hello(&[])), StreamError::SecondHello);
    assert_eq!(wrong(attach(1, 5)), StreamError::StreamNumber { stream, last });
    assert_eq!(wrong(attach(0, 5)), StreamError::StreamNumber { stream: 0, last });
    assert_eq!(wrong(attach(2, 0)), StreamError::Credit { stream: 2 });
    assert_eq!(wrong(attach(2, MAX_CREDIT + 1)), StreamError::Credit { stream: 2 });
    assert_eq!(wrong(credit(1, 0)), StreamError::Credit { stream });
    assert_eq!(wrong(credit(1, u64::MAX)), StreamError::Credit { stream });
    assert_eq!(wrong(credit(1, MAX_CREDIT)), StreamError::Credit { stream });
    let never = |message| StreamError::NeverAttached { stream: 2, message };
    assert_eq!(wrong(credit(2, 5)), never("credit"));
    assert_eq!(wrong(Message::Detach(Detach { stream: 2 })), never("detach"));
    let ack = Ack { stream: 2, ..Ack::default() };
    assert_eq!(wrong(Message::Ack(ack)), never("ack"));
    let side = |message| StreamError::WrongSide { message };
    assert_eq!(wrong(Message::Records(Records::default())), side("records"));
    assert_eq!(wrong(Message::Attached(Attached::default())), side("attached"));
    assert_eq!(wrong(Message::Ended(Ended::default())), side("ended"));
    let asked = |pairs: &[(u32, u64)]| {
        let flow = "a.b".to_owned();
        let positions = positions(pairs);
        wrong(Message::Attach(Attach {
            stream: 2,
            flow,
            positions,
            credit: 1,
            ..Attach::default()
        }))
    };
    assert_eq!(asked(&[(4, 1), (4, 1)]), StreamError::PartitionTwice { stream: 2, partition: 4 });
    assert_eq!(asked(&[(4, u64::MAX)]), StreamError::OffsetTooHigh { offset: u64::MAX });

    let mut source = Source::new(true);
    assert_eq!(refused(&mut source, attach(1, 5)), StreamError::NoHello);
    let version = Message::Hello(super::super::messages::Hello::default());
    assert_eq!(refused(&mut Source::new(true), version), StreamError::Version);
    let mut source = greeted();
    said(&mut source, &[attach(1, 5)]).unwrap();
    let early = Message::Ack(Ack { stream: 1, ..Ack::default() });
    assert_eq!(refused(&mut source, early), StreamError::NotBegun { stream, message: "ack" });
}

#[test]
fn a_flow_that_cannot_be_read_ends_its_stream_alone() {
    let mut source = greeted();
    let flow = |flow: &str, start| {
        let (stream, flow) = (start as u32 + 1, flow.to_owned());
        Message::Attach(Attach { stream, flow, start, credit: 1, ..Attach::default() })
    };
    assert_eq!(said(&mut source, &[flow("no flow", 0), flow("a.b", 99)]), Ok(vec![]));
    let sent = messages(&written(source.outgoing()));
    let codes = sent.iter().map(|message| match message {
        Message::Ended(ended) => (ended.stream, ended.code),
        other => panic!("{other:?}"),
    });
    assert_eq!(codes.collect::<Vec<_>>(), [(1, 400), (100, 400)]);
}

#[test]
fn streams_and_their_partitions_are_bounded() {
    let mut source = greeted();
    for stream in 1..=MAX_STREAMS as u32 {
        said(&mut source, &[attach(stream, 1)]).unwrap();
    }
    let next = MAX_STREAMS as u32 + 1;
    source.end(1, &Failure::new(Code::NotFound, "")).unwrap();
    assert!(said(&mut source, &[attach(next, 1)]).is_ok());
    assert_eq!(refused(&mut source, attach(next + 1, 1)), StreamError::TooManyStreams);

    let many: Vec<(u32, u64)> =
        (0..MAX_PARTITIONS as u32).map(|partition| (partition, 0)).collect();
    let asking = |stream| {
        let (flow, positions) = ("a.b".to_owned(), positions(&many));
        Message::Attach(Attach { stream, flow, positions, credit: 1, ..Attach::default() })
    };
    let full = (MAX_CONNECTION_PARTITIONS / MAX_PARTITIONS) as u32;
    let partitions: Vec<Partition> =
        many.iter().map(|(number, _)| partition(*number, 0, 0, 0)).collect();
    let mut source = greeted();
    for stream in 1..=full {
        said(&mut source, &[asking(stream)]).unwrap();
        source.attached(stream, "", &partitions).unwrap();
        written(source.outgoing());
    }
    let more = [partition(MAX_PARTITIONS as u32, 0, 0, 0)];
    assert_eq!(source.attached(1, "", &more), Err(Refused::TooManyPartitions));
    for stream in full + 1..=2 * full {
        said(&mut source, &[asking(stream)]).unwrap();
        assert_eq!(source.attached(stream, "", &partitions), Err(Refused::TooManyPartitions));
    }
    assert_eq!(refused(&mut source, asking(2 * full + 1)), StreamError::TooManyPartitions);
}

#[test]
fn silence_is_met_with_a_ping_and_then_the_end() {
    let mut source = greeted();
    let pings = |source: &mut Source| messages(&written(source.outgoing())).len();
    source.passed(PING_AFTER / 2);
    assert_eq!(pings(&mut source), 0);
    source.passed(PING_AFTER / 2);
    assert_eq!(pings(&mut source), 1);
    source.passed(PING_AFTER / 2);
    assert_eq!(pings(&mut source), 0);
    // Any octet is a sign of life, also in the middle of a frame.
    source.receive(&[0]);
    source.passed(PING_AFTER);
    assert_eq!(pings(&mut source), 1);
    source.passed(PING_AFTER);
    assert_eq!(pings(&mut source), 1);
    assert!(!source.is_over());
    source.passed(PING_AFTER);
    assert_eq!(source.next_event(), Err(StreamError::Silent));
    let sent = messages(&written(source.outgoing()));
    assert!(matches!(&sent[..], [Message::Close(close)] if close.code == 408), "{sent:?}");
}

#[test]
fn a_close_is_the_last_that_is_sent_and_the_last_that_is_heard() {
    let mut source = streaming(1_000);
    source.send(1, &piece(1, &pack(&[record(0, b"")]))).unwrap();
    source.close(&Failure::new(Code::Unavailable, "shutting down"));
    let sent = messages(&written(source.outgoing()));
    let Some(Message::Close(close)) = sent.first() else { panic!("{sent:?}") };
    assert_eq!(sent.len(), 1);
    assert_eq!(source.send(1, &piece(1, &Packed::default())), Err(Refused::Over));

    let mut source = streaming(1_000);
    let events = said(&mut source, &[Message::Close(close.clone()), attach(2, 1)]).unwrap();
    assert_eq!(events, [Sourced::Closed(Failure::new(Code::Unavailable, "shutting down"))]);
    assert_eq!(source.held(), 0);
}
