//! Frames, the limits of what is in them, and bodies.

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use prost::Message as _;

use super::super::messages::{Attach, Close, Ended, Frame, Ping, RecordSet, Records};
use super::*;

fn framed(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_be_bytes(), content].concat()
}

fn encoded(message: Message) -> Bytes {
    Frame { message: Some(message) }.encode_to_vec().into()
}

#[test]
fn a_frame_is_its_length_and_a_message() {
    let ping = encode(Message::Ping(Ping { token: 5 }));
    assert_eq!(&ping[..], b"\0\0\0\x04\x4a\x02\x08\x05");
    assert_eq!(messages(&ping), [Message::Ping(Ping { token: 5 })]);
}

#[test]
fn lengths_of_nothing_and_of_too_much_are_refused_before_the_rest_comes() {
    let mut frames = FrameDecoder::default();
    frames.push(&[0, 0, 0]);
    assert_eq!(frames.next_frame(), Ok(None));
    frames.push(&[0]);
    assert_eq!(frames.next_frame(), Err(StreamError::EmptyFrame));

    let mut frames = FrameDecoder::default();
    frames.push(&(MAX_FRAME as u32 + 1).to_be_bytes());
    assert!(frames.is_ready());
    assert_eq!(frames.next_frame(), Err(StreamError::FrameTooLong { len: MAX_FRAME + 1 }));
}

#[test]
fn a_length_alone_makes_nobody_hold_memory() {
    let mut frames = FrameDecoder::default();
    frames.push(&(MAX_FRAME as u32).to_be_bytes());
    frames.push(&[0; 100]);
    assert_eq!(frames.next_frame(), Ok(None));
    assert!(frames.input().capacity() < 1024);
    assert_eq!(frames.room(), 64 << 10);
    frames.push(&vec![0; 1 << 20]);
    // Twice what is here, at most.
    assert_eq!(frames.room(), frames.held());
}

#[test]
fn the_longest_frame_is_taken() {
    let body = vec![7; MAX_BODY];
    let records = Records {
        stream: u32::MAX,
        partition: u32::MAX,
        next: u64::MAX,
        latest: u64::MAX,
        count: u32::MAX,
        codec: i32::MAX,
        unpacked: u32::MAX,
        body: body.into(),
    };
    let bytes = encode(Message::Records(records.clone()));
    assert!(bytes.len() - 4 <= MAX_FRAME);
    assert_eq!(messages(&bytes), [Message::Records(records)]);
}

#[test]
fn octets_of_a_frame_are_slices_of_it() {
    let record =
        Record { key: Some("k".into()), value: Some("v".repeat(20_000).into()), ..record(1, b"") };
    let body: Bytes = RecordSet { records: vec![record] }.encode_to_vec().into();
    let records = Records { stream: 1, next: 2, count: 1, body, ..Records::default() };
    let frame = encoded(Message::Records(records));
    let Message::Records(records) = decode(frame.clone()).unwrap() else { panic!() };
    let batch = super::super::Batch::of(records, 0, false).unwrap();
    let value = batch.open_plain().unwrap().remove(0).value.unwrap();
    assert!(frame.as_ptr_range().contains(&value.as_ptr()));
}

#[test]
fn what_is_no_message_or_two_is_refused() {
    let ping = encoded(Message::Ping(Ping { token: 1 }));
    let two = StreamError::TooMany { what: "message of a frame", most: 1 };
    let pong = Message::Pong(super::super::messages::Pong { token: 1 });
    let refused = |bytes: &[u8]| decode(Bytes::copy_from_slice(bytes)).unwrap_err();
    assert_eq!(refused(&[ping.clone(), encoded(pong)].concat()), two);
    let twice = StreamError::TooMany { what: "ping", most: 1 };
    assert_eq!(refused(&[&ping[..], &ping].concat()), twice);
    assert_eq!(refused(&ping[..3]), StreamError::Malformed { what: "frame" });
    // A message of a number that nobody knows yet; one of a group, which could be nested; one of the wrong type.
    assert_eq!(refused(b"\xfa\x07\x00"), StreamError::UnknownMessage);
    assert_eq!(refused(&[0x4b; 1000]), StreamError::Malformed { what: "frame" });
    assert_eq!(refused(b"\x48\x01"), StreamError::Malformed { what: "frame" });
}

#[test]
fn fields_that_are_not_known_yet_are_passed_over() {
    let bytes = b"\x4a\x06\x08\x05\xfa\x07\x01\x00\xf8\x07\x01";
    assert_eq!(decode(bytes[..].into()), Ok(Message::Ping(Ping { token: 5 })));
}

#[test]
fn what_has_a_limit_is_refused_by_name_beyond_it() {
    let attach = |change: &dyn Fn(&mut Attach)| {
        let mut attach =
            Attach { stream: 1, flow: "a.b".to_owned(), credit: 1, ..Attach::default() };
        change(&mut attach);
        decode(encoded(Message::Attach(attach)))
    };
    let many = |count: usize| positions(&vec![(0, 0); count]);
    assert!(attach(&|a| a.positions = many(MAX_PARTITIONS)).is_ok());
    let over = StreamError::TooMany { what: "position", most: MAX_PARTITIONS };
    assert_eq!(attach(&|a| a.positions = many(MAX_PARTITIONS + 1)), Err(over));
    assert!(attach(&|a| a.flow = "x".repeat(200)).is_ok());
    let over = StreamError::TooLong { what: "flow", most: 200 };
    assert_eq!(attach(&|a| a.flow = "x".repeat(201)), Err(over));
    let over = StreamError::TooLong { what: "incarnation", most: 64 };
    assert_eq!(attach(&|a| a.incarnation = "x".repeat(65)), Err(over));

    let long = "x".repeat(MAX_WORDS + 1);
    let over = Err(StreamError::TooLong { what: "words", most: MAX_WORDS });
    let ended = Ended { stream: 1, code: 220, words: long.clone(), ..Ended::default() };
    assert_eq!(decode(encoded(Message::Ended(ended))), over);
    let close = Close { code: 220, words: long, ..Close::default() };
    assert_eq!(decode(encoded(Message::Close(close))), over);
    let over = Err(StreamError::TooMany { what: "offer", most: 32 });
    assert_eq!(decode(encoded(hello(&["a"; 33]))), over);
    let over = Err(StreamError::TooLong { what: "offer", most: 64 });
    assert_eq!(decode(encoded(hello(&[&"a".repeat(65)]))), over);
}

fn opened(
    records: Vec<Record>,
    count: usize,
    from: u64,
    next: u64,
) -> Result<Vec<Record>, StreamError> {
    let body: Bytes = RecordSet { records }.encode_to_vec().into();
    let count = count as u32;
    let records = Records { stream: 1, next, count, body, ..Records::default() };
    super::super::Batch::of(records, from, false)?.open_plain()
}

#[test]
fn records_are_bounded_in_number_before_anything_is_made_of_them() {
    let empty = |count: usize| {
        let body: Bytes = [0x0a, 0].repeat(count).into();
        let records = Records { stream: 1, next: 9, count: 1, body, ..Records::default() };
        super::super::Batch::of(records, 0, false).unwrap().open_plain().unwrap_err()
    };
    assert_eq!(empty(MAX_RECORDS), StreamError::Count { said: 1, is: MAX_RECORDS });
    let over = StreamError::TooMany { what: "record", most: MAX_RECORDS };
    assert_eq!(empty(MAX_RECORDS + 1), over);
    assert_eq!(opened(vec![], MAX_RECORDS + 1, 0, 1), Err(over));

    let with = |headers: usize, hosts: usize| Record {
        headers: vec![Header::default(); headers],
        trace: vec!["h".to_owned(); hosts],
        ..Record::default()
    };
    let refused = |record: Record| opened(vec![record], 1, 0, 1).unwrap_err();
    assert!(opened(vec![with(MAX_HEADERS, MAX_TRACE)], 1, 0, 1).is_ok());
    let over = StreamError::TooMany { what: "header", most: MAX_HEADERS };
    assert_eq!(refused(with(MAX_HEADERS + 1, 0)), over);
    let over = StreamError::TooMany { what: "host in a trace", most: MAX_TRACE };
    assert_eq!(refused(with(0, MAX_TRACE + 1)), over);
    let record = Record { trace: vec!["h".repeat(254)], ..Record::default() };
    let over = StreamError::TooLong { what: "host in a trace", most: MAX_HOST_NAME };
    assert_eq!(refused(record), over);
    let record = Record { trace: vec![String::new()], ..Record::default() };
    assert_eq!(refused(record), StreamError::Malformed { what: "host in a trace" });
    let all = MAX_FRAME_HEADERS / MAX_HEADERS;
    let over = StreamError::TooMany { what: "header or host of a frame", most: MAX_FRAME_HEADERS };
    assert_eq!(opened(vec![with(MAX_HEADERS, 0); all + 1], all + 1, 0, 1), Err(over));
}

#[test]
fn records_are_in_order_within_their_piece_and_as_many_as_said() {
    let at =
        |offsets: &[u64]| offsets.iter().map(|offset| record(*offset, b"")).collect::<Vec<_>>();
    assert_eq!(opened(at(&[5, 9]), 2, 5, 10), Ok(at(&[5, 9])));
    let order = |offset| Err(StreamError::RecordOrder { offset });
    assert_eq!(opened(at(&[4, 9]), 2, 5, 10), order(4));
    assert_eq!(opened(at(&[5, 10]), 2, 5, 10), order(10));
    assert_eq!(opened(at(&[7, 7]), 2, 5, 10), order(7));
    assert_eq!(opened(at(&[5]), 2, 5, 10), Err(StreamError::Count { said: 2, is: 1 }));
}

#[test]
fn a_packed_body_needs_an_offer_and_unpacks_to_what_was_said() {
    let body: Bytes = RecordSet { records: vec![record(0, b"value")] }.encode_to_vec().into();
    let records = |codec, unpacked| {
        let body = body.clone();
        Records { stream: 1, next: 1, count: 1, codec, unpacked, body, ..Records::default() }
    };
    let of = |codec, unpacked, zstd| super::super::Batch::of(records(codec, unpacked), 0, zstd);
    assert_eq!(of(1, 5, false), Err(StreamError::Codec));
    assert_eq!(of(2, 5, true), Err(StreamError::Codec));
    assert_eq!(of(0, 5, true), Err(StreamError::Codec));
    let over = StreamError::TooLong { what: "body once unpacked", most: MAX_BODY };
    assert_eq!(of(1, MAX_BODY as u32 + 1, true), Err(over));
    let batch = of(1, body.len() as u32, true).unwrap();
    assert_eq!(batch.cost, FRAME_COST + body.len() as u64);
    assert_eq!(batch.open(|packed, _| Some(packed.clone())), Ok(vec![record(0, b"value")]));
    let unpack = Err(StreamError::Unpack { said: body.len() });
    assert_eq!(batch.open(|packed, _| Some(packed.slice(1..))), unpack);
    assert_eq!(batch.open_plain(), unpack);
}

#[test]
fn absent_empty_null_and_repeated_stay_what_they_are() {
    let header = |name: &'static str, value: Option<&'static str>| Header {
        name: name.into(),
        value: value.map(Bytes::from),
    };
    let headers = vec![
        header("a", None),
        header("a", Some("")),
        header("", Some("x")),
        Header { name: Bytes::from_static(b"\xff"), value: Some(Bytes::from_static(b"\xfe")) },
    ];
    let records = vec![
        Record { offset: 0, key: None, value: None, ..Record::default() },
        Record {
            offset: 1,
            key: Some(Bytes::new()),
            value: Some(Bytes::new()),
            headers,
            timestamp: -1,
            trace: vec!["fnaa.unix.ar".to_owned()],
        },
    ];
    assert_eq!(opened(records.clone(), 2, 0, 2), Ok(records.clone()));
    let body: Bytes = pack(&records).chunks().flatten().copied().collect();
    assert_eq!(RecordSet::decode(body).unwrap().records, records);
}

#[test]
fn what_no_frame_can_carry_is_told_before_it_is_sent() {
    let of = |record: Record| Packed::of(&[record], Room::WHOLE).map(|(_, count)| count);
    let long = record(3, &vec![0; MAX_BODY]);
    assert!(matches!(of(long), Err(PackError::TooLong { offset: 3, .. })));
    let headers = vec![Header::default(); MAX_HEADERS + 1];
    assert_eq!(of(Record { headers, ..record(3, b"") }), Err(PackError::Headers { offset: 3 }));
    let trace = vec!["h".to_owned(); MAX_TRACE + 1];
    assert_eq!(of(Record { trace, ..record(3, b"") }), Err(PackError::Trace { offset: 3 }));
    let trace = vec![String::new()];
    assert_eq!(of(Record { trace, ..record(3, b"") }), Err(PackError::Trace { offset: 3 }));
    // What comes before it goes first.
    let records = [record(1, b""), record(1, b"")];
    assert_eq!(Packed::of(&records, Room::WHOLE).unwrap().1, 1);
    assert!(matches!(Packed::of(&records[1..], Room::WHOLE), Ok((_, 1))));
}

#[test]
fn as_many_records_are_packed_as_the_room_allows_and_one_where_nothing_is_under_way() {
    let records: Vec<Record> = (0..4).map(|offset| record(offset, &[1; 100])).collect();
    let each = pack(&records[1..2]).cost() - FRAME_COST;
    let packed = |octets, idle| Packed::of(&records, Room { octets, idle }).unwrap().1;
    assert_eq!(packed(FRAME_COST + 3 * each, false), 3);
    assert_eq!(packed(FRAME_COST + each, false), 1);
    assert_eq!(packed(FRAME_COST + each / 2, false), 0);
    assert_eq!(packed(0, false), 0);
    assert_eq!(packed(0, true), 1);
    let empty = vec![Record::default(); 1];
    assert_eq!(Packed::of::<Record>(&empty[..0], Room::WHOLE).unwrap().1, 0);
    let many: Vec<Record> = (0..MAX_RECORDS as u64 + 5).map(|offset| record(offset, b"")).collect();
    assert_eq!(Packed::of(&many, Room::WHOLE).unwrap().1, MAX_RECORDS);
    let headers = vec![Header::default(); MAX_HEADERS];
    let full = MAX_FRAME_HEADERS / MAX_HEADERS;
    let many: Vec<Record> = (0..full as u64 + 5)
        .map(|offset| Record { headers: headers.clone(), ..record(offset, b"") })
        .collect();
    assert_eq!(Packed::of(&many, Room::WHOLE).unwrap().1, full);
}

fn octets(most: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn a_record() -> impl Strategy<Value = Record> {
    let headers = prop::collection::vec((octets(9), prop::option::of(octets(9))), 0..4);
    let key_and_value = (prop::option::of(octets(20)), prop::option::of(octets(300)));
    let trace = prop::collection::vec("[a-z]{1,9}", 0..3);
    (key_and_value, headers, prop_oneof![Just(0_i64), any::<i64>()], trace).prop_map(
        |((key, value), headers, timestamp, trace)| {
            let headers = headers.into_iter().map(|(name, value)| Header { name, value }).collect();
            Record { offset: 0, key, value, headers, timestamp, trace }
        },
    )
}

fn some_records() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec((1_u64..9, a_record()), 0..6).prop_map(|records| {
        let mut at = 0;
        let number = |(step, record)| {
            at += step;
            Record { offset: at - 1, ..record }
        };
        records.into_iter().map(number).collect()
    })
}

proptest! {
    #[test]
    fn any_frames_cut_into_any_pieces_give_the_same(
        contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..9),
        pieces in prop::collection::vec(1_usize..90, 1..40),
        tail in 0_usize..4,
    ) {
        let mut wire: Vec<u8> = contents.iter().flat_map(|content| framed(content)).collect();
        wire.extend(std::iter::repeat_n(0, tail));
        let mut frames = FrameDecoder::default();
        let (mut rest, mut got) = (&wire[..], Vec::new());
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            frames.push(now);
            while let Some(frame) = frames.next_frame().unwrap() {
                got.push(frame.to_vec());
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(got, contents);
        prop_assert_eq!(frames.held(), tail);
    }

    #[test]
    fn bodies_made_piece_by_piece_are_what_the_structs_would_write(
        records in some_records(), large in 0_usize..300,
    ) {
        let (packed, count) = Packed::with(&records, Room::WHOLE, large).unwrap();
        prop_assert_eq!(count, records.len());
        let mut body = BytesMut::new();
        packed.chunks().for_each(|chunk| body.put_slice(chunk));
        prop_assert_eq!(packed.len(), body.len());
        prop_assert_eq!(body, RecordSet { records }.encode_to_vec());
    }

    #[test]
    fn whatever_octets_come_are_refused_or_mean_the_same_when_written_again(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Ok(message) = decode(bytes.into()) {
            let again = encode(message.clone()).slice(4..);
            prop_assert_eq!(decode(again), Ok(message));
        }
    }
}
