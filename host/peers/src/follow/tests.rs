//! A link over pipes, and hosts at its other end that do not behave.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use fnap::command::Command;
use fnap::stream::messages::{
    Ack, Attach, Attached, Credit, Detach, Ended, Hello, Message, RecordSet, Records,
};
use fnap::stream::{FrameDecoder, MAX_FRAME, Record, StreamError, decode, encode};
use host_names::{Age, Place as Host, Security, Way};
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::reach::{Choice, Opened};

pub(crate) const FLOW: &str = "time.flows.test";
const OTHER: &str = "place.flows.test";
pub(crate) const LIFE: &str = "5b1bd8f4-0000-4000-8000-000000000001";

/// The way to hosts that are tests: each flow has one, and whoever opens a stream finds a test at its end.
pub(crate) struct World {
    hosts: Mutex<HashMap<Name, &'static str>>,
    opened: mpsc::Sender<Far>,
    searches: AtomicUsize,
    /// A host to which nobody comes through, and how many tried.
    refused: Mutex<Option<(&'static str, Arc<AtomicUsize>)>>,
    /// What is answered to commands, in this order, and what was asked.
    pub(crate) answers: Mutex<VecDeque<Result<Vec<String>, Unreached>>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl World {
    /// With two flows of two hosts, and where their ends of connections come.
    pub(crate) fn new() -> (Arc<Self>, mpsc::Receiver<Far>) {
        let (opened, receiver) = mpsc::channel(8);
        let flows = [(FLOW, "one.test"), (OTHER, "other.test")];
        let hosts = flows.map(|(flow, host)| (flow.parse().unwrap(), host)).into();
        let (hosts, searches) = (Mutex::new(hosts), AtomicUsize::new(0));
        let (refused, answers, asked) = Default::default();
        (Arc::new(Self { hosts, opened, searches, refused, answers, asked }), receiver)
    }

    /// Nobody comes through to a host any more; gives who has tried.
    fn refuse(&self, host: &'static str) -> Arc<AtomicUsize> {
        let tried = Arc::new(AtomicUsize::new(0));
        *self.refused.lock().unwrap() = Some((host, Arc::clone(&tried)));
        tried
    }
}

#[async_trait]
impl Reach for World {
    async fn ask(&self, _: &Name, command: &Command) -> Result<Vec<String>, Unreached> {
        self.asked.lock().unwrap().push(command.to_string());
        self.answers.lock().unwrap().pop_front().unwrap_or_else(|| Ok(Vec::new()))
    }

    async fn ask_able(&self, flow: &Name, choose: Choice<'_>) -> Result<Vec<String>, Unreached> {
        let command = choose(&["STREAM=1".to_owned()]).map_err(Unreached::never)?;
        self.ask(flow, &command).await
    }

    async fn find(&self, flow: &Name, _: Age) -> Result<host_names::Found, Unreached> {
        self.searches.fetch_add(1, Ordering::Relaxed);
        let found = self.hosts.lock().unwrap().get(flow).copied();
        let target = found.ok_or_else(|| {
            Unreached::never(Failure::new(Code::ConnError, format!("resolve: no {flow}")))
        })?;
        Ok(host_names::Found {
            agents: vec![Host {
                target: target.parse().unwrap(),
                port: 61_000,
                addresses: vec![[127, 0, 0, 1].into()],
                tls: false,
            }],
            id: None,
            queue: None,
            security: Security::Insecure,
            way: Way::Pointer,
            ttl: Duration::from_secs(300),
        })
    }

    async fn stream(&self, found: &host_names::Found) -> Result<Opened, Unreached> {
        let (near, far) = duplex(1 << 20);
        let host = found.agents[0].target.to_string();
        let refused = self.refused.lock().unwrap().clone();
        if let Some((_, tried)) = refused.filter(|(name, _)| *name == host) {
            tried.fetch_add(1, Ordering::Relaxed);
            return Err(link::closed());
        }
        let far = Far { host: host.clone(), pipe: far, frames: FrameDecoder::default() };
        self.opened.send(far).await.unwrap();
        Ok(Opened { octets: Box::new(near), host: Some(host) })
    }
}

/// The other host's end of a connection, spoken by hand.
pub(crate) struct Far {
    host: String,
    pipe: DuplexStream,
    frames: FrameDecoder,
}

impl Far {
    /// The next message, but for Hello and Ping; none when the connection was closed.
    pub(crate) async fn hear(&mut self) -> Option<Message> {
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                match decode(frame).unwrap() {
                    Message::Hello(_) | Message::Ping(_) => continue,
                    message => return Some(message),
                }
            }
            if self.pipe.read_buf(self.frames.input()).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn say(&mut self, message: Message) {
        self.octets(&encode(message)).await;
    }

    /// A link that has ended does not hear it.
    async fn octets(&mut self, octets: &[u8]) {
        drop(self.pipe.write_all(octets).await);
    }

    pub(crate) async fn hello(&mut self) {
        self.say(Message::Hello(Hello { version: 1, offers: vec![] })).await;
    }

    pub(crate) async fn attach(&mut self) -> Attach {
        match self.hear().await {
            Some(Message::Attach(attach)) => attach,
            other => panic!("{other:?} for an Attach"),
        }
    }

    /// Says yes to whoever wants a partition of 100 records.
    async fn attached(&mut self) -> u32 {
        let Attach { stream, positions, .. } = self.attach().await;
        let partitions = match positions.first() {
            Some(at) => vec![partition(at.partition, at.offset)],
            None => vec![partition(0, 0), partition(1, 0)],
        };
        self.say(attached(stream, partitions)).await;
        stream
    }

    /// Reads until the link closes; whether it said why before.
    async fn closed(mut self) -> bool {
        let mut told = false;
        while let Some(message) = self.hear().await {
            told |= matches!(message, Message::Close(_));
        }
        told
    }
}

pub(crate) fn partition(partition: u32, next: u64) -> Partition {
    Partition { partition, earliest: 0, latest: 100, next }
}

pub(crate) fn attached(stream: u32, partitions: Vec<Partition>) -> Message {
    let incarnation = LIFE.to_owned();
    Message::Attached(Attached { stream, incarnation, partitions, ..Attached::default() })
}

pub(crate) fn gone(stream: u32) -> Message {
    let (code, name, words) = (404, "NOT_FOUND".to_owned(), "no such flow".to_owned());
    Message::Ended(Ended { stream, code, name, words })
}

pub(crate) fn record(offset: u64) -> Record {
    Record { offset, value: Some("value".into()), ..Record::default() }
}

pub(crate) fn records(stream: u32, next: u64, of: Vec<Record>) -> Records {
    let count = of.len() as u32;
    let body: Bytes = RecordSet { records: of }.encode_to_vec().into();
    Records { stream, next, count, body, ..Records::default() }
}

struct Near {
    links: Arc<Links>,
    world: Arc<World>,
    opened: mpsc::Receiver<Far>,
}

impl Near {
    fn new() -> Self {
        let (world, opened) = World::new();
        let links = Links::new(Arc::clone(&world) as Arc<dyn Reach>, "own.test".into());
        Self { links: Arc::new(links), world, opened }
    }

    async fn opened(&mut self) -> Far {
        let mut far = self.opened.recv().await.unwrap();
        far.hello().await;
        far
    }

    fn follow(&self, at: &str, partition: u32) -> tokio::task::JoinHandle<Result<Following, Lost>> {
        let (links, at): (_, Name) = (Arc::clone(&self.links), at.parse().unwrap());
        let flow: FlowName = format!("id.{at}").parse().unwrap();
        tokio::spawn(
            async move { links.follow(Place { flow, partition, next: 5 }, &at, CREDIT).await },
        )
    }

    /// A partition that is followed, from 5 on; its stream is the first.
    async fn followed(&mut self) -> (Far, Following) {
        let following = self.follow(FLOW, 0);
        let mut far = self.opened().await;
        assert_eq!(far.attached().await, 1);
        (far, following.await.unwrap().unwrap_or_else(|lost| panic!("{lost:?}")))
    }

    fn open(&self) -> usize {
        let open = self.links.open.lock().unwrap();
        open.values().filter(|line| !line.asks.is_closed()).count()
    }
}

fn words(lost: Lost) -> String {
    match lost {
        Lost::Away(away) => away.to_string(),
        Lost::Ended(failure) => panic!("an end: {failure}"),
    }
}

/// What whoever follows is told in the end, through all that comes before.
async fn ends(following: &mut Following) -> Lost {
    loop {
        let mut came = match following.next().await {
            Ok(came) => came,
            Err(lost) => return lost,
        };
        while let Some(record) = came.record() {
            if let Err(error) = record {
                return following.wrong(error);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_may_send_ends_the_connection_with_words_and_leaves_nothing_behind() {
    let long = Record { trace: vec!["h".to_owned(); 17], ..record(5) };
    let wide = Record { trace: vec!["h".repeat(254)], ..record(5) };
    let cases: Vec<(&str, Vec<Message>)> = vec![
        ("stream 9", vec![Message::Records(records(9, 6, vec![record(5)]))]),
        ("stream 9", vec![gone(9)]),
        ("stream 9", vec![attached(9, vec![])]),
        ("5 to 4", vec![Message::Records(records(1, 4, vec![]))]),
        ("5", vec![Message::Records(records(1, 5, vec![record(5)]))]),
        ("4", vec![Message::Records(records(1, 6, vec![record(4)]))]),
        ("record", vec![Message::Records(Records { count: 2, ..records(1, 6, vec![record(5)]) })]),
        ("partition 7", vec![Message::Records(Records { partition: 7, ..records(1, 6, vec![]) })]),
        (
            "partition that nobody asked for",
            vec![
                attached(1, vec![partition(7, 0)]),
                Message::Records(Records { partition: 7, ..records(1, 6, vec![]) }),
            ],
        ),
        ("partition", vec![attached(1, vec![partition(0, 5)])]),
        ("host in a trace", vec![Message::Records(records(1, 6, vec![long]))]),
        ("host in a trace", vec![Message::Records(records(1, 6, vec![wide]))]),
        ("attach", vec![Message::Attach(Attach::default())]),
        ("ack", vec![Message::Ack(Ack::default())]),
        ("hello", vec![Message::Hello(Hello { version: 1, offers: vec![] })]),
    ];
    for (word, said) in cases {
        let mut near = Near::new();
        let (mut far, mut following) = near.followed().await;
        for message in &said {
            far.say(message.clone()).await;
        }
        let told = words(ends(&mut following).await);
        assert!(told.contains("stream with one.test: ") && told.contains(word), "{said:?}: {told}");
        assert!(far.closed().await, "it is told, too: {said:?}");
        assert_eq!(near.open(), 0, "{said:?}");
        drop(following);
        // The next one begins anew.
        near.followed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn frames_without_measure_end_the_connection_before_they_are_held() {
    let mut near = Near::new();
    let (mut far, mut following) = near.followed().await;
    far.octets(&u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes()).await;
    let told = words(ends(&mut following).await);
    assert!(told.contains("stream with one.test: frame of 16777217 octets"), "{told}");
    assert!(far.closed().await);
    let (mut far, mut following) = near.followed().await;
    // More than the credit: the second is too much, whatever it holds.
    let large = |offset| Record { value: Some(vec![7; 3 << 20].into()), ..record(offset) };
    let flood = tokio::spawn(async move {
        far.say(Message::Records(records(1, 6, vec![large(5)]))).await;
        far.say(Message::Records(records(1, 7, vec![large(6)]))).await;
        far
    });
    let mut far = flood.await.unwrap();
    let told = words(loop {
        if let Err(lost) = following.next().await {
            break lost;
        }
    });
    assert!(told.contains("credit"), "{told}");
    far.octets(&[0; 9]).await;
    assert_eq!(near.open(), 0);
}

#[tokio::test]
async fn what_followers_say_is_heard_however_many_say_it_at_once() {
    const MANY: u32 = 3_000;
    let mut near = Near::new();
    let (mut far, first) = near.followed().await;
    let mut all = vec![first];
    for partition in 1..MANY {
        let following = near.follow(FLOW, partition);
        assert_eq!(far.attached().await, partition + 1);
        all.push(following.await.unwrap().unwrap_or_else(|lost| panic!("{lost:?}")));
    }
    // All of them at once, before the link has a turn: more than its queue of asks would hold.
    drop(all);
    let mut left = 0;
    while left < MANY {
        match far.hear().await {
            Some(Message::Detach(Detach { stream })) => {
                left += 1;
                let (code, name, words) = (220, "OK".to_owned(), String::new());
                far.say(Message::Ended(Ended { stream, code, name, words })).await;
            }
            other => panic!("{other:?} after {left}"),
        }
    }
}

#[tokio::test]
async fn a_stream_that_begins_for_somebody_who_has_left_ends() {
    let mut near = Near::new();
    let following = near.follow(FLOW, 0);
    let mut far = near.opened().await;
    let Attach { stream, .. } = far.attach().await;
    following.abort();
    assert!(following.await.is_err());
    far.say(attached(stream, vec![partition(0, 5)])).await;
    assert_eq!(far.hear().await, Some(Message::Detach(Detach { stream })));
}

#[tokio::test]
async fn credit_comes_back_as_batches_are_taken_and_safe_positions_are_told_once() {
    let mut near = Near::new();
    let (mut far, mut following) = near.followed().await;
    far.say(Message::Records(records(1, 7, vec![record(5), record(6)]))).await;
    let mut came = following.next().await.unwrap_or_else(|lost| panic!("{lost:?}"));
    let offsets: Vec<u64> =
        std::iter::from_fn(|| came.record()).map(|record| record.unwrap().offset).collect();
    assert_eq!((offsets, came.next), (vec![5, 6], 7));
    match far.hear().await {
        Some(Message::Credit(Credit { stream: 1, octets })) => assert!(octets > 64),
        other => panic!("{other:?}"),
    }
    let teller = following.teller();
    // What has not come cannot be safe, and is not said.
    [6, 9, 6, 7].into_iter().for_each(|next| {
        teller.safe(next);
    });
    match far.hear().await {
        Some(Message::Ack(Ack { stream: 1, positions })) => assert_eq!(positions[0].offset, 7),
        other => panic!("{other:?}"),
    }
    teller.safe(7);
    drop(following);
    assert_eq!(far.hear().await, Some(Message::Detach(Detach { stream: 1 })));
    teller.safe(7);
}

#[tokio::test]
async fn hosts_are_known_by_what_was_found_and_not_by_the_parent_of_a_flow() {
    let mut near = Near::new();
    let (mut far, _following) = near.followed().await;
    let other = near.follow(OTHER, 0);
    let mut elsewhere = near.opened().await;
    assert_eq!((&*far.host, &*elsewhere.host), ("one.test", "other.test"));
    elsewhere.attached().await;
    assert!(other.await.unwrap().is_ok());
    // Another flow of the first host shares its connection.
    near.world.hosts.lock().unwrap().insert("third.flows.test".parse().unwrap(), "one.test");
    let third = near.follow("third.flows.test", 0);
    assert_eq!(far.attached().await, 2);
    assert!(third.await.unwrap().is_ok());
    assert_eq!(near.open(), 2);
}

#[tokio::test]
async fn an_end_is_believed_of_the_host_that_has_the_flow_and_of_no_other() {
    let mut near = Near::new();
    let following = near.follow(FLOW, 0);
    let mut far = near.opened().await;
    // It moves while it is asked for.
    let Attach { stream, .. } = far.attach().await;
    near.world.hosts.lock().unwrap().insert(FLOW.parse().unwrap(), "new.test");
    far.say(gone(stream)).await;
    // It is asked for there at once, and that host is the one to say so.
    let mut far = near.opened().await;
    assert_eq!(far.host, "new.test");
    let Attach { stream, .. } = far.attach().await;
    far.say(gone(stream)).await;
    let lost = following.await.unwrap().err().unwrap();
    assert!(lost.is_end(), "{lost:?}");
    // One that is found nowhere any more has no other host.
    let following = near.follow(FLOW, 0);
    let Attach { stream, .. } = far.attach().await;
    near.world.hosts.lock().unwrap().clear();
    far.say(gone(stream)).await;
    let lost = following.await.unwrap().err().unwrap();
    assert!(lost.is_end(), "{lost:?}");
}

#[tokio::test]
async fn a_host_that_has_moved_is_followed_where_it_is_now_and_looked_at_there() {
    let mut near = Near::new();
    let (far, following) = near.followed().await;
    drop((far, following));
    // Nobody is where it was found.
    let gone = near.world.refuse("one.test");
    near.world.hosts.lock().unwrap().insert(FLOW.parse().unwrap(), "new.test");
    let following = near.follow(FLOW, 0);
    let mut far = near.opened().await;
    assert_eq!(far.host, "new.test");
    far.attached().await;
    let following = following.await.unwrap().unwrap_or_else(|lost| panic!("{lost:?}"));
    assert_eq!(gone.load(Ordering::Relaxed), 1, "it was tried where it was, once");
    drop(following);
    // A stream ends where its flow has moved meanwhile, and only where it has.
    let (links, at): (_, Name) = (Arc::clone(&near.links), FLOW.parse().unwrap());
    let whose = links.whose(&at).await.unwrap();
    let end = || Lost::Ended(Failure::new(Code::NotFound, "no such flow"));
    assert!(links.theirs(&at, &whose, end()).await.is_end());
    near.world.hosts.lock().unwrap().insert(at.clone(), "one.test");
    let told = words(links.theirs(&at, &whose, end()).await);
    assert!(told.contains("found at another host"), "{told}");
}

#[tokio::test]
async fn a_host_that_cannot_be_found_or_goes_away_is_told_of_and_asked_again() {
    let mut near = Near::new();
    near.world.hosts.lock().unwrap().clear();
    let told = words(near.follow(FLOW, 0).await.unwrap().err().unwrap());
    assert!(told.contains("resolve: no time.flows.test"), "{told}");
    near.world.hosts.lock().unwrap().insert(FLOW.parse().unwrap(), "one.test");
    let (far, mut following) = near.followed().await;
    drop(far);
    let told = words(ends(&mut following).await);
    assert!(told.contains("stream with one.test"), "{told}");
    near.followed().await;
    assert_eq!(near.world.searches.load(Ordering::Relaxed), 2, "what was found is remembered");
}

#[tokio::test(start_paused = true)]
async fn looks_at_one_flow_share_a_stream_and_a_host_that_owes_an_answer_loses_the_connection() {
    let mut near = Near::new();
    let (flow, at): (FlowName, Name) = ("id.x.test".parse().unwrap(), FLOW.parse().unwrap());
    let look = |links: &Arc<Links>, patience| {
        let (links, flow, at) = (Arc::clone(links), flow.clone(), at.clone());
        tokio::spawn(async move { links.look(&flow, &at, patience).await })
    };
    let looks = [(); 3].map(|()| look(&near.links, ANSWER));
    let mut far = near.opened().await;
    let stream = far.attach().await.stream;
    // The others have joined when something else is answered.
    let follows = near.follow(FLOW, 0);
    far.attached().await;
    let _followed = follows.await.unwrap();
    far.say(attached(stream, vec![partition(0, 0)])).await;
    for look in looks {
        assert_eq!(look.await.unwrap().unwrap().partitions.len(), 1);
    }
    assert_eq!(far.hear().await, Some(Message::Detach(Detach { stream })));
    // It answers pings, and nothing else.
    let (reader, mut writer) = tokio::io::split(far.pipe);
    let deaf = tokio::spawn(async move {
        let mut heard = BytesMut::new();
        let mut reader = reader;
        while reader.read_buf(&mut heard).await.unwrap_or(0) > 0 {}
        heard.len()
    });
    let alive = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let ping = Message::Ping(fnap::stream::messages::Ping { token: 1 });
            if writer.write_all(&encode(ping)).await.is_err() {
                return;
            }
        }
    });
    let told = words(look(&near.links, Duration::from_secs(2)).await.unwrap().err().unwrap());
    assert!(told.contains("does not say"), "{told}");
    assert_eq!(near.open(), 1, "others on the connection are not disturbed yet");
    alive.await.unwrap();
    assert!(deaf.await.unwrap() > 0);
    assert_eq!(near.open(), 0);
}

#[test]
fn errors_of_streams_are_words_without_what_the_host_sent() {
    let error = StreamError::FrameTooLong { len: 1 << 30 };
    assert!(
        link::broke(Some("h.test"), &error).to_string().contains("stream with h.test: frame of")
    );
}
