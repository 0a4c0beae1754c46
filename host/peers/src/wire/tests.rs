//! Two machines over pipes and sockets, and peers that do not behave.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use fnap::reply::Code;
use fnap::stream::messages::{Close, Hello, Message, Ping};
use fnap::stream::{
    Batch, Begin, FRAME_COST, FrameDecoder, Packed, Partition, Piece, Record, SILENCE, Wanted,
    decode, encode,
};
use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Of each stream.
const CREDIT: u64 = 20_000;
const RECORDS: u64 = 300;

fn value(offset: u64) -> Bytes {
    // One in fifty is larger than the whole credit; the others compress badly, or well.
    let len = if offset % 50 == 7 { 30_000 } else { (offset as usize * 37) % 1_500 };
    let octet = |at: usize| if offset.is_multiple_of(2) { at as u8 } else { 7 };
    (0..len).map(octet).collect()
}

fn wanted(name: &str) -> Wanted {
    Wanted {
        flow: name.parse().unwrap(),
        incarnation: String::new(),
        positions: BTreeMap::new(),
        begin: Begin::Earliest,
        credit: CREDIT,
    }
}

/// Sends a partition of 300 records to whoever attaches, as far as credit and queue go, until the peer closes.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> Result<(), WireError> {
    let mut connection = StreamConnection::new(io, Source::new(true));
    let mut positions: BTreeMap<u32, u64> = BTreeMap::new();
    loop {
        match connection.next().await? {
            Turn::Over => return Ok(()),
            Turn::Event(Sourced::Attach { stream, .. }) => {
                let begins = Partition { partition: 0, earliest: 0, latest: RECORDS, next: 0 };
                connection.side().attached(stream, "life", &[begins]).unwrap();
                positions.insert(stream, 0);
            }
            Turn::Event(Sourced::Detached { stream }) => drop(positions.remove(&stream)),
            Turn::Event(_) | Turn::Room => {}
        }
        for (stream, position) in &mut positions {
            while send(connection.side(), *stream, position) {}
        }
    }
}

/// Some records from a position on; whether any went.
fn send(source: &mut Source, stream: u32, position: &mut u64) -> bool {
    let record = |offset| Record { offset, value: Some(value(offset)), ..Record::default() };
    let records: Vec<Record> = (*position..(*position + 20).min(RECORDS)).map(record).collect();
    let Some(room) = source.room(stream) else { return false };
    let (plain, count) = Packed::of(&records, room).unwrap();
    if count == 0 {
        return false;
    }
    let records = if source.zstd() { pack(&plain).unwrap_or(plain) } else { plain };
    let next = *position + count as u64;
    let piece = Piece { partition: 0, next, latest: Some(RECORDS), records: &records };
    let sent = source.send(stream, &piece).is_ok();
    *position = if sent { next } else { *position };
    sent
}

fn open(batch: &Batch) -> Vec<u64> {
    let records = batch.open(unpack).unwrap();
    let offset = |record: Record| {
        assert_eq!(record.value, Some(value(record.offset)));
        record.offset
    };
    records.into_iter().map(offset).collect()
}

/// Follows one stream to its end, and another one that is never given anything back.
async fn follow<S: AsyncRead + AsyncWrite + Unpin>(io: S, zstd: bool) {
    let mut connection = StreamConnection::new(io, Follower::new(zstd));
    let slow = connection.side().attach(wanted("slow.example")).unwrap();
    let quick = connection.side().attach(wanted("quick.example")).unwrap();
    let (mut got, mut held) = (Vec::new(), 0);
    while got.len() < RECORDS as usize {
        let Turn::Event(event) = connection.next().await.unwrap() else { panic!("over") };
        let Followed::Records(batch) = event else { continue };
        if batch.stream == slow {
            held += batch.cost;
            assert!(held <= CREDIT);
            continue;
        }
        assert_eq!(batch.stream, quick);
        got.extend(open(&batch));
        connection.side().used(quick, batch.cost);
    }
    assert_eq!(got, Vec::from_iter(0..RECORDS));
    assert!(held > FRAME_COST);
    connection.close(&Failure::new(Code::Ok, "enough")).await;
}

#[tokio::test]
async fn records_cross_a_narrow_pipe_once_and_in_order_beside_a_stream_that_stands() {
    for zstd in [false, true] {
        let (near, far) = duplex(100);
        let served = tokio::spawn(serve(far));
        follow(near, zstd).await;
        served.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn records_cross_tcp_once_and_in_order_beside_a_stream_that_stands() {
    for zstd in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
        follow(TcpStream::connect(address).await.unwrap(), zstd).await;
        served.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_source_is_told_when_records_are_taken_again() {
    let (near, far) = duplex(1 << 16);
    let mut source = StreamConnection::new(near, Source::new(false));
    let reader = tokio::spawn(async move {
        let mut follower = StreamConnection::new(far, Follower::new(false));
        let large = Wanted { credit: 1 << 30, ..wanted("a.example") };
        follower.side().attach(large).unwrap();
        while follower.next().await.unwrap() != Turn::Over {}
    });
    let stream = loop {
        if let Turn::Event(Sourced::Attach { stream, .. }) = source.next().await.unwrap() {
            break stream;
        }
    };
    let begins = Partition { partition: 0, earliest: 0, latest: 9, next: 0 };
    source.side().attached(stream, "life", &[begins]).unwrap();
    let mut position = 0;
    let mut send = |source: &mut Source| {
        let value = Some(Bytes::from(vec![1; 700_000]));
        let record = Record { offset: position, value, ..Record::default() };
        let (records, _) = Packed::of(&[record], source.room(stream)?).unwrap();
        let piece = Piece { partition: 0, next: position + 1, latest: None, records: &records };
        source.send(stream, &piece).unwrap();
        position += 1;
        Some(())
    };
    while send(source.side()).is_some() {}
    assert_eq!(source.next().await.unwrap(), Turn::Room);
    assert!(send(source.side()).is_some());
    source.flush().await.unwrap();
    source.close(&Failure::new(Code::Unavailable, "shutting down")).await;
    reader.await.unwrap();
}

/// What a peer was told, up to the end of the connection.
async fn heard(mut io: DuplexStream) -> Vec<Message> {
    let (mut frames, mut messages) = (FrameDecoder::default(), Vec::new());
    while io.read_buf(frames.input()).await.unwrap() > 0 {}
    while let Some(frame) = frames.next_frame().unwrap() {
        messages.push(decode(frame).unwrap());
    }
    messages
}

#[tokio::test(start_paused = true)]
async fn who_breaks_a_rule_is_told_why() {
    let (near, mut far) = duplex(1 << 16);
    let mut source = StreamConnection::new(near, Source::new(false));
    far.write_all(&[1, 0, 0, 1]).await.unwrap();
    let Err(WireError::Stream(error)) = source.next().await else { panic!("taken") };
    assert_eq!(error, StreamError::FrameTooLong { len: (1 << 24) + 1 });
    drop(source);
    let messages = heard(far).await;
    let Some(Message::Close(close)) = messages.last() else { panic!("{messages:?}") };
    assert_eq!((close.code, close.words.as_str()), (413, error.to_string().as_str()));
}

#[tokio::test]
async fn what_a_peer_says_at_its_end_is_heard_though_nothing_can_be_written_to_it() {
    let (near, mut far) = duplex(1 << 16);
    let (code, name, words) = (503, "UNAVAILABLE".to_owned(), "shutting down".to_owned());
    far.write_all(&encode(Message::Hello(Hello { version: 1, offers: Vec::new() }))).await.unwrap();
    far.write_all(&encode(Message::Close(Close { code, name, words }))).await.unwrap();
    drop(far);
    let mut source = StreamConnection::new(near, Source::new(false));
    assert_eq!(source.next().await.unwrap(), Turn::Event(Sourced::Hello));
    let failure = Failure::new(Code::Unavailable, "shutting down");
    assert_eq!(source.next().await.unwrap(), Turn::Event(Sourced::Closed(failure)));
    assert_eq!(source.next().await.unwrap(), Turn::Over);
}

#[tokio::test]
async fn who_goes_away_without_a_word_is_gone() {
    let (near, far) = duplex(1 << 16);
    drop(far);
    let mut follower = StreamConnection::new(near, Follower::new(false));
    let error = loop {
        if let Err(error) = follower.next().await {
            break error;
        }
    };
    assert!(matches!(error, WireError::Gone | WireError::Io(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_asked_and_then_left() {
    let (near, far) = duplex(1 << 16);
    let began = Instant::now();
    let mut follower = StreamConnection::new(near, Follower::new(false));
    let Err(WireError::Stream(error)) = follower.next().await else { panic!("heard") };
    assert_eq!(error, StreamError::Silent);
    assert!(began.elapsed() >= SILENCE && began.elapsed() < 2 * SILENCE);
    drop(follower);
    let messages = heard(far).await;
    let [Message::Hello(_), Message::Ping(_), Message::Ping(_), Message::Close(_)] = &messages[..]
    else {
        panic!("{messages:?}")
    };
}

#[tokio::test(start_paused = true)]
async fn time_spent_elsewhere_is_not_held_against_the_peer() {
    let (near, mut far) = duplex(16);
    let mut follower = StreamConnection::new(near, Follower::new(false));
    follower.side().attach(wanted("a.example")).unwrap();
    let hello = encode(Message::Hello(Hello { version: 1, offers: Vec::new() }));
    far.write_all(&hello).await.unwrap();
    assert_eq!(follower.next().await.unwrap(), Turn::Event(Followed::Hello));
    tokio::time::sleep(2 * STALLED).await;
    far.write_all(&encode(Message::Ping(Ping { token: 1 }))).await.unwrap();
    tokio::time::timeout(SILENCE / 2, follower.next()).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn two_that_have_nothing_to_say_stay_together() {
    let (near, far) = duplex(1 << 16);
    let mut source = StreamConnection::new(far, Source::new(false));
    let source = tokio::spawn(async move { while source.next().await.unwrap() != Turn::Over {} });
    let mut follower = StreamConnection::new(near, Follower::new(false));
    let waited = tokio::time::timeout(20 * SILENCE, async {
        loop {
            follower.next().await.unwrap();
        }
    });
    waited.await.unwrap_err();
    follower.close(&Failure::new(Code::Ok, "enough")).await;
    source.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_left_however_much_it_says() {
    let (near, far) = duplex(16);
    let (_unread, mut says) = tokio::io::split(far);
    let hello = Message::Hello(Hello { version: 1, offers: Vec::new() });
    let began = Instant::now();
    let peer = tokio::spawn(async move {
        says.write_all(&encode(hello)).await.unwrap();
        while says.write_all(&encode(Message::Ping(Ping { token: 1 }))).await.is_ok() {
            tokio::time::sleep(SILENCE / 6).await;
        }
    });
    let mut follower = StreamConnection::new(near, Follower::new(false));
    follower.side().attach(wanted("a.example")).unwrap();
    let error = loop {
        if let Err(error) = follower.next().await {
            break error;
        }
    };
    assert!(matches!(error, WireError::Stalled), "{error}");
    assert!(began.elapsed() >= STALLED && began.elapsed() < 2 * STALLED);
    drop(follower);
    peer.await.unwrap();
}

#[test]
fn what_is_packed_unpacks_to_what_was_said_and_never_to_more() {
    let record = Record { value: Some(vec![7; 1 << 20].into()), ..Record::default() };
    let (plain, _) = Packed::of(&[record], fnap::stream::Room::WHOLE).unwrap();
    let packed = pack(&plain).unwrap();
    assert!(packed.len() < plain.len() / 100);
    assert_eq!(packed.cost(), plain.cost());
    let whole: BytesMut = packed.chunks().flatten().copied().collect();
    let (whole, size) = (whole.freeze(), plain.len());
    assert_eq!(unpack(&whole, size).map(|body| body.len()), Some(size));
    assert_eq!(unpack(&whole, size - 1), None);
    assert_eq!(unpack(&whole, size + 1), None);
    assert_eq!(unpack(&whole.slice(..whole.len() / 2), size), None);
    assert_eq!(unpack(&Bytes::from_static(b"nothing of the kind"), 100), None);
    // Short ones, and what gains nothing, go as they are.
    assert_eq!(pack(&Packed::default()), None);
    let noise = (0_u64..2_000).flat_map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let record = Record { value: Some(noise.collect()), ..Record::default() };
    let (noise, _) = Packed::of(&[record], fnap::stream::Room::WHOLE).unwrap();
    assert_eq!(pack(&noise), None);
}

#[tokio::test(start_paused = true)]
async fn last_words_have_their_time_once_however_often_they_are_waited_for() {
    let (near, far) = duplex(1 << 16);
    let mut follower = StreamConnection::new(near, Follower::new(false));
    // It breaks a rule, and does not close.
    let mut far = far;
    far.write_all(&0_u32.to_be_bytes()).await.unwrap();
    let began = Instant::now();
    let error = loop {
        let wait = Duration::from_secs(1);
        if let Ok(turn) = tokio::time::timeout(wait, follower.next()).await {
            break turn.unwrap_err();
        }
        assert!(began.elapsed() <= 2 * CLOSING, "it never ends");
    };
    assert!(matches!(error, WireError::Stream(StreamError::EmptyFrame)), "{error}");
}
