//! Against a real BIND.

use std::time::Duration;

use bind_node::{Bind, dig, nsupdate};
use hickory_net::proto::rr::rdata::tsig::TsigError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::publish::testing::{flow, fresh, ground, withdrawn, zone};
use crate::publish::{Flow, Kind, MAX_LISTED, flow_sets};

struct Primary {
    bind: Bind,
    key: bind_node::Key,
}

impl Primary {
    fn start() -> Self {
        Self::with("")
    }

    fn with(records: &str) -> Self {
        let key = bind_node::Key::new("fnaa-key");
        let zones = [bind_node::Zone::unsigned("unix.ar", records).updated_by(&key)];
        Self { bind: Bind::start_with(key.statement(), &zones), key }
    }

    fn updater(&self) -> Updater {
        self.signing(&self.key)
    }

    fn signing(&self, key: &bind_node::Key) -> Updater {
        updater(vec![self.bind.address()], key)
    }

    fn dig(&self, question: &str) -> Vec<String> {
        let arguments: Vec<&str> = ["+short"].into_iter().chain(question.split(' ')).collect();
        let answer = dig(self.bind.address(), &arguments);
        let mut lines: Vec<String> = answer.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Everything in the zone but its own records, one line each.
    fn everything(&self) -> Vec<String> {
        let answer = dig(self.bind.address(), &["+noall", "+answer", "unix.ar", "AXFR"]);
        let lines =
            answer.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let own = |line: &String| [" SOA ", " NS "].iter().any(|kind| line.contains(kind));
        let mut lines: Vec<String> =
            lines.filter(|line| !own(line) && !line.starts_with("ns.unix.ar.")).collect();
        lines.sort();
        lines
    }
}

fn updater(servers: Vec<SocketAddr>, key: &bind_node::Key) -> Updater {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::of_file(&key.write(dir.path())).unwrap();
    // Long, for a machine that does much else; nothing here waits for its end.
    Updater::new(servers, key).with_timeout(Duration::from_secs(60))
}

fn lines(sets: &[crate::publish::Set]) -> Vec<String> {
    let text: String = sets.iter().map(ToString::to_string).collect();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_list_of_as_many_flows_as_are_listed_is_what_a_server_takes() {
    let primary = Primary::start();
    let updater = primary.updater();
    let mut change = Change::default();
    for number in 0..MAX_LISTED {
        let one = flow(&format!("f{number}.flows.unix.ar"), &format!("id-{number}"));
        change.add.extend(flow_sets(&one, &crate::publish::testing::agent()));
    }
    updater.change(&zone(), &change).await.unwrap();
    assert_eq!(primary.dig("+tcp _flow._tcp.flows.unix.ar PTR").len(), MAX_LISTED);
}

fn refusal(result: Result<Outcome, PublishError>) -> String {
    match result {
        Err(PublishError::Refused { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

fn taken(result: Result<Outcome, PublishError>) -> Vec<String> {
    match result {
        Err(PublishError::Taken { owners, .. }) => owners.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_published_is_served_and_what_is_withdrawn_is_gone() {
    let primary = Primary::start();
    let updater = primary.updater();
    let change = fresh(&flow("time.flows.unix.ar", "4711"));
    let outcome = updater.change(&zone(), &ground()).await.unwrap();
    assert_eq!(outcome, Outcome::default());
    updater.change(&zone(), &change).await.unwrap();
    assert_eq!(primary.dig("time.flows.unix.ar PTR"), ["_flow._tcp.time.flows.unix.ar."]);
    let service = "_flow._tcp.time.flows.unix.ar";
    assert_eq!(primary.dig(&format!("{service} SRV")), ["30 30 61000 fnaa.unix.ar."]);
    let words = ["\"txtvers=1\" \"tls\" \"id=4711\""];
    assert_eq!(primary.dig(&format!("{service} TXT")), words);
    assert_eq!(primary.dig("_flow._tcp.flows.unix.ar PTR"), ["time._flow._tcp.flows.unix.ar."]);
    assert_eq!(primary.dig("fnaa.unix.ar AAAA"), ["2001:db8::1"]);
    let (mut all, ground) = (ground(), ground());
    all.add.extend(change.add.clone());
    assert_eq!(primary.everything(), lines(&all.add));
    updater.change(&zone(), &withdrawn(&change)).await.unwrap();
    assert_eq!(primary.everything(), lines(&ground.add));
    updater.change(&zone(), &withdrawn(&change)).await.unwrap();
    updater.change(&zone(), &withdrawn(&ground)).await.unwrap();
    assert_eq!(primary.everything(), [""; 0]);
}

#[tokio::test]
async fn a_repeat_after_a_lost_answer_recognises_its_own_records_and_takes_no_others() {
    let primary = Primary::start();
    let updater = primary.updater();
    let (ours, other) = (flow("time.flows.unix.ar", "4711"), flow("date.flows.unix.ar", "4712"));
    updater.change(&zone(), &fresh(&ours)).await.unwrap();
    let mut both = fresh(&ours);
    both.add.extend(fresh(&other).add);
    both.fresh.extend(fresh(&other).fresh);
    let outcome = updater.change(&zone(), &both).await.unwrap();
    assert_eq!(outcome.recognised, [Owner::from(&ours.name)]);
    assert_eq!(primary.everything(), lines(&both.add));
    // A flow that somebody else, or the same host in another life, has published.
    let before = primary.everything();
    let again = Flow { id: "4713".to_owned(), ..other };
    let mut third = fresh(&flow("third.flows.unix.ar", "4714"));
    third.add.extend(fresh(&again).add);
    third.fresh.extend(fresh(&again).fresh);
    assert_eq!(taken(updater.change(&zone(), &third).await), ["date.flows.unix.ar."]);
    assert_eq!(primary.everything(), before);
}

#[tokio::test]
async fn a_name_that_has_any_record_of_others_is_taken() {
    let primary = Primary::with(
        "www.flows A 192.0.2.7\nalias.flows CNAME www.flows\n_flow._tcp.hidden.flows CNAME www.flows\n",
    );
    let updater = primary.updater();
    for (name, owner) in [
        ("www.flows.unix.ar", "www.flows.unix.ar."),
        ("alias.flows.unix.ar", "alias.flows.unix.ar."),
        ("hidden.flows.unix.ar", "_flow._tcp.hidden.flows.unix.ar."),
    ] {
        let before = primary.everything();
        let result = updater.change(&zone(), &fresh(&flow(name, "4711"))).await;
        assert_eq!(taken(result), [owner]);
        assert_eq!(primary.everything(), before, "{name}");
    }
    // One below it is another name.
    let below = fresh(&flow("below.www.flows.unix.ar", "4711"));
    assert!(updater.change(&zone(), &below).await.is_ok());
}

#[tokio::test]
async fn a_key_with_another_secret_and_an_unknown_one_are_refused_by_name() {
    let primary = Primary::start();
    let change = fresh(&flow("time.flows.unix.ar", "4711"));
    let same_name = bind_node::Key::new("fnaa-key");
    let reason = refusal(primary.signing(&same_name).change(&zone(), &change).await);
    assert!(reason.contains("tsig rejected: key fnaa-key. has another secret"), "{reason}");
    let unknown = bind_node::Key::new("nobodys-key");
    let reason = refusal(primary.signing(&unknown).change(&zone(), &change).await);
    assert!(reason.contains("tsig rejected: key nobodys-key. is unknown"), "{reason}");
    assert_eq!(primary.everything(), [""; 0]);
}

#[tokio::test]
async fn a_key_that_may_not_and_a_server_without_the_zone_refuse() {
    let (key, other) = (bind_node::Key::new("fnaa-key"), bind_node::Key::new("other-key"));
    let zones = [bind_node::Zone::unsigned("unix.ar", "").updated_by(&key)];
    let statements = format!("{}{}", key.statement(), other.statement());
    let bind = Bind::start_with(&statements, &zones);
    let change = fresh(&flow("time.flows.unix.ar", "4711"));
    let reason = refusal(updater(vec![bind.address()], &other).change(&zone(), &change).await);
    assert!(reason.contains("policy does not let key other-key."), "{reason}");
    let elsewhere = Zone::new("flows.unix.ar".parse().unwrap());
    let reason = refusal(updater(vec![bind.address()], &key).change(&elsewhere, &change).await);
    assert!(reason.contains("is no server of zone flows.unix.ar"), "{reason}");
}

#[tokio::test]
async fn a_server_that_is_away_is_told_and_asked_again_and_another_is_asked_meanwhile() {
    let mut primary = Primary::start();
    let updater = primary.updater();
    let change = fresh(&flow("time.flows.unix.ar", "4711"));
    primary.bind.kill();
    match updater.change(&zone(), &change).await {
        Err(PublishError::Away { reason }) => {
            assert!(reason.contains(&primary.bind.address().to_string()), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    primary.bind.start_again();
    updater.change(&zone(), &change).await.unwrap();
    assert_eq!(primary.everything(), lines(&change.add));
    // Nobody listens at the first.
    let closed = std::net::TcpListener::bind("127.0.0.54:0").unwrap().local_addr().unwrap();
    let both = super::tests::updater(vec![closed, primary.bind.address()], &primary.key);
    both.change(&zone(), &withdrawn(&change)).await.unwrap();
    assert_eq!(primary.everything(), [""; 0]);
}

#[tokio::test]
async fn a_change_larger_than_a_message_is_made_of_several_and_repeated_as_one() {
    let primary = Primary::start();
    let updater = primary.updater();
    let mut change = Change::default();
    for number in 0..400 {
        let name = format!("f{number}.flows.unix.ar");
        // BIND refuses more than a hundred records in one set, such as a namespace's list.
        let listed = number < MAX_LISTED;
        let one = fresh(&Flow { listed, ..flow(&name, &format!("id-{number}")) });
        change.add.extend(one.add);
        change.fresh.extend(one.fresh);
    }
    assert!(pieces(&zone(), &change, &BTreeSet::new()).unwrap().len() > 1);
    updater.change(&zone(), &change).await.unwrap();
    assert_eq!(primary.everything(), lines(&change.add));
    let outcome = updater.change(&zone(), &change).await.unwrap();
    assert_eq!(outcome.recognised.len(), 400);
    updater.change(&zone(), &withdrawn(&change)).await.unwrap();
    assert_eq!(primary.everything(), [""; 0]);
}

#[tokio::test]
async fn what_is_not_in_the_zone_is_not_sent() {
    let primary = Primary::start();
    let updater = primary.updater();
    for owner in ["time.unix.example", "*.unix.ar", "xunix.ar"] {
        let mut change = ground();
        change.add[0].owner = owner.parse().unwrap();
        let result = updater.change(&zone(), &change).await;
        assert!(matches!(result, Err(PublishError::Impossible { .. })), "{owner}: {result:?}");
    }
    let nobody = super::tests::updater(vec![], &primary.key);
    let result = nobody.change(&zone(), &ground()).await;
    assert!(matches!(result, Err(PublishError::Impossible { .. })), "{result:?}");
    assert_eq!(primary.everything(), [""; 0]);
}

#[tokio::test]
async fn what_others_added_to_a_set_stays() {
    let primary = Primary::start();
    let updater = primary.updater();
    let change = fresh(&flow("time.flows.unix.ar", "4711"));
    updater.change(&zone(), &change).await.unwrap();
    let other = flow_sets(&flow("date.flows.unix.ar", "4712"), &crate::publish::testing::agent());
    let add = Change { add: other, ..Change::default() };
    updater.change(&zone(), &add).await.unwrap();
    let listed = ["date._flow._tcp.flows.unix.ar.", "time._flow._tcp.flows.unix.ar."];
    assert_eq!(primary.dig("_flow._tcp.flows.unix.ar PTR"), listed);
    updater.change(&zone(), &withdrawn(&change)).await.unwrap();
    assert_eq!(primary.everything(), lines(&add.add));
    // Without a key nobody changes anything, and the test would see it.
    let (done, said) =
        nsupdate(primary.bind.address(), "zone unix.ar\nupdate delete x.unix.ar\nsend");
    assert!(!done && said.contains("REFUSED"), "{said}");
}

/// A server that answers whatever it is asked with what `reply` makes of the question, or not at all.
async fn liar(reply: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut question).await.unwrap();
            if let Some(answer) = reply(&question) {
                stream.write_u16(answer.len() as u16).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
            held.push(stream);
        }
    });
    address
}

/// That everything was done, as somebody says who does not have the key.
fn done(question: &[u8], signed_by: Option<&Key>) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let answer = Message::new(question.id, MessageType::Response, OpCode::Update);
    Some(match signed_by {
        Some(key) => tsig::sign(answer, key, now()).unwrap().octets,
        None => answer.to_vec().unwrap(),
    })
}

fn key(key: &bind_node::Key) -> Key {
    Key::of_file(&key.write(tempfile::tempdir().unwrap().path())).unwrap()
}

#[tokio::test]
async fn an_answer_that_the_key_did_not_sign_is_believed_by_nobody() {
    let (ours, other) = (bind_node::Key::new("fnaa-key"), key(&bind_node::Key::new("fnaa-key")));
    let change = ground();
    let unsigned = liar(|question| done(question, None)).await;
    let reason = refusal(updater(vec![unsigned], &ours).change(&zone(), &change).await);
    assert!(reason.contains("answer without signature"), "{reason}");
    let forged = liar(move |question| done(question, Some(&other))).await;
    let reason = refusal(updater(vec![forged], &ours).change(&zone(), &change).await);
    assert!(reason.contains("not signed by key fnaa-key."), "{reason}");
}

#[tokio::test]
async fn nonsense_silence_and_another_answer_are_a_server_that_is_away() {
    let ours = bind_node::Key::new("fnaa-key");
    let nonsense = liar(|_| Some(vec![0xff; 100])).await;
    let empty = liar(|_| Some(vec![])).await;
    let other = liar(|question| done(&[&[9, 9], &question[2..]].concat(), None)).await;
    let silent = liar(|_| None).await;
    let servers = vec![nonsense, empty, other, silent];
    let updater = updater(servers.clone(), &ours).with_timeout(Duration::from_millis(500));
    match updater.change(&zone(), &ground()).await {
        Err(PublishError::Away { reason }) => {
            for server in servers {
                assert!(reason.contains(&server.to_string()), "{server}: {reason}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_named_as_such() {
    let primary = Primary::start();
    let (key, past) = (key(&primary.key), now() - 3_600);
    let piece = Piece::question(&[Condition::Free("time.unix.ar".parse().unwrap())]);
    let mut connection =
        Connection::open(primary.bind.address(), Duration::from_secs(60)).await.unwrap();
    let signed = tsig::sign(piece.message(1, &zone()).unwrap(), &key, past).unwrap();
    let answer = connection.exchange(&signed.octets).await.unwrap();
    let distrust = signed.check(&answer, &key, past).unwrap_err();
    assert_eq!(distrust, tsig::Distrust::Refused(TsigError::BadTime));
    let error = distrust.error(primary.bind.address(), &key).to_string();
    assert!(error.contains("the clocks differ"), "{error}");
    // An answer of an hour ago, too.
    let signed = tsig::sign(piece.message(2, &zone()).unwrap(), &key, now()).unwrap();
    let answer = connection.exchange(&signed.octets).await.unwrap();
    assert!(signed.check(&answer, &key, now()).is_ok());
    let later = signed.check(&answer, &key, now() + 3_600).unwrap_err();
    assert_eq!(later, tsig::Distrust::Refused(TsigError::BadTime));
}

#[tokio::test]
async fn a_set_that_is_full_is_a_server_that_cannot_and_not_one_that_is_away() {
    let full: String =
        (0..MAX_LISTED).map(|n| format!("_flow._tcp.flows PTR x{n}._flow._tcp.flows\n")).collect();
    let primary = Primary::with(&full);
    let before = primary.everything();
    let result =
        primary.updater().change(&zone(), &fresh(&flow("time.flows.unix.ar", "4711"))).await;
    assert!(matches!(result, Err(PublishError::Unable { .. })), "{result:?}");
    assert_eq!(primary.everything(), before);
}

#[tokio::test]
async fn what_nobody_has_said_to_be_ours_is_withdrawn_if_it_is() {
    let primary = Primary::start();
    let updater = primary.updater();
    let theirs = fresh(&flow("time.flows.unix.ar", "4711"));
    updater.change(&zone(), &theirs).await.unwrap();
    let doubt = |id: &str| {
        let ours = fresh(&flow("time.flows.unix.ar", id));
        let (flow, id) = ours.fresh[0].clone();
        Change { doubtful: vec![Doubt { flow, id, remove: ours.add }], ..Change::default() }
    };
    updater.change(&zone(), &doubt("4712")).await.unwrap();
    assert_eq!(primary.everything(), lines(&theirs.add));
    updater.change(&zone(), &doubt("4711")).await.unwrap();
    assert_eq!(primary.everything(), [""; 0]);
    updater.change(&zone(), &doubt("4711")).await.unwrap();
}

#[tokio::test]
async fn a_flow_with_the_name_of_its_zone_is_published_once_and_recognised() {
    let key = bind_node::Key::new("fnaa-key");
    let name = "time.flows.unix.ar";
    let zones = [bind_node::Zone::unsigned(name, "").updated_by(&key)];
    let bind = Bind::start_with(key.statement(), &zones);
    let (zone, updater) = (Zone::new(name.parse().unwrap()), updater(vec![bind.address()], &key));
    let mut change = fresh(&flow(name, "4711"));
    change.add.retain(|set| zone.contains(&set.owner));
    assert_eq!(updater.change(&zone, &change).await.unwrap(), Outcome::default());
    let found = dig(bind.address(), &["+short", name, "PTR"]);
    assert_eq!(found.trim(), "_flow._tcp.time.flows.unix.ar.");
    let again = updater.change(&zone, &change).await.unwrap();
    assert_eq!(again.recognised, [change.fresh[0].0.clone()]);
    change.fresh[0].1 = "4712".to_owned();
    assert_eq!(taken(updater.change(&zone, &change).await), ["time.flows.unix.ar."]);
}

#[tokio::test]
async fn what_a_zone_has_lost_is_told_by_its_place() {
    let primary = Primary::start();
    let updater = primary.updater();
    let marks: Vec<Set> = (0..500)
        .map(|n| {
            let sets = fresh(&flow(&format!("f{n}.flows.unix.ar"), &format!("id-{n}"))).add;
            crate::publish::sign_of(&sets).unwrap().0.clone()
        })
        .chain(ground().add)
        .collect();
    let there = |mark: &&Set| !mark.owner.as_str().contains("f77.") && mark.kind() != Kind::Aaaa;
    let add = marks.iter().filter(there).cloned().collect();
    updater.change(&zone(), &Change { add, ..Change::default() }).await.unwrap();
    let mut lost = updater.lost(&zone(), &marks, 100).await.unwrap();
    lost.sort_unstable();
    let aaaa = marks.iter().position(|mark| mark.kind() == Kind::Aaaa).unwrap();
    assert_eq!(lost, [77, aaaa]);
    // Another incarnation, and records of others in its set, are not what was left there.
    let mut other = marks[3].clone();
    other.data = crate::publish::Data::Txt([vec!["id=other".to_owned()]].into());
    let add = Change { add: vec![other], ..Change::default() };
    updater.change(&zone(), &add).await.unwrap();
    assert_eq!(updater.lost(&zone(), &marks[3..5], 9).await.unwrap(), [0]);
    assert!(updater.lost(&Zone::new("other.ar".parse().unwrap()), &marks, 9).await.is_err());
    // Of a zone that is empty not everything is asked for alone.
    let empty = Primary::start();
    assert!((5..20).contains(&empty.updater().lost(&zone(), &marks, 5).await.unwrap().len()));
}
